"""Engines as a user names them, and what each of them needs to be here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from pipelines import portable

ROOT = Path(__file__).parents[2]


class Engine(NamedTuple):
    """A runner with its options."""

    name: str
    runner: str
    beam_arguments: list[str]


NEEDS: dict[str, tuple[str, ...]] = {
    "local": (),
    "prism": (portable.PRISM,),
    "flink": (portable.FLINK_JAR,),
    "spark": (portable.SPARK_JAR,),
    "spark-cluster": (portable.SPARK_JAR, "pyspark", "boot"),
}
"""Engine -> files of the folder of engines."""

_SINGLE = {
    "local": Engine("local", "FnApiRunner", []),
    "prism": Engine("prism", "PrismRunner", []),
    "flink": Engine("flink", "FlinkRunner", ["--parallelism=2"]),
    "spark": Engine("spark", "SparkRunner", ["--spark_master_url=local[2]"]),
}


def missing(name: str, folder: Path) -> list[str]:
    """What the engine needs and the folder does not have."""
    return [file for file in NEEDS[name] if not (folder / file).exists()]


def engine_of(name: str, folder: Path, master_url: str = "") -> Engine:
    """The engine of that name; of Spark's cluster, at its master."""
    if name in _SINGLE:
        return _SINGLE[name]
    arguments = [f"--spark_master_url={master_url}", *process_environment(folder / "boot")]
    return Engine(name, "SparkRunner", arguments)


def process_environment(boot: Path) -> list[str]:
    """Options for workers that Beam's own start program starts, with this Python."""
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1",
    }
    config = json.dumps({"command": str(boot), "env": variables})
    return ["--environment_type=PROCESS", f"--environment_config={config}"]
