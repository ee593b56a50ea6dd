"""Linear layers with a low-rank adapter beside frozen weights.

They keep the names `weight` and `bias`, so that the tensors of a model still find their places.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.adapters import nf4
from model.adapters.config import LoraConfig
from model.initial import generator_of

NAMES = ("lora_a", "lora_b", "lora_e", "magnitude")
"""Parameters that an adapted layer has beside its own, the last two not always."""

_TRIPLET_STD = 0.02
"""Of P and Q where a budget deals out ranks, as AdaLoRA's code draws them."""


class Factors(NamedTuple):
    """The adapter of one linear layer from `in` to `out` numbers."""

    a: Tensor
    """[r, in]."""
    b: Tensor
    """[out, r]."""
    scale: float
    e: Tensor | None = None
    """[r]: AdaLoRA's Lambda; 0 is a rank that was taken away."""
    magnitude: Tensor | None = None
    """[out]: DoRA's."""

    def delta(self) -> Tensor:
        """scale * B diag(e) A, float32 [out, in]."""
        a = self.a.float() if self.e is None else self.e.float()[:, None] * self.a.float()
        return self.scale * (self.b.float() @ a)

    def merge(self, weight: Tensor) -> Tensor:
        """The one matrix that does what frozen weight [out, in] and adapter do, in float32: with
        DoRA its rows have the magnitudes (arXiv 2402.09353, equation 5)."""
        with torch.autocast(weight.device.type, enabled=False):
            whole = weight.float() + self.delta()
            if self.magnitude is None:
                return whole
            return whole * (self.magnitude.float() / row_norms(whole))[:, None]


def row_norms(weight: Tensor) -> Tensor:
    """Euclidean norms of the rows, float32 [out]."""
    return torch.linalg.vector_norm(weight.float(), dim=1)


def initial_factor(name: str, shape: torch.Size, seed: int, triplets: bool) -> Tensor:
    """First values of `<layer>.lora_a` and the like, float32, from (name, seed) alone.

    The adapter starts as zero. A is drawn as peft draws it, uniform up to 1 / sqrt(in); where a
    budget deals out ranks Lambda is zero in place of B, and A and B are normal.
    """
    drawn, kind = torch.empty(shape), name.rpartition(".")[2]
    if kind == "lora_e" or (kind == "lora_b" and not triplets):
        return drawn.zero_()
    generator = generator_of(name, seed)
    if triplets:
        return drawn.normal_(std=_TRIPLET_STD, generator=generator)
    bound = shape[-1] ** -0.5
    return drawn.uniform_(-bound, bound, generator=generator)


class LoraLinear(nn.Linear):
    """y = x (W + s B A)' + b with W and b frozen; with DoRA rows of the sum are scaled."""

    lora_e: nn.Parameter | None
    magnitude: nn.Parameter | None

    def __init__(self, inputs: int, outputs: int, bias: bool, config: LoraConfig) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.requires_grad_(False)
        self.scale = config.scale
        self.dropout = config.dropout
        rank = config.rank
        self.lora_a = nn.Parameter(torch.zeros(rank, inputs))
        self.lora_b = nn.Parameter(torch.zeros(outputs, rank))
        e = nn.Parameter(torch.zeros(rank)) if config.budget is not None else None
        self.register_parameter("lora_e", e)
        magnitude = nn.Parameter(torch.ones(outputs)) if config.dora else None
        self.register_parameter("magnitude", magnitude)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        # Evaluation is told by the gradients that it does not want.
        drops = self.dropout > 0 and self.training and torch.is_grad_enabled()
        dropped = functional.dropout(x, self.dropout) if drops else x
        inner = functional.linear(dropped, self.lora_a)
        if self.lora_e is not None:
            inner = inner * self.lora_e
        update = functional.linear(inner, self.lora_b) * self.scale
        if self.magnitude is None:
            return self.frozen_product(x, self.bias) + update
        y = (self.frozen_product(x, None) + update) * self._row_scales().to(update.dtype)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def frozen_product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x W' + bias."""
        return functional.linear(x, self.weight, bias)

    def frozen_weight(self) -> Tensor:
        """W [out, in]."""
        return self.weight

    def factors(self) -> Factors:
        """The adapter."""
        return Factors(self.lora_a, self.lora_b, self.scale, self.lora_e, self.magnitude)

    def _row_scales(self) -> Tensor:
        """m / ||W + s B A||, [out]; the norm counts as a constant (arXiv 2402.09353, section
        4.3)."""
        assert self.magnitude is not None
        with torch.no_grad(), torch.autocast(self.magnitude.device.type, enabled=False):
            norms = row_norms(self.frozen_weight().float() + self.factors().delta())
        return self.magnitude / norms.to(self.magnitude.dtype)


class QuantizedLoraLinear(LoraLinear):
    """The same with W in 4 bits (QLoRA, arXiv 2305.14314, equation 5): its numbers exist only while
    a product needs them."""

    nf4_codes: Tensor
    nf4_scales: Tensor
    nf4_outer: Tensor | None

    def __init__(self, inputs: int, outputs: int, bias: bool, config: LoraConfig) -> None:
        super().__init__(inputs, outputs, bias, config)
        self.double_quant = config.double_quant
        self.shape = torch.Size((outputs, inputs))
        self.register_parameter("weight", None)
        empty = nf4.quantize(torch.zeros(self.shape), double=self.double_quant, kernel="reference")
        for kind, tensor in empty._asdict().items():
            self.register_buffer(f"nf4_{kind}", tensor, persistent=False)

    def quantize(self, weight: Tensor) -> None:
        """Set W [out, in]."""
        packed = nf4.quantize(weight.to(self.nf4_codes.device), double=self.double_quant)
        self.nf4_codes.copy_(packed.codes)
        self.nf4_scales.copy_(packed.scales)
        if self.nf4_outer is not None and packed.outer is not None:
            self.nf4_outer.copy_(packed.outer)

    def packed(self) -> nf4.Nf4:
        """W as it is kept."""
        return nf4.Nf4(self.nf4_codes, self.nf4_scales, self.nf4_outer)

    def frozen_weight(self) -> Tensor:
        """See `LoraLinear`."""
        return nf4.dequantize(self.packed(), self.shape)

    def frozen_product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `LoraLinear`."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        y: Tensor = _Nf4Product.apply(x, self.packed(), self.shape)
        return y if bias is None else y + bias.to(y.dtype)


class _Nf4Product(torch.autograd.Function):
    """x W', whose backward pass makes W anew in place of keeping it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: nf4.Nf4, shape: torch.Size) -> Tensor:
        ctx.packed, ctx.shape = packed, shape
        with torch.autocast(x.device.type, enabled=False):
            return functional.linear(x, nf4.dequantize(packed, shape).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        with torch.autocast(gradient.device.type, enabled=False):
            return gradient @ nf4.dequantize(ctx.packed, ctx.shape).to(gradient.dtype), None, None
