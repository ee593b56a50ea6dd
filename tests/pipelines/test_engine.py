"""Errors of workers reach the user as one line, whatever the runner makes of them."""

from __future__ import annotations

import apache_beam as beam
import pytest

from pipelines import engine
from schemas.errors import InputError, OutputError, UsageError


def fail(element: int) -> int:
    raise OutputError(f"no space left while writing part {element}: free some")


def test_our_error_comes_back_as_itself() -> None:
    with pytest.raises(OutputError) as caught:
        engine.run(lambda p: p | beam.Create([1]) | beam.Map(fail), engine.make_options(None, []))
    assert str(caught.value) == "no space left while writing part 1: free some"


def test_our_error_is_found_in_the_text_of_a_portable_runner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = (
        "Pipeline job failed in state FAILED: Error received from SDK harness: Traceback\n"
        '  File "x.py", line 1, in process\n'
        "schemas.errors.InputError: cannot read a.warc: gone [while running 'Extract']\n\n\tat java"
    )

    class Broken(beam.Pipeline):
        def run(self, test_runner_api: str = "AUTO") -> None:
            raise RuntimeError(trace)

    monkeypatch.setattr(engine.beam, "Pipeline", Broken)
    with pytest.raises(InputError, match="^cannot read a.warc: gone$"):
        engine.run(lambda p: None, engine.make_options(None, []))


def test_other_errors_are_not_hidden() -> None:
    def defect(element: int) -> int:
        return element // 0

    with pytest.raises(ZeroDivisionError):
        engine.run(lambda p: p | beam.Create([1]) | beam.Map(defect), engine.make_options(None, []))


def interrupt(element: int) -> int:
    raise KeyboardInterrupt


def test_an_interrupt_stays_one_whatever_beam_wraps_it_in() -> None:
    options = engine.make_options(None, [])
    with pytest.raises(KeyboardInterrupt):
        engine.run(lambda p: p | beam.Create([1]) | beam.Map(interrupt), options)


class Waiting:
    """A job that Ctrl-C meets; its server may be gone."""

    def __init__(self, gone: bool) -> None:
        self.cancelled = 0
        self._gone = gone

    def wait_until_finish(self) -> None:
        raise KeyboardInterrupt

    def cancel(self) -> None:
        self.cancelled += 1
        if self._gone:
            raise ConnectionError("no server answers")


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(("runner", "cancels"), [("FnApiRunner", 0), ("SparkRunner", 1)])
def test_ctrl_c_cancels_the_job_where_it_would_go_on(
    runner: str, cancels: int, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Waiting(gone)
    monkeypatch.setattr(engine.beam.Pipeline, "run", lambda self: job)
    options = engine.make_options(runner, ["--spark_job_server_jar=https://example.org/x"])
    with pytest.raises(KeyboardInterrupt):
        engine.run(lambda p: None, options)
    assert job.cancelled == cancels


@pytest.mark.parametrize("runner", ["Foo", "no.such.Runner", "json.dumps"])
def test_a_name_that_is_no_runner_is_refused_in_one_line(runner: str) -> None:
    with pytest.raises(UsageError, match=f"^--runner {runner}") as caught:
        engine.make_options(runner, [])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runner", ["spark", "SPARKRUNNER", "SparkRunner"])
def test_runners_have_short_names_as_in_beam(runner: str) -> None:
    assert engine.runner_name(engine.make_options(runner, [])) == "SparkRunner"


@pytest.mark.parametrize("runner", [None, "DirectRunner", "direct", "FnApiRunner", "fnapirunner"])
def test_local_flags_name_the_same_runner(runner: str | None) -> None:
    assert engine.is_local(engine.make_options(runner, []))
    assert not engine.is_local(engine.make_options("SparkRunner", []))
