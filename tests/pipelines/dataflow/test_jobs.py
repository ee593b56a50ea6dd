"""The driver on Dataflow: Beam's own runner and client against a service that runs the graphs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from rich.console import Console

from pipelines import engine
from pipelines.curate import CurateRequest, curate
from pipelines.demo import sample_path
from pipelines.jobs import Job
from pipelines.phase_names import EXTRACT, FINISH
from pipelines.recipes import load
from pipelines.workspace import Workspace
from schemas.errors import CorpusmillError, OutputError

pytest.importorskip("google.cloud.dataflow")

from apache_beam.runners.dataflow import dataflow_runner

from pipelines.dataflow.jobs import OUTPUT_LABEL, DataflowJobs, find_active, folder_id
from tests.builders.outputs import sums
from tests.pipelines.dataflow.fake_service import FakeService

WORKSPACE = Workspace("gs://bucket/out")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam asks the service every five seconds."""
    sleep = time.sleep
    short = SimpleNamespace(sleep=lambda seconds: sleep(0.01), time=time.time)
    monkeypatch.setattr(dataflow_runner, "time", short)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def options(service: FakeService, tmp_path: Path) -> Iterator[PipelineOptions]:
    (tmp_path / "staging").mkdir()
    with service.serving() as endpoint:
        yield engine.make_options(
            "DataflowRunner",
            [
                *("--project", "a-project", "--region", "europe-west1", "--no_auth"),
                *("--temp_location", str(tmp_path / "staging")),
                *("--sdk_container_image", "example/worker:1", "--labels", "team=data"),
                *("--dataflow_endpoint", endpoint),
            ],
        )


def jobs_of(options: PipelineOptions, said: list[str] | None = None) -> DataflowJobs:
    say = ([] if said is None else said).append
    return DataflowJobs(options, "My Recipe", "0a1b2c3d", WORKSPACE, say)


def some_job(build: Callable[[beam.Pipeline], None], phase: str = EXTRACT) -> Job:
    return Job(phase, phase, "nothing", build)


@pytest.mark.slow
def test_the_graphs_that_the_service_gets_make_the_same_bytes(
    service: FakeService, options: PipelineOptions, tmp_path: Path
) -> None:
    with sample_path() as sample:
        request = CurateRequest(
            inputs=[str(sample)],
            output=str(tmp_path / "cloud"),
            recipe=load("demo"),
            workers=2,
            options=options,
            segment_bytes=50_000,
        )
        curate(request, Console(stderr=True), quiet=True)
        here = request._replace(output=str(tmp_path / "here"), options=None)
        curate(here, Console(stderr=True), quiet=True)
    assert sums(tmp_path / "cloud") == sums(tmp_path / "here")
    run = service.names()[0].removeprefix("corpusmill-demo-").removesuffix("-extract")
    assert re.fullmatch(r"[0-9a-f]{8}", run)
    phases = ("extract", "dedup-clusters", "finish", "tokenizer", "tokenize", "pack")
    assert service.names() == [f"corpusmill-demo-{run}-{phase}" for phase in phases]
    for job, phase in zip(service.jobs.values(), phases, strict=True):
        assert job["labels"] == {
            "team": "data",
            "corpusmill-phase": phase.split("-")[0],
            "corpusmill-recipe": "demo",
            "corpusmill-run": run,
            OUTPUT_LABEL: folder_id(Workspace(str(tmp_path / "cloud"))),
        }
        (pool,) = job["environment"]["workerPools"]
        assert pool["workerHarnessContainerImage"] == "example/worker:1"


@pytest.fixture
def slow_service(options: PipelineOptions) -> Iterator[tuple[FakeService, threading.Event]]:
    """A service whose jobs end when the event is set."""
    go_on = threading.Event()
    service = FakeService(run=lambda graph: None if go_on.wait(60) else pytest.fail("no end"))
    with service.serving() as endpoint:
        options.view_as(GoogleCloudOptions).dataflow_endpoint = endpoint
        yield service, go_on


def never(pipeline: beam.Pipeline) -> None:
    raise AssertionError("a second graph was built")


def one_element(pipeline: beam.Pipeline) -> None:
    pipeline | beam.Create([1])


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_that_outlived_its_driver_is_waited_for(
    slow_service: tuple[FakeService, threading.Event], options: PipelineOptions
) -> None:
    service, go_on = slow_service
    # The first driver plays no part from here on: the second one finds its job.
    first = in_background(lambda: jobs_of(options).run(some_job(one_element)))
    wait_until(lambda: service.jobs)
    said: list[str] = []
    second = in_background(lambda: jobs_of(options, said).run(some_job(never)))
    wait_until(lambda: said)
    assert second.is_alive()
    go_on.set()
    second.join(60)
    first.join(60)
    assert service.names() == ["corpusmill-my-recipe-0a1b2c3d-extract"]
    assert said == [
        "job corpusmill-my-recipe-0a1b2c3d-extract is under way already "
        "(2026-01-01_00_00_00-0): waiting for it"
    ]
    # It has ended: nothing is found, and the next attempt is a job of its own.
    jobs_of(options).run(some_job(one_element))
    assert len(service.jobs) == 2


def test_two_drivers_at_once_share_one_job(
    slow_service: tuple[FakeService, threading.Event], options: PipelineOptions
) -> None:
    service, go_on = slow_service
    said: list[str] = []
    first = in_background(lambda: jobs_of(options).run(some_job(one_element)))
    wait_until(lambda: service.jobs)

    def nobody_yet(options: PipelineOptions) -> None:
        monkey.undo()

    monkey = pytest.MonkeyPatch()
    monkey.setattr("pipelines.dataflow.jobs.find_active", nobody_yet)
    second = in_background(lambda: jobs_of(options, said).run(some_job(one_element)))
    wait_until(lambda: said)
    go_on.set()
    second.join(60)
    first.join(60)
    assert len(service.jobs) == 1
    assert "under way already" in said[0]


def test_a_job_in_the_same_folder_is_in_the_way(
    service: FakeService, options: PipelineOptions
) -> None:
    """Whatever it is called, and whatever run it is about; lists have no labels."""
    here = {OUTPUT_LABEL: folder_id(WORKSPACE)}
    service.add("other", "JOB_STATE_RUNNING", **{OUTPUT_LABEL: "0" * 16})
    service.add("unlabelled", "JOB_STATE_RUNNING")
    service.add("over", "JOB_STATE_DONE", **here)
    jobs_of(options).run(some_job(one_element))
    found = service.add("corpusmill-extract-1", "JOB_STATE_PENDING", **here)
    with pytest.raises(CorpusmillError) as refused:
        jobs_of(options).run(some_job(never))
    assert str(refused.value) == (
        f"Dataflow job corpusmill-extract-1 ({found}) works in gs://bucket/out: wait for it, or "
        f"stop it with gcloud dataflow jobs cancel {found} --region europe-west1"
    )


def fail(element: int) -> None:
    raise OutputError(f"cannot write part {element}: the bucket is gone")


def defect(element: int) -> float:
    return element / 0


def test_a_failed_job_is_one_line_with_its_id(options: PipelineOptions) -> None:
    with pytest.raises(OutputError) as ours:
        jobs_of(options).run(some_job(lambda p: p | beam.Create([7]) | beam.Map(fail), FINISH))
    where = (
        "[Dataflow job corpusmill-my-recipe-0a1b2c3d-finish (2026-01-01_00_00_00-0); its log: "
        "gcloud logging read 'resource.labels.job_id=\"2026-01-01_00_00_00-0\"' "
        "--project a-project]"
    )
    assert str(ours.value) == f"cannot write part 7: the bucket is gone {where}"
    with pytest.raises(CorpusmillError) as other:
        jobs_of(options).run(some_job(lambda p: p | beam.Create([7]) | beam.Map(defect)))
    line = str(other.value)
    assert line.startswith("the job on Dataflow failed in step Map(defect): ZeroDivisionError: ")
    assert "(2026-01-01_00_00_00-1)" in line
    assert "\n" not in line


def test_an_api_that_refuses_is_one_line(service: FakeService, options: PipelineOptions) -> None:
    service.refuse = 403
    with pytest.raises(CorpusmillError) as refused:
        jobs_of(options).run(some_job(never))
    assert str(refused.value).startswith(
        "Dataflow refuses job corpusmill-my-recipe-0a1b2c3d-extract in project a-project, region "
        "europe-west1: 403 "
    )
    assert "\n" not in str(refused.value)


def test_nothing_active_is_nothing(options: PipelineOptions) -> None:
    assert find_active(options) is None
