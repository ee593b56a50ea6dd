"""Ctrl-C: one line, exit code 130, no child left, and the next run goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.main import INTERRUPTED
from pipelines.demo import sample_path

LINE = "interrupted; what was finished is kept: run the same command to go on"
CODE = """
import signal
# A shell that runs the tests in the background hands on a SIGINT that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipelines.cli import main
main()
"""
PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def sample() -> Iterator[Path]:
    with sample_path() as path:
        yield path


def begin(sample: Path | str, output: Path, segment_mb: str = "0.02") -> subprocess.Popen[str]:
    arguments = ["curate", "--input", str(sample), "--output", str(output), "--recipe", "demo"]
    arguments += ["--quiet", "--workers", "2", "--segment-mb", segment_mb]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(run: subprocess.Popen[str], path: Path, pattern: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while run.poll() is None and time.monotonic() < deadline:
        if any(path.glob(pattern)):
            return
        time.sleep(0.005)
    pytest.fail(f"{path}/{pattern} did not appear")


def assert_nobody_left(group: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("children outlived the run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "whole_group"),
    [("children start", True), ("extract", True), ("extract", False), ("finish", True)],
)
def test_ctrl_c(moment: str, whole_group: bool, sample: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run = begin(sample, output)
    work = output / ".work"
    if moment == "children start":
        wait_for(run, work, "plan.json")
        time.sleep(1.0)
    else:
        wait_for(run, work / moment, "*.done.json")
    if whole_group:
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == INTERRUPTED, err
    assert err.splitlines() == [LINE]
    assert out == ""
    assert_nobody_left(run.pid)
    assert not (output / "run.json").exists()
    assert not list(output.rglob("*.tmp"))


@pytest.mark.slow
def test_the_next_run_goes_on(sample: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run = begin(sample, output)
    wait_for(run, output / ".work" / "extract", "*.done.json")
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=PATIENCE_SECONDS)
    done = {p: p.stat().st_mtime_ns for p in (output / ".work" / "extract").glob("*.done.json")}
    again = begin(sample, output)
    _, err = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0, err
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())


@pytest.mark.slow
def test_a_long_segment_does_not_hold_it_up(sample: Path, tmp_path: Path) -> None:
    run = begin(sample, tmp_path / "out", segment_mb="16")
    wait_for(run, tmp_path / "out" / ".work" / "progress", "*")
    begun = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=PATIENCE_SECONDS)
    assert err.splitlines() == [LINE]
    assert time.monotonic() - begun < 10
    assert_nobody_left(run.pid)


@pytest.mark.slow
def test_a_silent_server_does_not_hold_it_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_SECONDS)
        port = server.getsockname()[1]
        run = begin(f"http://127.0.0.1:{port}/a.warc.gz", tmp_path / "out")
        connection, _ = server.accept()
        with connection:
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == INTERRUPTED, err
    assert err.splitlines() == [LINE]
    assert not (tmp_path / "out").exists()
