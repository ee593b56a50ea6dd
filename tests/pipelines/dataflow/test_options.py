"""What Dataflow would miss is named before any work; what a phase adds gives way to the user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

pytest.importorskip("google.cloud.dataflow")

from pipelines.cli.main import run
from pipelines.dataflow import options as cloud_options
from pipelines.dataflow.options import IMAGE_VARIABLE, add_labels, check, for_phase, job_name
from pipelines.dataflow.sizes import SIZES
from pipelines.engine import make_options
from pipelines.phase_names import PHASES
from schemas.errors import UsageError

WHOLE = ["--project=p", "--region=r", "--temp_location=gs://b/t", "--sdk_container_image=i"]


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without gcloud, credentials or a metadata server."""
    monkeypatch.setattr(cloud_options, "_usual_region", lambda: None)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", IMAGE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nowhere")


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("--project", "--runner DataflowRunner needs --project"),
        ("--region", "--runner DataflowRunner needs --region"),
        ("--temp_location", "--runner DataflowRunner needs --temp_location"),
        ("--", "--runner DataflowRunner needs --project, --region, --temp_location"),
        ("--sdk_container_image", "Dataflow's workers need corpusmill: name an image that has it"),
        ("nothing", "no Google Cloud credentials: run `gcloud auth application-default login`"),
    ],
)
def test_what_is_missing_is_one_line(without: str, message: str) -> None:
    given = [o for o in WHOLE if not o.startswith(without)]
    with pytest.raises(UsageError) as missing:
        check(make_options("DataflowRunner", given))
    assert str(missing.value).startswith(message)
    assert "\n" not in str(missing.value)


@pytest.mark.parametrize("option", ["--dry_run=True", "--template_location=gs://b/x"])
@pytest.mark.parametrize("command", ["curate", "decide"])
def test_a_whole_run_is_no_dry_run(
    option: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["--input=gs://b/a"] if command == "curate" else ["gs://b/annotated"]
    given = [*source, "--output=gs://b/out", "--runner=DataflowRunner", *WHOLE, option]
    assert run([command, *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {option.partition('=')[0]} builds one job and runs none")
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--runner=DataflowRunner", "--dry_run=True"], "--dry_run needs --dataflow_job_file FILE"),
        (["--runner=PrismRunner", "--dry_run=True"], "--dry_run does not go with this: --runner "),
        (["--runner=DataflowRunner", "--template_location=x"], "--template_location does not go"),
    ],
)
def test_a_dry_run_of_a_phase_says_where_to(
    options: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["phase", "dedup", "--output=gs://b/out", *options]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert len(error.strip().splitlines()) == 1


def test_the_command_line_says_it_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ["-i", "https://data.example/a.warc.gz", "-o", "gs://bucket/out"]
    for command in (["curate", *paths], ["phase", "dedup", "-o", "gs://bucket/out"]):
        assert run([*command, "--runner", "DataflowRunner", "--region", "r"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == "error: --runner DataflowRunner needs --project, --temp_location"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_options, "_installed", lambda module: False)
    with pytest.raises(UsageError, match=r"pip install 'corpusmill\[gcp\]'"):
        check(make_options("DataflowRunner", WHOLE))


def test_what_may_stand_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    options = make_options(
        "DataflowRunner", ["--project=p", "--staging_location=gs://b/s", "--no_auth"]
    )
    monkeypatch.setattr(cloud_options, "_usual_region", lambda: "europe-west1")
    monkeypatch.setenv(IMAGE_VARIABLE, "example/worker:1")
    check(options)
    assert options.view_as(GoogleCloudOptions).region == "europe-west1"
    assert options.view_as(GoogleCloudOptions).temp_location == "gs://b/s"
    assert options.view_as(WorkerOptions).sdk_container_image == "example/worker:1"
    packaged = ["--project=p", "--region=r", "--temp_location=gs://b/t", "--no_auth"]
    monkeypatch.delenv(IMAGE_VARIABLE)
    check(make_options("DataflowRunner", [*packaged, "--extra_package=corpusmill.whl"]))


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_adds_what_the_user_left_out(phase: str) -> None:
    given = make_options("DataflowRunner", WHOLE)
    made = for_phase(given, phase)
    assert made.view_as(WorkerOptions).machine_type == SIZES[phase].machine_type
    assert made.view_as(SetupOptions).sdk_location == "container"
    assert made.view_as(SetupOptions).save_main_session is False
    asked = ["--worker_machine_type=c3-standard-8", "--disk_size_gb=99"]
    asked += ["--resource_hints=min_ram=1GB", "--number_of_worker_harness_threads=3"]
    asked += ["--save_main_session"]
    made = for_phase(make_options("DataflowRunner", [*WHOLE, *asked]), phase)
    worker = made.view_as(WorkerOptions)
    assert (worker.machine_type, worker.disk_size_gb) == ("c3-standard-8", 99)
    assert made.view_as(StandardOptions).resource_hints == ["min_ram=1GB"]
    assert made.view_as(DebugOptions).number_of_worker_harness_threads == 3
    assert made.view_as(SetupOptions).save_main_session is True
    # The user's own are not changed: other phases follow.
    assert given.view_as(WorkerOptions).machine_type is None


def test_job_names_are_what_beam_takes() -> None:
    pattern = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # Beam's PipelineOptionsValidator
    for recipe in ("fineweb", "Mein Rezept (2)", "x" * 200, "_"):
        for job in ("extract", "dedup-stars-59"):
            name = job_name(recipe, "0a1b2c3d", job)
            assert pattern.fullmatch(name)
            assert len(name) <= 63
            assert name.endswith(f"-0a1b2c3d-{job}")
    assert job_name("fineweb", "0a1b2c3d", "pack") == "corpusmill-fineweb-0a1b2c3d-pack"


def test_labels_join_those_of_the_user() -> None:
    options = make_options("DataflowRunner", [*WHOLE, "--labels", "team=data"])
    add_labels(options, {"corpusmill-recipe": "My Recipe!"})
    assert options.view_as(GoogleCloudOptions).labels == [
        "team=data",
        "corpusmill-recipe=my-recipe",
    ]
