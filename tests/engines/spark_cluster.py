"""A standalone Spark cluster on loopback: a master and workers, each a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

START_SECONDS = 60.0


class SparkCluster(NamedTuple):
    """The running processes."""

    master_url: str
    master: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    folder: Path

    def kill_worker(self, number: int) -> None:
        """SIGKILL to a worker and all that it started: a machine that is gone."""
        os.killpg(self.workers[number].pid, signal.SIGKILL)
        self.workers[number].wait()


@contextmanager
def spark_cluster(spark_home: Path, folder: Path, workers: int = 2) -> Iterator[SparkCluster]:
    """A master and `workers` workers of one core each, ended at the end with all they started."""
    port = _free_port()
    url = f"spark://127.0.0.1:{port}"
    place = ["--host", "127.0.0.1", "--webui-port", "0"]
    master = _start(spark_home, folder, "master", [*place, "--port", str(port)])
    running: list[subprocess.Popen[bytes]] = []
    try:
        _wait_for(folder / "master.log", "New state: ALIVE", master)
        for number in range(workers):
            limits = ["--cores", "1", "--memory", "2g", "--work-dir", str(folder / f"w{number}")]
            running.append(_start(spark_home, folder, f"worker{number}", [*place, *limits, url]))
        for number, worker in enumerate(running):
            _wait_for(folder / f"worker{number}.log", "Successfully registered", worker)
        yield SparkCluster(url, master, running, folder)
    finally:
        for process in (*running, master):
            _end(process)


def _start(
    spark_home: Path, folder: Path, name: str, arguments: list[str]
) -> subprocess.Popen[bytes]:
    kind = "master.Master" if name == "master" else "worker.Worker"
    command = [str(spark_home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}"]
    environment = {**os.environ, "SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1"}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _wait_for(log: Path, line: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if line in log.read_text(errors="replace"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"no {line!r} in {log}: {log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
    except ProcessLookupError:
        process.wait()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
