"""Running one phase's graph on a Beam runner, with errors that name what to do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    TestOptions,
)
from apache_beam.runners.runner import PipelineResult, PipelineRunner, create_runner

from pipelines import portable, storage
from pipelines.worker_errors import in_our_words
from schemas.errors import UsageError

LOCAL_RUNNER = "FnApiRunner"
"""Beam's own default, DirectRunner, tries to fetch another runner when online: the same flag
would run different engines. The in-memory FnApiRunner is named instead."""

Build = Callable[[beam.Pipeline], None]
"""Adds the steps of a job to a pipeline."""

USUAL_RUNNERS = (LOCAL_RUNNER, "PrismRunner", "FlinkRunner", "SparkRunner", "DataflowRunner")
_RUNNERS = {
    name.lower().removesuffix("runner"): name for name in StandardOptions.KNOWN_RUNNER_NAMES
}


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
    portable.prepare(options, beam_arguments)
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


def makes_jar(options: PipelineOptions) -> bool:
    """Whether the runner is to write the job into a jar instead of running it."""
    return bool(options.view_as(PortableOptions).output_executable_path)


def option_that_only_builds(options: PipelineOptions) -> str | None:
    """The option, if one is given, by which Beam builds a job for Dataflow and runs none."""
    if options.view_as(TestOptions).dry_run:
        return "--dry_run"
    template = options.view_as(GoogleCloudOptions).template_location
    return "--template_location" if template else None


def run(build: Build, options: PipelineOptions) -> None:
    """Build and run a pipeline to its end.

    Ctrl-C cancels the job, except on runners of the cloud, where it goes on.

    Raises:
        CorpusmillError: a worker raised one; its one line comes through every runner.
        KeyboardInterrupt: Ctrl-C, whatever Beam wraps it in.
    """
    with in_our_words(runner_name(options)):
        pipeline = beam.Pipeline(runner=_runner(options), options=options)
        build(pipeline)
        interrupt = signal.getsignal(signal.SIGINT)
        result = pipeline.run()
        # Beam's job servers take SIGINT for themselves, and would die before they could cancel.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)
        _wait(result, cancel=runner_name(options) in portable.RUNNERS)


def _runner(options: PipelineOptions) -> PipelineRunner:
    name = runner_name(options)
    return portable.FlinkRunner() if name == "FlinkRunner" else create_runner(name)


def _wait(result: PipelineResult, cancel: bool) -> None:
    try:
        result.wait_until_finish()
    except KeyboardInterrupt as interrupt:
        try:
            if cancel:
                result.cancel()
        finally:
            # A job server that is gone answers with an error of its own.
            raise interrupt


def write_graph(build: Build, options: PipelineOptions, target: str) -> None:
    """Write the graph that Dataflow would be sent, as JSON of Beam's Pipeline message.

    The options have Beam's `dry_run`: nothing is staged, and no service is asked.
    """
    from google.protobuf import json_format

    runner: Any = create_runner(runner_name(options))
    pipeline = beam.Pipeline(runner=runner, options=options)
    build(pipeline)
    pipeline.run()
    storage.write_bytes(target, json_format.MessageToJson(runner.proto_pipeline).encode())


def submit(build: Build, options: PipelineOptions) -> None:
    """Build a pipeline and hand it to its runner, without waiting where the runner does not.

    Raises what run raises.
    """
    with in_our_words(runner_name(options)):
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        result = pipeline.run()
        if makes_jar(options):
            result.wait_until_finish()
