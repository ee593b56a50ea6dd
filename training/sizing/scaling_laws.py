"""Which model and how many tokens a budget buys, by published fits.

N are parameters, D tokens, C = 6 N D operations (Kaplan et al., arXiv 2001.08361, section 2.1).
The fits are of English web text with the authors' tokenizers: between shapes and budgets they
compare well, as a forecast of a run's loss they are a rough guide.
"""

from __future__ import annotations

import math
from typing import NamedTuple

OPERATIONS = 6
"""A parameter and token."""

TOKENS_A_PARAMETER = 20.0
"""Hoffmann et al. (arXiv 2203.15556), approaches 1 and 2: both grow with the square root of C, and
table 3 has 20 tokens a parameter over all its sizes."""

FEW_EPOCHS = 4.0
"""Up to this many, repeated tokens are nearly as good as new ones (Muennighoff et al., arXiv
2305.16264, section 1 and figure 1)."""

REPEATS_DECAY = 15.387756
"""R_D* of the same paper (section 5 and appendix A): how fast repeats lose their worth."""


class Optimum(NamedTuple):
    """A model and its data."""

    parameters: float
    tokens: float

    @property
    def flops(self) -> float:
        """C."""
        return OPERATIONS * self.parameters * self.tokens


class Law(NamedTuple):
    """loss(N, D) = e + a / N^alpha + b / D^beta, in nats a token."""

    e: float
    a: float
    b: float
    alpha: float
    beta: float
    source: str

    def loss(self, parameters: float, tokens: float) -> float:
        """Expected after one pass over `tokens` different tokens."""
        return self.e + self.a / parameters**self.alpha + self.b / tokens**self.beta

    def of_flops(self, flops: float) -> Optimum:
        """The lowest loss for C (Hoffmann et al., equation 4)."""
        budget = flops / OPERATIONS
        both = self.alpha + self.beta
        ratio = (self.alpha * self.a / (self.beta * self.b)) ** (1 / both)
        parameters = ratio * budget ** (self.beta / both)
        return Optimum(parameters, budget / parameters)

    def of_tokens(self, tokens: float) -> Optimum:
        """The model that D tokens are the optimal amount for: alpha a N^-alpha = beta b D^-beta."""
        ratio = self.alpha * self.a / (self.beta * self.b)
        return Optimum((ratio * tokens**self.beta) ** (1 / self.alpha), tokens)

    def of_parameters(self, parameters: float) -> Optimum:
        """The tokens that are the optimal amount for a model."""
        ratio = self.beta * self.b / (self.alpha * self.a)
        return Optimum(parameters, (ratio * parameters**self.alpha) ** (1 / self.beta))


LAWS = {
    "hoffmann": Law(
        1.69, 406.4, 410.7, 0.34, 0.28, "Hoffmann et al., arXiv 2203.15556, approach 3, D.3"
    ),
    "besiroglu": Law(
        1.8172, 482.01, 2085.43, 0.3478, 0.3658, "Besiroglu et al., arXiv 2404.10102: a refit"
    ),
}
"""By name. The second one corrects the first one's optimizer, which had stopped too early; it
agrees with approaches 1 and 2."""

EXPECTED = "besiroglu"
"""The law that a loss is foretold by."""


class RuleOfThumb:
    """`TOKENS_A_PARAMETER` at every size."""

    source = "Hoffmann et al., arXiv 2203.15556, approaches 1 and 2: 20 tokens a parameter"

    def of_flops(self, flops: float) -> Optimum:
        """C = 6 N 20 N."""
        return self.of_parameters(math.sqrt(flops / (OPERATIONS * TOKENS_A_PARAMETER)))

    def of_tokens(self, tokens: float) -> Optimum:
        """A twentieth."""
        return Optimum(tokens / TOKENS_A_PARAMETER, tokens)

    def of_parameters(self, parameters: float) -> Optimum:
        """Twenty times as many."""
        return Optimum(parameters, TOKENS_A_PARAMETER * parameters)


RULES: dict[str, RuleOfThumb | Law] = {"20 tokens": RuleOfThumb(), **LAWS}
"""All that give an optimum."""


def effective_tokens(tokens: float, unique: float) -> float:
    """What `tokens` drawn from `unique` different ones are worth in new ones: U + U R* (1 -
    exp(-R / R*)) with R repeats after the first pass (Muennighoff et al., equation 5)."""
    if tokens <= unique:
        return tokens
    repeats = tokens / unique - 1
    return unique + unique * REPEATS_DECAY * -math.expm1(-repeats / REPEATS_DECAY)
