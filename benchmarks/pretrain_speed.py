"""Training speed on CPU beside transformers: preset 10m and a `LlamaForCausalLM` of its shape.

Both have the same weights and see the same tokens; their losses must agree before anything is
timed. Steps (forward, backward, AdamW) are taken in turns in one process, so that whatever else the
machine does slows both, and the figure that counts is the median of the ratios of neighbours.

python -m benchmarks.pretrain_speed [--pairs 9] [--threads 2] [--kernel blocked] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.decoder import Decoder
from model.presets import preset

VOCABULARY = 8192
SAME_LOSS = 1e-5
SAME_AFTER = 1e-4
"""How far losses may drift apart while both train: the same arithmetic in another order."""


class Contender(NamedTuple):
    """One model in training."""

    name: str
    step: Callable[[Tensor], float]
    """tokens [B, T] -> the loss before the step."""
    seconds: list[float]
    cpu_seconds: list[float]


def ours(config: ModelConfig, kernel: str) -> tuple[Decoder, Contender]:
    model = Decoder(config)
    model.initialize(1)
    model.attention_kernel = kernel

    def loss_of(tokens: Tensor) -> Tensor:
        labels = torch.full_like(tokens, -100)
        labels[:, :-1] = tokens[:, 1:]
        return model(tokens, labels=labels)[0] / (tokens.shape[0] * (tokens.shape[1] - 1))

    return model, _contender("corpusmill", model, loss_of)


def theirs(config: ModelConfig, model: Decoder) -> Contender:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.dim,
        intermediate_size=config.hidden_dim,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.max_seq_len,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope.theta},
        tie_word_embeddings=config.tie_embeddings,
        use_cache=False,
    )
    other = LlamaForCausalLM(shape)
    other.set_attn_implementation("sdpa")
    other.load_state_dict({_their_name(n): p.detach() for n, p in model.named_parameters()})
    other.train()
    return _contender(
        "transformers", other, lambda tokens: other(input_ids=tokens, labels=tokens).loss
    )


def _their_name(name: str) -> str:
    if name == "head.weight":
        return "lm_head.weight"
    for here, there in (
        ("embedding.", "embed_tokens."),
        ("attention_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        (".attention.", ".self_attn."),
        (".ffn.", ".mlp."),
    ):
        name = name.replace(here, there)
    return f"model.{name}"


def _contender(name: str, model: nn.Module, loss_of: Callable[[Tensor], Tensor]) -> Contender:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )

    def step(tokens: Tensor) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(tokens)
        loss.backward()
        optimizer.step()
        return loss.item()

    return Contender(name, step, [], [])


def timed(contender: Contender, tokens: Tensor) -> float:
    wall, cpu = time.perf_counter(), time.process_time()
    loss = contender.step(tokens)
    contender.seconds.append(time.perf_counter() - wall)
    contender.cpu_seconds.append(time.process_time() - cpu)
    return loss


def compare(pairs: int, batch: int, length: int, kernel: str) -> dict[str, Any]:
    """Train both in turns. Raises SystemExit when their losses differ."""
    config = preset("10m", VOCABULARY)
    model, here = ours(config, kernel)
    there = theirs(config, model)
    generator = torch.Generator().manual_seed(1)
    for number in range(pairs + 1):
        tokens = torch.randint(VOCABULARY, (batch, length), generator=generator)
        first, second = (here, there) if number % 2 else (there, here)
        losses = {c.name: timed(c, tokens) for c in (first, second)}
        apart = abs(losses[here.name] - losses[there.name])
        if apart > (SAME_AFTER if number else SAME_LOSS):
            raise SystemExit(f"step {number}: the losses differ by {apart:.2g}: {losses}")
        if not number:
            here, there = (c._replace(seconds=[], cpu_seconds=[]) for c in (here, there))
    return {
        "tokens_per_s": {
            c.name: batch * length / statistics.median(c.seconds) for c in (here, there)
        },
        "ratio": statistics.median(b / a for a, b in zip(here.seconds, there.seconds, strict=True)),
        "ratios": [b / a for a, b in zip(here.seconds, there.seconds, strict=True)],
        "cpu_ratio": statistics.median(
            b / a for a, b in zip(here.cpu_seconds, there.cpu_seconds, strict=True)
        ),
        "processors_used": {c.name: sum(c.cpu_seconds) / sum(c.seconds) for c in (here, there)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "last_losses": losses,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernel", default="auto", help="of attention: sdpa, blocked")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = compare(arguments.pairs, arguments.batch, arguments.length, arguments.kernel)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, rate in found["tokens_per_s"].items():
        used = found["processors_used"][name]
        print(f"{name:14} {rate:10,.0f} tokens/s   {used:.2f} processors used")
    low, high = min(found["ratios"]), max(found["ratios"])
    print(f"ratio {found['ratio']:.3f} ({low:.3f} to {high:.3f}), CPU {found['cpu_ratio']:.3f}")


if __name__ == "__main__":
    main()
