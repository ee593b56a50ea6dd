"""Options of Prism, Spark and Flink: what is filled in, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    SparkRunnerOptions,
)

from pipelines import portable
from pipelines.engine import make_options
from schemas.errors import UsageError

PROGRAMS = {
    "PrismRunner": (portable.PRISM, "prism_location"),
    "SparkRunner": (portable.SPARK_JAR, "spark_job_server_jar"),
    "FlinkRunner": (portable.FLINK_JAR, "flink_job_server_jar"),
}


@pytest.fixture(params=sorted(PROGRAMS))
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of engines, empty."""
    monkeypatch.setenv(portable.ENGINES_VARIABLE, str(tmp_path))
    return tmp_path


def program_of(options: PipelineOptions, runner: str) -> str | None:
    named: str | None = options.get_all_options()[PROGRAMS[runner][1]]
    return named


def test_the_folders_program_is_taken(runner: str, folder: Path) -> None:
    program = folder / PROGRAMS[runner][0]
    program.touch()
    options = make_options(runner, [])
    assert program_of(options, runner) == str(program)
    portable.check(options)


def test_a_named_program_is_taken_first(runner: str, folder: Path, tmp_path: Path) -> None:
    (folder / PROGRAMS[runner][0]).touch()
    other = tmp_path / "other"
    other.touch()
    options = make_options(runner, [f"--{PROGRAMS[runner][1]}={other}"])
    assert program_of(options, runner) == str(other)


def test_a_missing_program_is_one_line_that_says_what_to_do(runner: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="run `make engines` once") as caught:
        portable.check(make_options(runner, []))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="there is no such file"):
        portable.check(make_options(runner, [f"--{PROGRAMS[runner][1]}=/no/such/file"]))


@pytest.mark.parametrize("argument", ["URL", "endpoint"])
def test_what_is_elsewhere_is_not_looked_for(argument: str, runner: str, folder: Path) -> None:
    option = f"--{PROGRAMS[runner][1]}=https://example.org/x"
    portable.check(
        make_options(runner, [option if argument == "URL" else "--job_endpoint=localhost:8099"])
    )


@pytest.mark.parametrize("runner", ["SparkRunner", "FlinkRunner", "PortableRunner"])
def test_reads_are_expanded_and_workers_kept(runner: str, folder: Path) -> None:
    options = make_options(runner, [])
    assert portable.PRE_OPTIMIZE in options.view_as(DebugOptions).experiments
    assert (
        options.view_as(PortableOptions).environment_cache_millis == portable.ENVIRONMENT_CACHE_MS
    )


def test_what_is_given_stands(folder: Path) -> None:
    given = ["--experiments=pre_optimize=all", "--environment_cache_millis=0"]
    options = make_options("SparkRunner", given)
    assert options.view_as(DebugOptions).experiments == ["pre_optimize=all"]
    assert int(options.view_as(PortableOptions).environment_cache_millis) == 0
    loud = make_options("PrismRunner", ["--prism_log_level=info"])
    assert loud.view_as(PrismRunnerOptions).prism_log_level == "info"


def test_the_local_runner_is_left_alone(folder: Path) -> None:
    options = make_options(None, [])
    portable.check(options)
    assert options.view_as(SparkRunnerOptions).spark_job_server_jar is None
    assert options.view_as(DebugOptions).experiments is None


def test_flinks_jobs_share_a_job_server(folder: Path) -> None:
    (folder / portable.FLINK_JAR).touch()
    one, two = (make_options("FlinkRunner", ["--flink_master=h:1"]) for _ in range(2))
    other = make_options("FlinkRunner", ["--flink_master=h:2"])
    server = portable.FlinkRunner().default_job_server(one)
    assert portable.FlinkRunner().default_job_server(two) is server
    assert portable.FlinkRunner().default_job_server(other) is not server


def test_an_option_that_sends_later_jobs_elsewhere_is_refused(folder: Path) -> None:
    (folder / portable.FLINK_JAR).touch()
    given = ["--flink_master=host:8081", "--flink_submit_uber_jar"]
    options = make_options("FlinkRunner", given)
    assert options.view_as(FlinkRunnerOptions).flink_submit_uber_jar
    with pytest.raises(UsageError, match="--flink_submit_uber_jar"):
        portable.check(options)
