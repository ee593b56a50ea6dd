"""Whole runs on every engine that is here: the same bytes as the local runner's."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines import portable
from pipelines.cli.main import INTERRUPTED
from pipelines.demo import sample_path
from tests.builders.outputs import sums
from tests.engines.command import curate, finish, group_lives, start, wait_until
from tests.engines.conftest import Engine, process_environment
from tests.engines.spark_cluster import SparkCluster, spark_cluster

pytestmark = pytest.mark.slow

LOCAL = Engine("local", "FnApiRunner", [])
SETTINGS = ("--recipe", "demo", "--segment-mb", "0.15", "--workers", "1")


@pytest.fixture(scope="module")
def sample() -> Iterator[str]:
    with sample_path() as path:
        yield str(path)


@pytest.fixture(scope="module")
def expected(sample: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the local runner leaves."""
    output = tmp_path_factory.mktemp("expected") / "out"
    curate(LOCAL, sample, output, *SETTINGS)
    return sums(output)


class WholeRun(NamedTuple):
    """What is curated on every engine, and what the local runner leaves of it."""

    inputs: list[str]
    settings: tuple[str, ...]
    expected: dict[str, str]


@pytest.fixture(scope="module")
def whole_run(repository: Path, sample: str, tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """382 real pages of 19 languages, and what dedup and a reader trip over; where the real data
    is absent, the demo's sample."""
    folder = repository.parent / "shared" / "data" / "warc_pages"
    inputs, settings = [sample], SETTINGS
    if folder.is_dir():
        inputs = [str(folder / f"dev-{name}.warc.gz") for name in ("multilingual", "extras")]
        settings = ("--recipe", "fineweb", "--segment-mb", "0.5", "--workers", "1")
    output = tmp_path_factory.mktemp("whole") / "out"
    curate(LOCAL, inputs[0], output, *inputs[1:], *settings)
    return WholeRun(inputs, settings, sums(output))


def test_every_engine_leaves_the_same_bytes(
    engine: Engine, whole_run: WholeRun, tmp_path: Path
) -> None:
    if engine.name == "local":
        pytest.skip("the local runner's bytes are what the others are compared with")
    inputs, settings, expected = whole_run
    curate(engine, inputs[0], tmp_path / "out", *inputs[1:], *settings)
    assert sums(tmp_path / "out") == expected
    assert any(name.startswith("shards/train/") for name in expected)


def extracted(output: Path) -> int:
    return len(list(output.glob(".work/extract/*.done.json")))


def test_ctrl_c_ends_a_run_and_another_engine_goes_on(
    engine: Engine, sample: str, expected: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    inputs = ["--input", sample, "--output", str(output)]
    run = start(engine, "curate", *inputs, *SETTINGS)
    wait_until(run, lambda: extracted(output) > 0)
    os.kill(run.pid, signal.SIGINT)
    code, errors = finish(run)
    assert code == INTERRUPTED, errors
    assert errors.strip().endswith("run the same command to go on")
    deadline = time.monotonic() + 20
    while group_lives(run.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not group_lives(run.pid)
    curate(LOCAL, sample, output, *SETTINGS)
    assert sums(output) == expected


def on(url: str, boot: Path) -> Engine:
    return Engine(
        "cluster", "SparkRunner", [f"--spark_master_url={url}", *process_environment(boot)]
    )


def test_a_killed_worker_changes_nothing(
    engines_folder: Path, sample: str, expected: dict[str, str], tmp_path: Path
) -> None:
    if not all((engines_folder / name).exists() for name in (portable.SPARK_JAR, "boot")):
        pytest.skip("no Spark in the folder of engines: `make engines` brings it")
    output = tmp_path / "out"
    with spark_cluster(engines_folder / "pyspark", tmp_path) as cluster:
        inputs = ["--input", sample, "--output", str(output)]
        run = start(on(cluster.master_url, engines_folder / "boot"), "curate", *inputs, *SETTINGS)
        wait_until(run, lambda: extracted(output) > 0)
        assert extracted(output) < len(
            json.loads((output / ".work/plan.json").read_bytes())["tasks"]
        )
        cluster.kill_worker(0)
        code, errors = finish(run)
        log = (tmp_path / "master.log").read_text()
    assert code == 0, errors
    # The master saw the worker go with an executor of this application on it.
    assert re.search(r"Removing worker worker-\S+ on", log)
    assert "Telling app of lost executor" in log
    assert sums(output) == expected


def test_a_jar_runs_by_spark_submit(
    cluster: SparkCluster,
    engines_folder: Path,
    sample: str,
    expected: dict[str, str],
    tmp_path: Path,
) -> None:
    output, jar = tmp_path / "out", tmp_path / "extract.jar"
    run = start(
        on(cluster.master_url, engines_folder / "boot"),
        *("phase", "extract", "--input", sample, "--output", str(output), *SETTINGS),
        f"--output_executable_path={jar}",
    )
    code, errors = finish(run)
    assert code == 0, errors
    assert extracted(output) == 0
    spark = engines_folder / "pyspark"
    subprocess.run(
        [str(spark / "bin" / "spark-submit"), "--master", cluster.master_url, str(jar)],
        env={**os.environ, "SPARK_HOME": str(spark), "SPARK_LOCAL_IP": "127.0.0.1"},
        check=True,
        capture_output=True,
        timeout=400,
    )
    assert extracted(output) > 0
    curate(LOCAL, sample, output, *SETTINGS)
    assert sums(output) == expected
