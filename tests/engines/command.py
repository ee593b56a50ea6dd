"""The command line in a process of its own, and what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.engines.conftest import ROOT, Engine

CODE = """
import signal
# A shell that runs the tests in the background hands on a SIGINT that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipelines.cli import main
main()
"""
PATIENCE_SECONDS = 400.0


def start(engine: Engine, *arguments: str) -> subprocess.Popen[str]:
    """`corpusmill ARGUMENTS` on the engine. Without a preexec_fn, which would fork this process
    with the threads of gRPC in it."""
    named = ["--runner", engine.runner, *engine.beam_arguments]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments, "--quiet", *named],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and standard error. Fails when it takes for ever."""
    try:
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, errors


def curate(engine: Engine, source: str, output: Path, *more: str) -> None:
    """A whole run that must succeed."""
    inputs = ["--input", source, "--output", str(output), *more]
    code, errors = finish(start(engine, "curate", *inputs))
    assert code == 0, errors[-3000:]


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Until it holds, while the process runs."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"it ended or waited before that: {process.communicate()[1][-2000:]}")


def group_lives(group: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
