"""Running one phase's graph on a Beam runner, with errors that name what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner

from schemas import errors
from schemas.errors import CorpusmillError, UsageError

LOCAL_RUNNER = "FnApiRunner"
"""Beam's own default, DirectRunner, tries to fetch another runner when online: the same flag
would run different engines. The in-memory FnApiRunner is named instead."""

Build = Callable[[beam.Pipeline], None]
"""Adds the steps of a job to a pipeline."""

USUAL_RUNNERS = (LOCAL_RUNNER, "PrismRunner", "FlinkRunner", "SparkRunner", "DataflowRunner")
_RUNNERS = {
    name.lower().removesuffix("runner"): name for name in StandardOptions.KNOWN_RUNNER_NAMES
}

_WHILE_RUNNING = re.compile(r"\s*\[while running '[^']*'\]")
_INTERRUPT = re.compile(r"^KeyboardInterrupt\b", re.MULTILINE)
_OURS = re.compile(r"(?:schemas\.errors\.)?(\w+Error): ([^\n\\]+)")


def make_options(runner: str | None, beam_arguments: list[str]) -> PipelineOptions:
    """Beam options from the command line; the local runner unless another one is named.

    Raises UsageError for a name that is no runner, or one that needs what is not installed.
    """
    options = PipelineOptions(beam_arguments)
    named = runner or LOCAL_RUNNER
    name = _RUNNERS.get(named.lower().removesuffix("runner"), named)
    if name == "DirectRunner":
        name = LOCAL_RUNNER
    try:
        create_runner(name)
    except (ImportError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(_no_runner(name, error)) from error
    options.view_as(StandardOptions).runner = name
    return options


def _no_runner(name: str, error: Exception) -> str:
    if name in _RUNNERS.values() or "." in name:
        return f"--runner {name} cannot be used: {_one_line(error)}"
    return (
        f"--runner {name} is no Beam runner; the usual ones: {', '.join(USUAL_RUNNERS)} "
        "(or the full name of a class)"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def runner_name(options: PipelineOptions) -> str:
    """The runner's name, for the account."""
    return str(options.view_as(StandardOptions).runner or LOCAL_RUNNER)


def is_local(options: PipelineOptions) -> bool:
    """Whether the workers are this process."""
    return options.view_as(StandardOptions).runner == LOCAL_RUNNER


def run(build: Build, options: PipelineOptions) -> None:
    """Build and run a pipeline to its end.

    Raises:
        CorpusmillError: a worker raised one; its one line comes through every runner.
        KeyboardInterrupt: Ctrl-C, whatever Beam wraps it in.
    """
    with _in_our_words(), beam.Pipeline(options=options) as pipeline:
        build(pipeline)


def submit(build: Build, options: PipelineOptions) -> None:
    """Build a pipeline and hand it to its runner, without waiting where the runner does not.

    Raises what run raises.
    """
    with _in_our_words():
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        pipeline.run()


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn what Beam makes of a worker's error back into that error."""
    try:
        yield
    except CorpusmillError as error:
        raise type(error)(_WHILE_RUNNING.sub("", str(error))) from error
    except RuntimeError as error:
        if _INTERRUPT.search(str(error)):
            raise KeyboardInterrupt from error
        ours = find_ours(str(error))
        if ours is None:
            raise
        raise ours from error


def find_ours(trace: str) -> CorpusmillError | None:
    """Portable runners hand a worker's exception over as text: look for one of ours in it."""
    for name, message in reversed(_OURS.findall(trace)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, CorpusmillError):
            return kind(_WHILE_RUNNING.sub("", message).strip())
    return None
