"""Which weights are trained in place of the model's own, as configuration files spell it.

Imports no torch.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from model.config import Section


class RankBudget(Section):
    """AdaLoRA (Zhang et al., arXiv 2303.10512): ranks move to the matrices that need them."""

    target_rank: int = Field(ge=1)
    """Mean rank of all matrices at the end; `rank` is the one at the start."""
    start: int = Field(0, ge=0)
    """Steps before the first rank is taken away."""
    end: int = Field(ge=1)
    """The step from which the ranks that are left are trained alone."""
    every: int = Field(10, ge=1)
    """Steps between two choices of ranks until then."""
    beta1: float = Field(0.85, gt=0, lt=1)
    """Smoothing of the sensitivities, and beta2 that of their uncertainty (section 4.1 there)."""
    beta2: float = Field(0.85, gt=0, lt=1)
    orthogonality: float = Field(0.5, ge=0)
    """Factor of the regularisation that keeps P and Q orthogonal; peft's default."""

    @model_validator(mode="after")
    def _in_order(self) -> RankBudget:
        if self.end <= self.start:
            raise ValueError(f"end: {self.end} does not come after start {self.start}")
        return self


class LoraConfig(Section):
    """Low-rank adaptation (Hu et al., arXiv 2106.09685): W + s B A, with W frozen."""

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    """s is alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the inputs of A that a step leaves out, drawn from (seed, step)."""
    rslora: bool = False
    """s is alpha / sqrt(rank) (Kalajdzievski, arXiv 2312.03732)."""
    dora: bool = False
    """Magnitudes of the rows are trained beside their directions (Liu et al., arXiv 2402.09353)."""
    targets: tuple[str, ...] | None = Field(None, min_length=1)
    """Glob patterns of names of linear layers (`layers.*.attention.q_proj`) or of their ends
    (`q_proj`), or `re:` and a regular expression; default: all of attention and feed-forward."""
    quantize: Literal["none", "nf4"] = "none"
    """Of the frozen weights (QLoRA, Dettmers et al., arXiv 2305.14314)."""
    double_quant: bool = True
    """The scales of nf4 are quantised, too (same paper, section 3)."""
    budget: RankBudget | None = None
    start: str | None = None
    """A folder in peft's format whose adapter is trained on."""

    @model_validator(mode="after")
    def _fits(self) -> LoraConfig:
        if self.budget is None:
            return self
        if self.dora:
            raise ValueError("budget: does not go with dora; choose one of them")
        if self.start is not None:
            raise ValueError("budget: starts from new ranks; leave start out")
        if self.budget.target_rank >= self.rank:
            raise ValueError(
                f"budget.target_rank: {self.budget.target_rank} is not below rank {self.rank}"
            )
        return self

    @property
    def scale(self) -> float:
        """s."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)


class PromptTuning(Section):
    """Virtual tokens in front of every sequence: `prompt` trains their embeddings (Lester et al.,
    arXiv 2104.08691), `prefix` keys and values of every layer (Li and Liang, arXiv 2101.00190)."""

    kind: Literal["prompt", "prefix"] = "prompt"
    tokens: int = Field(20, ge=1)
    init: str | None = None
    """Text that the virtual tokens start as, repeated or cut to their number; default: tokens
    drawn from the vocabulary (2104.08691, section 3.2)."""
