"""Flex Templates as their launcher runs them: Beam's own translation, without a network.

Only what would go over it is replaced: gs:// is a local folder. What the launcher would submit is
checked, and then run.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from google.protobuf import json_format
from rich.console import Console

pytest.importorskip("google.cloud.dataflow")

from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.runners.dataflow.internal import apiclient

from pipelines import engine, summaries
from pipelines.cli.main import run
from pipelines.curate import curate, make_request
from pipelines.dataflow.flex import PHASE_VARIABLE, launch, main
from pipelines.dataflow.jobs import OUTPUT_LABEL, folder_id
from pipelines.dataflow.options import IMAGE_VARIABLE
from pipelines.dataflow.sizes import SIZES
from pipelines.demo import sample_path
from pipelines.phase import NO_WORK
from pipelines.phase_names import PHASES
from pipelines.phases import dedup
from pipelines.workspace import Workspace
from schemas.errors import CorpusmillError
from tests.builders.outputs import sums
from tests.pipelines.dataflow.fake_service import FakeService, run_graph
from tests.pipelines.dataflow.store import mount

IMAGE = "example/worker@sha256:0000000000000000000000000000000000000000000000000000000000000000"
SET = "gate=null; quality=[]; pii.kinds=[]; tokenizer.vocab_size=400; "
SET += "language.keep={en: 0.1, de: 0.1}; shards.tokens_per_shard=5000"
OUT = "gs://bucket/runs/one"
SPLITTABLE = {
    common_urns.sdf_components.PAIR_WITH_RESTRICTION.urn,
    common_urns.sdf_components.SPLIT_AND_SIZE_RESTRICTIONS.urn,
    common_urns.sdf_components.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS.urn,
}


class Launcher:
    """What Dataflow's launcher does around our code."""

    def __init__(self, folder: Path) -> None:
        self.service = FakeService()
        """Knows of the jobs that are active; nothing is submitted to it here."""
        self.endpoint = ""
        self._job_file = folder / "job_object"
        self.graph = beam_runner_api_pb2.Pipeline()
        self.job: dict[str, Any] = {}
        self.staged: list[str] = []
        self.runs: set[str] = set()

    def launch(self, phase: str, *parameters: str) -> str | None:
        """Returns the name of the job that is in the file."""
        self.staged.clear()
        end = launch(
            phase,
            [
                f"--output={OUT}",
                *parameters,
                *("--project=a-project", "--region=europe-west1", "--no_auth"),
                *("--temp_location=gs://bucket/temp", f"--job_name=launched-{phase}"),
                *(f"--template_location={self._job_file}", f"--dataflow_endpoint={self.endpoint}"),
            ],
        )
        self.job = json.loads(self._job_file.read_text())
        return end.submitted

    def stage(self, folder: str, name: str, stream: Any, **_: Any) -> None:
        """In place of a transfer to Cloud Storage."""
        if folder.startswith("gs://"):
            self.staged.append(name)
            self.graph.ParseFromString(stream.read())
        else:
            (Path(folder) / name).write_bytes(stream.read())


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    made = Launcher(tmp_path)

    def stage(client: Any, folder: str, name: str, stream: Any, *_: Any, **__: Any) -> None:
        made.stage(folder, name, stream)

    monkeypatch.setattr(apiclient.DataflowApplicationClient, "stage_file", stage)
    monkeypatch.setattr(
        GoogleCloudOptions, "_warn_if_soft_delete_policy_enabled", lambda options, name: None
    )
    monkeypatch.setenv(IMAGE_VARIABLE, IMAGE)
    mount(tmp_path / "store", monkeypatch)
    with made.service.serving() as made.endpoint:
        yield made


@pytest.fixture
def begin(tmp_path: Path) -> list[str]:
    """The parameters of extract."""
    bucket = tmp_path / "store" / "bucket"
    bucket.mkdir(parents=True)
    with sample_path() as sample:
        (bucket / "crawl.warc.gz").write_bytes(sample.read_bytes())
    return [
        "--inputs=gs://bucket/*.warc.gz, gs://bucket/crawl.warc.gz",
        *("--recipe=demo", f"--overrides={SET}", "--segment_mb=0.05"),
    ]


def steps(graph: beam_runner_api_pb2.Pipeline) -> list[str]:
    """Names of the user's steps, in the order of the graph."""
    transforms = graph.components.transforms
    (root,) = graph.root_transform_ids
    return [transforms[name].unique_name for name in transforms[root].subtransforms]


def check(launcher: Launcher, phase: str) -> None:
    """What Dataflow, and what we promise, asks of a graph."""
    graph, job = launcher.graph, launcher.job
    # Nothing is installed on workers: all is in the image.
    assert launcher.staged == ["pipeline.pb"]
    assert job["name"] == f"launched-{phase}"
    assert job["type"] == "JOB_TYPE_BATCH"
    run = job["labels"].pop("corpusmill-run")
    assert re.fullmatch(r"[0-9a-f]{8}", run)
    assert launcher.runs in (set(), {run})
    launcher.runs.add(run)
    assert job["labels"] == {
        "corpusmill-phase": phase,
        "corpusmill-recipe": "demo",
        OUTPUT_LABEL: folder_id(Workspace(OUT)),
    }
    (pool,) = job["environment"]["workerPools"]
    size = SIZES[phase]
    assert pool["machineType"] == size.machine_type
    assert pool["diskSizeGb"] == size.disk_gb
    assert pool.get("numThreadsPerWorker") == size.threads
    assert pool["workerHarnessContainerImage"] == IMAGE
    components = graph.components
    hint = str(int(size.min_ram.removesuffix("GB")) * 10**9).encode()
    used = set()
    for transform in components.transforms.values():
        assert transform.spec.urn not in SPLITTABLE
        if transform.spec.urn == common_urns.primitives.PAR_DO.urn:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            assert not payload.restriction_coder_id
            assert not payload.state_specs
            assert not payload.timer_family_specs
            used.add(transform.environment_id)
    for name in used:
        environment = components.environments[name]
        docker = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
        assert environment.urn == common_urns.environments.DOCKER.urn
        assert docker.container_image == IMAGE
        assert environment.resource_hints["beam:resources:min_ram_bytes:v1"] == hint
        assert not environment.dependencies
    assert used


@pytest.mark.slow
def test_launch_after_launch_makes_the_same_bytes(
    launcher: Launcher, begin: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "EDGE_LIMIT", 2)
    monkeypatch.setattr(summaries, "ROWS_AT_ONCE", 2)
    done = tmp_path / "store" / "bucket" / "runs" / "one" / ".work" / "dedup.done.json"
    handed = []

    def one(phase: str, *parameters: str) -> None:
        handed.append(launcher.launch(phase, *parameters))
        check(launcher, phase)
        run_graph(launcher.graph)

    one("extract", *begin)
    while not done.exists():
        one("dedup")
    for phase in PHASES[2:]:
        one(phase)
    rounds = ["dedup-edges", "dedup-stars-0", "dedup-stars-1", "dedup-clusters"]
    assert handed == ["extract", *rounds, *PHASES[2:]]
    options = engine.make_options(None, [])
    request, _ = make_request(
        ["gs://bucket/*.warc.gz"],
        str(tmp_path / "here"),
        "demo",
        options,
        overrides=SET.split("; "),
        workers=2,
        segment_mb=0.05,
    )
    curate(request, Console(stderr=True), quiet=True)
    assert sums(done.parents[1]) == sums(tmp_path / "here")
    # From the start again: nothing is left to do, and every launch still has a graph.
    for phase in PHASES[1:-1]:
        assert launcher.launch(phase) == NO_WORK
        check(launcher, phase)
        run_graph(launcher.graph)


@pytest.mark.slow
def test_steps_are_in_their_order(
    launcher: Launcher, begin: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "ROWS_AT_ONCE", 2)
    graphs = {}
    for phase in PHASES:
        launcher.launch(phase, *(begin if phase == "extract" else []))
        graphs[phase] = steps(launcher.graph)
        run_graph(launcher.graph)
    assert graphs == {
        "extract": ["Tasks", "Paths", "Extract"],
        "dedup": [
            *("KeyFiles", "ReadKeys", "Deduplicate", "In", "Dropped", "WriteClusters"),
            *("Counted", "WriteMarker"),
        ],
        "finish": ["Tasks", "Named", "ClusterFiles", "Publish", "ReadMembers", "ByTask", "Finish"],
        "tokenizer": ["Tasks", "Sample", "Zero", "WithZero", "Typed", "Gather", "Train"],
        "tokenize": ["Tasks", "Tokenize"],
        "pack": ["Tasks", "SplitByShard", "ByShard", "Pack"],
        "summarize": ["Parts", "Summarize"],
        "report": ["Output", "Report"],
    }


@pytest.mark.slow
def test_a_graph_can_be_looked_at_without_a_change(
    launcher: Launcher, begin: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, graph = tmp_path / "store" / "bucket" / "runs" / "one", tmp_path / "graph.json"
    for phase in PHASES:
        launcher.launch(phase, *(begin if phase == "extract" else []))
        run_graph(launcher.graph)
    assert (folder / "run.json").exists()
    cloud = ["--project=a-project", "--region=europe-west1", "--temp_location=gs://bucket/temp"]
    may_change = {"lists", "clocks.json"}

    def look(phase: str, *more: str) -> str:
        before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        dry = ["--runner=DataflowRunner", *cloud, "--dry_run=True", f"--dataflow_job_file={graph}"]
        assert run(["phase", phase, f"--output={OUT}", *more, *dry]) == 0
        after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        changed = {p for p in before | after if before.get(p) != after.get(p)}
        assert {p.relative_to(folder).parts[0] for p in changed} <= {".work"}
        assert {p.parts[len(folder.parts) + 1] for p in changed} <= may_change
        return capsys.readouterr().out.strip()

    assert look("dedup") == "dedup: complete"
    assert not graph.exists()
    # Another input: extract has work, and the run that is finished stays so.
    shutil.copy(folder.parents[1] / "crawl.warc.gz", folder.parents[1] / "more.warc.gz")
    more = ["--input=gs://bucket/*.warc.gz", "--recipe=demo", "--segment-mb=0.05"]
    more += [f"--set={one}" for one in SET.split("; ")]
    assert look("extract", *more) == f"extract: job extract is in {graph}"
    seen = json_format.Parse(graph.read_text(), beam_runner_api_pb2.Pipeline())
    assert steps(seen) == ["Tasks", "Paths", "Extract"]
    assert (folder / "run.json").exists()
    # Deduplication that is to be done again takes no result away either.
    may_change |= {"dedup", "clusters"}
    (folder / ".work" / "dedup.done.json").unlink()
    assert look("dedup") == f"dedup: job dedup-clusters is in {graph}"
    assert list((folder / "clusters").iterdir())


@pytest.mark.slow
def test_a_run_that_keeps_nothing_ends(
    launcher: Launcher, begin: list[str], tmp_path: Path
) -> None:
    """An error on the worker would have Dataflow try again, and fail the workflow."""
    nothing = [begin[0], "--recipe=demo", "--overrides=language.keep={fi: 0.99}"]
    for phase in PHASES:
        launcher.launch(phase, *(nothing if phase == "extract" else []))
        run_graph(launcher.graph)
    record = json.loads((tmp_path / "store/bucket/runs/one/run.json").read_text())
    assert record["phases"][-1]["kept"] == 0


def run_main(monkeypatch: pytest.MonkeyPatch, phase: str, *arguments: str) -> int:
    monkeypatch.setenv(PHASE_VARIABLE, phase)
    return main(["--project=p", "--region=r", "--no_auth", *arguments])


def test_wrong_parameters_are_one_line(
    launcher: Launcher,
    begin: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, temp = f"--output={OUT}", "--temp_location=gs://bucket/temp"
    cases: list[tuple[str, list[str], str]] = [
        ("", [], "CORPUSMILL_PHASE is ''"),
        ("dedup", [], "parameter output is missing"),
        ("dedup", ["--output=/local"], "parameter output: '/local' is not valid"),
        ("extract", [out, temp], "parameter inputs or inputs_from is missing"),
        ("extract", [out, temp, "--inputs_from=list"], "inputs_from: 'list' is not valid"),
        ("extract", [out, temp, "--inputs_from=gs://bucket/list"], "list line 2: x.warc.gz is a"),
        ("extract", [out, temp, *begin, "--limit=0"], "parameter limit: '0' is not valid"),
        ("extract", [out, temp, begin[0], "--recipe=nonsense"], "no recipe 'nonsense'"),
        ("extract", [out, temp, begin[0], "--recipe=gs://b/x.yaml"], "recipe gs://b/x.yaml: "),
        ("dedup", [out], "--runner DataflowRunner needs --temp_location"),
        ("dedup", [out, temp], "holds no run: launch phase extract first"),
    ]
    (tmp_path / "store" / "bucket" / "list").write_text("# relative\nx.warc.gz\n")
    for phase, arguments, line in cases:
        assert run_main(monkeypatch, phase, *arguments) == 2
        error = capsys.readouterr().err
        assert line in error
        assert len(error.strip().splitlines()) == 1


def test_a_list_of_inputs_in_a_store(launcher: Launcher, begin: list[str], tmp_path: Path) -> None:
    (tmp_path / "store" / "bucket" / "warc.paths").write_text("crawl.warc.gz\n")
    given = ["--inputs_from=gs://bucket/warc.paths", "--inputs_prefix=gs://bucket/", *begin[1:]]
    assert launcher.launch("extract", *given) == "extract"
    plan = tmp_path / "store" / "bucket" / "runs" / "one" / ".work" / "plan.json"
    (file,) = json.loads(plan.read_text())["inputs"]
    assert file[0] == "gs://bucket/crawl.warc.gz"


def test_a_recipe_in_a_store(
    launcher: Launcher, begin: list[str], tmp_path: Path, repository: Path
) -> None:
    text = (repository / "pipelines" / "recipes" / "demo.yaml").read_text()
    (tmp_path / "store" / "bucket" / "mine.yaml").write_text(text)
    assert launcher.launch("extract", begin[0], "--recipe=gs://bucket/mine.yaml") == "extract"


@pytest.mark.slow
def test_the_same_launch_with_discard_goes_on(
    launcher: Launcher, begin: list[str], tmp_path: Path
) -> None:
    """A workflow gives `discard` to extract whenever it runs."""
    folder = tmp_path / "store" / "bucket" / "runs" / "one"
    assert launcher.launch("extract", *begin, "--limit=5") == "extract"
    run_graph(launcher.graph)
    assert launcher.launch("extract", *begin, "--discard=true") == "extract"
    run_graph(launcher.graph)
    done = {path: path.stat().st_mtime_ns for path in (folder / ".work").rglob("*.parquet")}
    assert done
    assert launcher.launch("extract", *begin, "--discard=true") == NO_WORK
    assert launcher.launch("dedup") == "dedup-clusters"
    run_graph(launcher.graph)
    assert launcher.launch("extract", *begin, "--discard=true") == NO_WORK
    assert done.items() <= {p: p.stat().st_mtime_ns for p in folder.rglob("*.parquet")}.items()
    assert (folder / ".work" / "dedup.done.json").exists()
    # A removal that was stopped is finished, though the plan is the new one already.
    (folder / ".work" / "discard.json").write_text("{}")
    assert launcher.launch("extract", *begin, "--discard=true") == "extract"
    assert not list(folder.rglob("*.parquet"))
    assert not (folder / ".work" / "discard.json").exists()
    # Another recipe is refused without it.
    other = begin[2].replace("vocab_size=400", "vocab_size=401")
    with pytest.raises(CorpusmillError, match="holds a run of recipe demo"):
        launcher.launch("extract", *begin[:2], other, begin[3])
    assert launcher.launch("extract", *begin[:2], other, begin[3], "--discard=true") == "extract"


def test_a_second_launch_is_refused_before_it_touches_anything(
    launcher: Launcher, begin: list[str], tmp_path: Path
) -> None:
    here = {OUTPUT_LABEL: folder_id(Workspace(OUT))}
    found = launcher.service.add("theirs", "JOB_STATE_RUNNING", **here)
    with pytest.raises(
        CorpusmillError, match=rf"^Dataflow job theirs \({found}\) works in {OUT}: "
    ):
        launcher.launch("extract", *begin, "--discard=true")
    assert not (tmp_path / "store" / "bucket" / "runs").exists()


def test_a_launch_is_not_in_its_own_way(launcher: Launcher, begin: list[str]) -> None:
    """While its launcher works, and when that is started again, the service lists the launch."""
    here = {OUTPUT_LABEL: folder_id(Workspace(OUT))}
    launcher.service.add("launched-extract", "JOB_STATE_QUEUED", **here)
    assert launcher.launch("extract", *begin) == "extract"


def test_an_account_that_may_not_look_goes_on(
    launcher: Launcher, begin: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    launcher.service.refuse = 403
    assert launcher.launch("extract", *begin) == "extract"
    said = " ".join(capsys.readouterr().err.split())
    assert f"not known whether another job works in {OUT}: give the account the role" in said
    launcher.service.refuse = 400
    with pytest.raises(CorpusmillError, match="^Dataflow refuses job launched-extract "):
        launcher.launch("extract", *begin)
