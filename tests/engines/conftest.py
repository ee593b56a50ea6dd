"""The engines that are here; `make engines` brings them, and what is absent is skipped."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines import portable
from tests.engines.spark_cluster import SparkCluster, spark_cluster

ROOT = Path(__file__).parents[2]


class Engine(NamedTuple):
    """A runner as a user names it."""

    name: str
    runner: str
    beam_arguments: list[str]


def process_environment(boot: Path) -> list[str]:
    """Options for workers that Beam's own start program starts, with this Python."""
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1",
    }
    config = json.dumps({"command": str(boot), "env": variables})
    return ["--environment_type=PROCESS", f"--environment_config={config}"]


@pytest.fixture(scope="session")
def engines_folder() -> Path:
    return portable.engines_folder()


def _need(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).exists():
            pytest.skip(f"no {name} in the folder of engines: `make engines` brings it")


@pytest.fixture(scope="session")
def cluster(
    engines_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkCluster]:
    """A master and two workers."""
    _need(engines_folder, portable.SPARK_JAR, "pyspark", "boot")
    with spark_cluster(engines_folder / "pyspark", tmp_path_factory.mktemp("spark")) as running:
        yield running


@pytest.fixture(scope="session", params=["local", "prism", "flink", "spark", "spark-cluster"])
def engine(request: pytest.FixtureRequest, engines_folder: Path) -> Engine:
    """Every engine that is here."""
    name: str = request.param
    if name == "local":
        return Engine(name, "FnApiRunner", [])
    if name == "prism":
        _need(engines_folder, portable.PRISM)
        return Engine(name, "PrismRunner", [])
    if name == "flink":
        _need(engines_folder, portable.FLINK_JAR)
        return Engine(name, "FlinkRunner", ["--parallelism=2"])
    if name == "spark":
        _need(engines_folder, portable.SPARK_JAR)
        return Engine(name, "SparkRunner", ["--spark_master_url=local[2]"])
    running: SparkCluster = request.getfixturevalue("cluster")
    url = f"--spark_master_url={running.master_url}"
    return Engine(name, "SparkRunner", [url, *process_environment(engines_folder / "boot")])
