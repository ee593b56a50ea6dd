"""The parameters of a model in parts, under the names that the whole model gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from model.decoder import Decoder
from model.weights import stored_name

_VIRTUAL = ("virtual", "exchange")
"""Modules of virtual tokens."""
_NOT_ORTHOGONALIZED = ("embedding", "head", "router", *_VIRTUAL)
"""Modules whose matrices Muon leaves to AdamW: rows of the first two belong to single tokens, those
of a router to single experts (arXiv 2502.16982, section 2.2); those of the last two to virtual
tokens."""


def _stored_name(part: nn.Module, name: str) -> str:
    """The name that the whole model stores a tensor under: the last stage of a pipeline holds a
    tied head as a copy of the embedding."""
    return stored_name(name, part.config) if isinstance(part, Decoder) else name


def named_parameters(parts: Iterable[nn.Module]) -> Iterator[tuple[str, nn.Parameter]]:
    """The trainable parameters held here, tied ones once, by the name that the whole model stores
    them under."""
    for part in parts:
        for name, parameter in part.named_parameters():
            if parameter.requires_grad:
                yield _stored_name(part, name), parameter


def model_state(parts: Iterable[nn.Module]) -> dict[str, Tensor]:
    """What a checkpoint holds of a model: parameters and persistent buffers by plain name; where
    some parameters are frozen, those that are trained.

    The tensors are those of the model, so loading into them loads the model. Of tied parameters
    the first name alone is kept.
    """
    parts = tuple(parts)
    if any(not parameter.requires_grad for part in parts for parameter in part.parameters()):
        return {name: parameter.detach() for name, parameter in named_parameters(parts)}
    return every_tensor(parts)


def every_tensor(parts: Iterable[nn.Module]) -> dict[str, Tensor]:
    """`model_state` of trained and frozen tensors."""
    state: dict[str, Tensor] = {}
    for part in parts:
        kept = part.state_dict(keep_vars=True)
        seen: set[int] = set()
        for name, value in kept.items():
            if isinstance(value, Tensor) and id(value) not in seen:
                seen.add(id(value))
                state[_stored_name(part, name)] = value.detach()
    return state


def decayed_names(parameters: Mapping[str, Tensor]) -> set[str]:
    """Names of what weight decay applies to: matrices and stacks of them, the embedding's among
    them, not norms and biases.

    Of adapters those of LoRA, as in its authors' code; not virtual tokens, which stand for
    activations, nor AdaLoRA's P and Q (known by the Lambda beside them), which are held
    orthonormal.

    Shapes are the model's own, however they are cut over ranks. OLMo 2 (arXiv 2501.00656) leaves
    embeddings out; GPT-3's and Llama's recipes, followed here, do not.
    """
    singular = {name.removesuffix("lora_e") for name in parameters if name.endswith(".lora_e")}
    return {
        name
        for name, parameter in parameters.items()
        if parameter.ndim >= 2
        and not any(module in _VIRTUAL for module in name.split(".")[:-1])
        and not (name.endswith(("lora_a", "lora_b")) and name[: -len("lora_a")] in singular)
    }


def is_orthogonalized(name: str, parameter: Tensor) -> bool:
    """Whether Muon updates a parameter: matrices between hidden states, and stacks of them."""
    modules = name.split(".")[:-1]
    return parameter.ndim >= 2 and not any(m in _NOT_ORTHOGONALIZED for m in modules)


def kind_of(parameter: Tensor) -> Any:
    """Parameters that one fused kernel may take together: plain ones, or those of one mesh."""
    return parameter.device_mesh if isinstance(parameter, DTensor) else None
