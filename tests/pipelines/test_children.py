"""The scrubber's function gives a result for every text, whatever happens inside."""

from __future__ import annotations

import pytest

from pipelines.children import setup_scrubber
from pipelines.pool import Killed
from schemas.recipe import Benchmark, Decontamination, Pii
from stages.decontamination import BenchmarkText, BenchmarkTexts, NgramIndex
from stages.pii import Scrubber


def test_text_counts_and_seconds() -> None:
    result = setup_scrubber(Pii(kinds=["email"]))("write to jane.doe@company.com")
    assert not isinstance(result, Killed)
    assert "jane.doe" not in result.text
    assert result.found == {"email": 1}
    assert result.match is None
    assert result.seconds >= 0


@pytest.mark.parametrize(
    ("error", "kind"), [(MemoryError(), "out_of_memory"), (KeyError("jane"), "internal_error")]
)
def test_an_error_costs_one_document_and_quotes_nothing_of_it(
    error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scrub(self: Scrubber, text: str) -> None:
        raise error

    monkeypatch.setattr(Scrubber, "scrub", scrub)
    result = setup_scrubber(Pii(kinds=["email"]))("jane")
    assert isinstance(result, Killed)
    assert result.error == kind
    assert "jane" not in result.detail
    if kind == "internal_error":
        assert result.detail.startswith("KeyError at test_children.py:")


@pytest.mark.parametrize("error", [MemoryError(), KeyError("jane")], ids=["memory", "bug"])
def test_an_error_says_in_which_step_it_was(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, text: str) -> None:
        raise error

    settings = Decontamination(benchmarks=[Benchmark(file="quiz.jsonl")], ngram=1, shortest=1)
    index = NgramIndex(settings, [BenchmarkTexts("quiz", "", [BenchmarkText(1, "harbour")])])
    for kind, method, step in (
        (NgramIndex, "find", "decontamination"),
        (Scrubber, "scrub", "pii"),
    ):
        monkeypatch.setattr(kind, method, fail)
        result = setup_scrubber(Pii(kinds=["email"]), index)("The harbour")
        assert isinstance(result, Killed)
        assert result.step == step
