"""Workers on other machines: what they cannot see is refused or noted before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.assets import CACHE_VARIABLE, worker_assets
from pipelines.cli.main import run
from pipelines.engine import make_options
from pipelines.pool import default_workers
from pipelines.reach import check_reach, on_this_machine, paths_of, workers_of
from pipelines.recipes import load
from schemas.errors import UsageError
from schemas.recipe import Recipe
from stages.refine import RefineAssets
from stages.url import Blocklist


def recipe(**changes: object) -> Recipe:
    return load("demo").model_copy(update=changes)


@pytest.mark.parametrize(
    ("runner", "options", "here"),
    [
        (None, [], True),
        ("DirectRunner", [], True),
        ("PrismRunner", [], True),
        ("SparkRunner", [], True),
        ("SparkRunner", ["--spark_master_url=local[2]"], True),
        ("SparkRunner", ["--spark_master_url=spark://host:7077"], False),
        ("SparkRunner", ["--environment_type=DOCKER"], False),
        ("SparkRunner", ["--output_executable_path=job.jar"], False),
        ("FlinkRunner", [], True),
        ("FlinkRunner", ["--flink_master=host:8081"], False),
        ("FlinkRunner", ["--flink_master=host:8081", "--environment_type=LOOPBACK"], True),
        ("PortableRunner", ["--job_endpoint=host:8099"], False),
        ("DataflowRunner", [], False),
    ],
)
def test_where_the_workers_are(runner: str | None, options: list[str], here: bool) -> None:
    made = make_options(runner, options)
    assert on_this_machine(made) == here
    assert workers_of(made, None) == (default_workers() if here else 1)
    assert workers_of(made, 3) == 3


@pytest.mark.parametrize(
    ("inputs", "output", "named"),
    [
        (["gs://b/*.warc.gz", "x.warc.gz"], "gs://b/out", "--input x.warc.gz"),
        (["gs://b/*.warc.gz"], "out", "--output out"),
    ],
)
def test_a_cloud_worker_sees_no_local_path(inputs: list[str], output: str, named: str) -> None:
    with pytest.raises(UsageError, match=f"^{named} is a path of this machine"):
        check_reach(make_options("DataflowRunner", []), paths_of(inputs, output, recipe()))


def test_files_that_a_recipe_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    options = make_options("DataflowRunner", [])
    for model, refused in (("lid.176", False), ("glot.bin", True), (f"{tmp_path}/g.bin", False)):
        language = load("demo").language.model_copy(update={"model": model})
        paths = paths_of(["https://x.org/a.warc.gz"], "gs://b/out", recipe(language=language))
        if refused:
            with pytest.raises(UsageError, match=r"^language\.model glot\.bin"):
                check_reach(options, paths)
        else:
            assert check_reach(options, paths) is None


def test_a_cluster_may_share_a_disk() -> None:
    options = make_options("SparkRunner", ["--spark_master_url=spark://host:7077"])
    note = check_reach(options, paths_of(["a.warc.gz"], "out", recipe()))
    assert note is not None
    assert note.startswith("note: --input a.warc.gz and 1 more must be there")
    assert check_reach(make_options(None, []), paths_of(["a"], "out", recipe())) is None


def test_the_command_line_refuses_before_anything_is_claimed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "a.jsonl"
    page.write_text('{"text": "x"}\n')
    out = str(tmp_path / "out")
    assert run(["curate", "-i", str(page), "-o", out, "--runner", "DataflowRunner"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot see" in line
    assert not (tmp_path / "out").exists()


def test_a_worker_elsewhere_finds_its_own_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(folder: Path) -> None:
        (Path(folder) / "built").touch()

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "worker"))
    monkeypatch.setattr(Blocklist, "build", build)
    url = load("demo").url.model_copy(update={"blocklist": "fineweb"})
    sent = RefineAssets(tmp_path / "driver")
    used = worker_assets(recipe(url=url), sent)
    assert used.blocklist == tmp_path / "worker" / "blocklist-fineweb"
    assert (used.blocklist / "built").exists()
    assert worker_assets(recipe(), RefineAssets(None)) == RefineAssets(None)
