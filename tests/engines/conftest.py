"""The engines that are here; `make engines` brings them, and what is absent is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import portable
from tests.engines.setups import NEEDS, Engine, engine_of, missing
from tests.engines.spark_cluster import SparkCluster, spark_cluster


@pytest.fixture(scope="session")
def engines_folder() -> Path:
    return portable.engines_folder()


def need(name: str, folder: Path) -> None:
    """Skip the test where the engine is not here."""
    absent = missing(name, folder)
    if absent:
        pytest.skip(f"no {absent[0]} in the folder of engines: `make engines` brings it")


@pytest.fixture(scope="session")
def cluster(
    engines_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkCluster]:
    """A master and two workers."""
    need("spark-cluster", engines_folder)
    with spark_cluster(engines_folder / "pyspark", tmp_path_factory.mktemp("spark")) as running:
        yield running


@pytest.fixture(scope="session", params=list(NEEDS))
def engine(request: pytest.FixtureRequest, engines_folder: Path) -> Engine:
    """Every engine that is here."""
    name: str = request.param
    need(name, engines_folder)
    if name != "spark-cluster":
        return engine_of(name, engines_folder)
    running: SparkCluster = request.getfixturevalue("cluster")
    return engine_of(name, engines_folder, running.master_url)
