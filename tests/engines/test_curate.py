"""Whole runs on every engine that is here: the same bytes as the local runner's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import portable
from pipelines.cli.main import INTERRUPTED
from pipelines.demo import sample_path
from tests.engines.command import curate, digests, finish, group_lives, start, wait_until
from tests.engines.conftest import Engine, process_environment
from tests.engines.spark_cluster import spark_cluster

pytestmark = pytest.mark.slow

LOCAL = Engine("local", "FnApiRunner", [])
SETTINGS = ("--recipe", "demo", "--segment-mb", "0.15", "--workers", "1")
REAL_SETTINGS = ("--recipe", "fineweb", "--segment-mb", "0.5", "--workers", "1")


@pytest.fixture(scope="module")
def sample() -> Iterator[str]:
    with sample_path() as path:
        yield str(path)


@pytest.fixture(scope="module")
def expected(sample: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the local runner leaves."""
    output = tmp_path_factory.mktemp("expected") / "out"
    curate(LOCAL, sample, output, *SETTINGS)
    return digests(output)


def test_every_engine_leaves_the_same_bytes(
    engine: Engine, sample: str, expected: dict[str, str], tmp_path: Path
) -> None:
    curate(engine, sample, tmp_path / "out", *SETTINGS)
    assert digests(tmp_path / "out") == expected


@pytest.fixture(scope="module")
def real_pages(shared_data: Path) -> list[str]:
    """382 pages: 19 languages, and what dedup and a reader trip over."""
    folder = shared_data / "warc_pages"
    return [str(folder / f"dev-{name}.warc.gz") for name in ("multilingual", "extras")]


@pytest.fixture(scope="module")
def expected_of_real_pages(
    real_pages: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    output = tmp_path_factory.mktemp("expected-real") / "out"
    curate(LOCAL, real_pages[0], output, *real_pages[1:], *REAL_SETTINGS)
    return digests(output)


def test_every_engine_leaves_the_same_bytes_of_real_pages(
    engine: Engine,
    real_pages: list[str],
    expected_of_real_pages: dict[str, str],
    tmp_path: Path,
) -> None:
    if engine.name == "local":
        pytest.skip("the local runner's bytes are what the others are compared with")
    curate(engine, real_pages[0], tmp_path / "out", *real_pages[1:], *REAL_SETTINGS)
    assert digests(tmp_path / "out") == expected_of_real_pages
    assert any("shards/train" in name for name in expected_of_real_pages)


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
    assert digests(output) == expected


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
    assert "Removing worker" in log
    assert digests(output) == expected


def test_a_jar_runs_by_spark_submit(
    engine: Engine, engines_folder: Path, sample: str, expected: dict[str, str], tmp_path: Path
) -> None:
    if engine.name != "spark-cluster":
        pytest.skip("a jar of a job is a matter of Spark's cluster")
    output, jar = tmp_path / "out", tmp_path / "extract.jar"
    run = start(
        engine,
        *("phase", "extract", "--input", sample, "--output", str(output), *SETTINGS),
        f"--output_executable_path={jar}",
    )
    code, errors = finish(run)
    assert code == 0, errors
    assert extracted(output) == 0
    spark = engines_folder / "pyspark"
    master = engine.beam_arguments[0].removeprefix("--spark_master_url=")
    subprocess.run(
        [str(spark / "bin" / "spark-submit"), "--master", master, str(jar)],
        env={**os.environ, "SPARK_HOME": str(spark), "SPARK_LOCAL_IP": "127.0.0.1"},
        check=True,
        capture_output=True,
        timeout=400,
    )
    assert extracted(output) > 0
    curate(LOCAL, sample, output, *SETTINGS)
    assert digests(output) == expected
