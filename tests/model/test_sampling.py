from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.sampling import Sampling, draw
from schemas.errors import InputError, UsageError

P = torch.tensor([[0.1, 0.4, 0.3, 0.2]])


def probabilities(**keys: float) -> list[float]:
    return Sampling(**keys).log_probabilities(P.log()).exp()[0].tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [0.1, 0.4, 0.3, 0.2]),
        ({"top_k": 1}, [0, 1, 0, 0]),
        ({"top_k": 2}, [0, 4 / 7, 3 / 7, 0]),
        ({"top_k": 9}, [0.1, 0.4, 0.3, 0.2]),
        ({"top_p": 0.01}, [0, 1, 0, 0]),
        ({"top_p": 0.39}, [0, 1, 0, 0]),
        ({"top_p": 0.41}, [0, 4 / 7, 3 / 7, 0]),
        ({"top_p": 0.75}, [0, 4 / 9, 3 / 9, 2 / 9]),
        ({"top_p": 1.0}, [0.1, 0.4, 0.3, 0.2]),
        # Of the three that are left, the first two have 7/9 of the mass: top_k comes first.
        ({"top_k": 3, "top_p": 0.75}, [0, 4 / 7, 3 / 7, 0]),
        ({"temperature": 0.5}, [0.01 / 0.3, 0.16 / 0.3, 0.09 / 0.3, 0.04 / 0.3]),
    ],
)
def test_cases_by_hand(keys: dict[str, float], expected: list[float]) -> None:
    assert probabilities(**keys) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(
    logits=st.lists(
        st.integers(-64, 64).map(lambda n: n / 8), min_size=2, max_size=12, unique=True
    ),
    temperature=st.floats(0.2, 3),
    top_k=st.none() | st.integers(1, 15),
    top_p=st.none() | st.floats(0.05, 0.999),
)
def test_cuts_equal_those_of_transformers(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    transformers = pytest.importorskip("transformers")
    scores = torch.tensor([logits])
    warpers = [transformers.TemperatureLogitsWarper(temperature)]
    if top_k is not None:
        warpers.append(transformers.TopKLogitsWarper(top_k))
    if top_p is not None:
        warpers.append(transformers.TopPLogitsWarper(top_p))
    theirs = scores
    for warper in warpers:
        theirs = warper(None, theirs)
    ours = Sampling(temperature, top_k, top_p).log_probabilities(scores).exp()
    kept = ours > 0
    if top_p is not None and (theirs.isfinite() != kept).any():
        # Sums that meet top_p but for rounding may fall on either side.
        sums = (scores / temperature).softmax(-1).sort(descending=True).values
        if top_k is not None:
            sums = sums[:, :top_k] / sums[:, :top_k].sum()
        assert (sums.cumsum(-1) - top_p).abs().min() < 1e-5
        return
    torch.testing.assert_close(ours, theirs.softmax(-1), rtol=1e-4, atol=1e-6)


def test_equal_tokens_beyond_top_k_are_cut_by_their_number() -> None:
    log_p = Sampling(top_k=2).log_probabilities(torch.zeros(1, 4))
    assert log_p.exp()[0].tolist() == [0.5, 0.5, 0, 0]


def test_temperature_zero_takes_the_best_token_and_tells_its_probability() -> None:
    tokens, logprobs = Sampling(temperature=0).choose(P.log(), [torch.Generator()])
    assert tokens.tolist() == [1]
    assert logprobs.tolist() == pytest.approx([math.log(0.4)])


def test_frequencies_are_the_probabilities() -> None:
    count = 20_000
    generator = torch.Generator().manual_seed(3)
    sampling = Sampling(temperature=0.7, top_k=3)
    log_p = sampling.log_probabilities(P.log())
    drawn = draw(log_p.expand(count, -1), [generator] * count)
    observed = torch.bincount(drawn, minlength=4).double()
    expected = log_p[0].double().exp() * count
    assert observed[0] == 0
    # Chi-square with two degrees of freedom: above 13.8 once in a thousand seeds.
    assert ((observed - expected)[1:].square() / expected[1:]).sum() < 13.8


def test_draws_never_meet_a_token_of_no_probability() -> None:
    log_p = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    rows = [torch.Generator().manual_seed(seed) for seed in range(200)]
    assert draw(log_p.expand(200, -1), rows).unique().tolist() == [1]


def test_a_row_draws_from_its_own_generator() -> None:
    log_p = torch.full((1, 50), -math.log(50))
    alone = draw(log_p, [torch.Generator().manual_seed(5)])
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 5, 9)]
    assert draw(log_p.expand(3, -1), generators)[1] == alone[0]


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_settings_that_mean_nothing_are_refused(keys: dict[str, float], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Sampling(**keys).check()  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", [{"temperature": 0}, {}, {"top_p": 0.9}])
def test_nothing_is_chosen_among_nan(keys: dict[str, float]) -> None:
    logits = torch.stack([P[0], torch.full((4,), torch.nan)])
    generators = [torch.Generator(), torch.Generator()]
    with pytest.raises(InputError, match="NaN"):
        Sampling(**keys).choose(logits, generators)  # type: ignore[arg-type]
