"""Tensor parallelism: heads, hidden units and vocabulary cut over ranks (Shoeybi et al., arXiv
1909.08053, section 3).

Hidden states are whole on every rank. What is not named here (norms, routers, experts) is computed
alike on all ranks, from gradients that are already summed.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)

from model.decoder import Decoder
from model.norm import RMSNorm, rms_norm
from model.self_attention import SelfAttention
from training.parallel.collectives import sum_of_gradients
from training.parallel.vocabulary import VocabularyEmbedding, VocabularyHead


def _replicated_input(others: int) -> ParallelStyle:
    """The gradients of an input that several projections share are summed over ranks once."""
    layouts = (Replicate(), *[None] * others)
    return PrepareModuleInput(input_layouts=layouts, desired_input_layouts=layouts)


def attention_plan() -> dict[str, ParallelStyle]:
    """By module name inside a block."""
    return {
        "attention": _replicated_input(others=2),
        "attention.q_proj": ColwiseParallel(),
        "attention.k_proj": ColwiseParallel(),
        "attention.v_proj": ColwiseParallel(),
        "attention.o_proj": RowwiseParallel(),
    }


def feed_forward_plan() -> dict[str, ParallelStyle]:
    """By module name inside a block without experts."""
    return {
        "ffn": _replicated_input(others=0),
        "ffn.gate_proj": ColwiseParallel(),
        "ffn.up_proj": ColwiseParallel(),
        "ffn.down_proj": RowwiseParallel(),
    }


class HeadNorm(nn.Module):
    """`RMSNorm` over heads, of which each rank has some: the gradients of its weight are summed."""

    def __init__(self, norm: RMSNorm, mesh: DeviceMesh) -> None:
        super().__init__()
        self.weight = norm.weight
        self.eps = norm.eps
        self.group = mesh.get_group()

    def forward(self, x: Tensor) -> Tensor:
        """[..., head_size] -> [..., head_size]."""
        return rms_norm(x, sum_of_gradients(self.weight, self.group), self.eps)


def parallelize(part: Decoder, mesh: DeviceMesh) -> None:
    """Cut a part of a decoder, in place, over the ranks of `mesh`."""
    for block in part.layers.values():
        plan = attention_plan() | ({} if block.sparse else feed_forward_plan())
        parallelize_module(block, mesh, plan, src_data_rank=None)
        assert isinstance(block.attention, SelfAttention)
        _adapt_heads(block.attention, mesh)
    _cut_vocabulary(part, mesh)


def _adapt_heads(attention: SelfAttention, mesh: DeviceMesh) -> None:
    heads = attention.q_proj.out_features // attention.head_size
    attention.first_head = mesh.get_local_rank() * (heads // mesh.size())
    for name in ("q_norm", "k_norm"):
        norm = getattr(attention, name)
        if norm is not None:
            setattr(attention, name, HeadNorm(norm, mesh))


def _cut_vocabulary(part: Decoder, mesh: DeviceMesh) -> None:
    cut: dict[int, nn.Parameter] = {}

    def rows(weight: Tensor) -> nn.Parameter:
        if id(weight) not in cut:
            tensor = distribute_tensor(weight.detach(), mesh, [Shard(0)], src_data_rank=None)
            cut[id(weight)] = nn.Parameter(tensor)
        return cut[id(weight)]

    embedding, head = part.embedding, part.head
    if embedding is not None:
        part.add_module("embedding", VocabularyEmbedding(rows(embedding.weight), mesh))
    if head is not None:
        part.add_module("head", VocabularyHead(rows(head.weight), mesh, head.chunk_tokens))
