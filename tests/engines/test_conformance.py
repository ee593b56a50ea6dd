"""What the phases ask of an engine, asked of each engine alone."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from pipelines import engine as beam_engine
from pipelines.worker_errors import JobFailed
from schemas.errors import CorpusmillError, InputError
from tests.engines.cases import CASES, build_all, sorted_values
from tests.engines.setups import Engine

pytestmark = pytest.mark.slow


def run(engine: Engine, build: Any) -> None:
    beam_engine.run(build, beam_engine.make_options(engine.runner, engine.beam_arguments))


@pytest.fixture(scope="session")
def outcomes(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, run once on the engine."""
    folder = tmp_path_factory.mktemp(engine.name)
    run(engine, partial(build_all, folder=str(folder)))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_outcome(case: str, outcomes: Path) -> None:
    found = json.loads((outcomes / f"{case}.json").read_bytes())
    assert found == sorted_values(CASES[case].expected)


def refuse(number: int) -> int:
    raise InputError(f"page {number} of a.warc.gz is no page: take another file")


def test_an_error_of_ours_comes_back_as_itself(engine: Engine) -> None:
    with pytest.raises(InputError) as caught:
        run(engine, lambda p: p | beam.Create([7]) | "Refuse" >> beam.Map(refuse))
    assert str(caught.value) == "page 7 of a.warc.gz is no page: take another file"


def defect(number: int) -> int:
    raise ValueError(f"no such thing as {number}")


def test_any_other_error_names_its_message_and_step(engine: Engine) -> None:
    with pytest.raises((ValueError, JobFailed), match="no such thing as 7") as caught:
        run(engine, lambda p: p | beam.Create([7]) | "Stumble" >> beam.Map(defect))
    assert "Stumble" in str(caught.value)
    if isinstance(caught.value, CorpusmillError):
        assert "\n" not in str(caught.value)
