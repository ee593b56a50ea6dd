"""Facts of parts, written and merged, against the facts of all rows at once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from pipelines import storage, summaries
from pipelines.phases.summarize import summarize_part
from pipelines.report import write_report
from pipelines.report.counting import FOLDERS
from pipelines.report.facts import RowFacts
from pipelines.report.gather import gather
from pipelines.workspace import Workspace

NAMES = [f"part-{number}" for number in range(3)]


def written(run: Any, folder: Path) -> Workspace:
    """The synthetic run, with the clusters where a run has them while it goes on."""
    workspace = run.write(folder)
    for path in storage.list_files(workspace.path("clusters"), ".parquet"):
        copy = workspace.work("clusters", path.rsplit("/", 1)[-1])
        storage.write_bytes(copy, storage.read_bytes(path))
    return workspace


def summarize(workspace: Workspace, run: Any) -> list[summaries.Part]:
    clusters = storage.list_files(workspace.work("clusters"), ".parquet")
    parts = summaries.plan_parts("key", NAMES, clusters)
    for part in parts:
        summarize_part(part, workspace, run.recipe)
    assert summaries.missing(workspace, parts) == []
    summaries.declare_whole(workspace, parts, run.recipe.hash())
    return parts


def rendered(workspace: Workspace) -> tuple[bytes, bytes]:
    write_report(workspace)
    return tuple(storage.read_bytes(workspace.path(n)) for n in ("report.html", "DATA_CARD.md"))


def test_merged_parts_give_the_same_report(run: Any, tmp_path: Path) -> None:
    workspace = written(run, tmp_path / "out")
    read = rendered(workspace)
    assert len(summarize(workspace, run)) == len(NAMES)
    # The rows are not needed any more but for the samples; a lost count would show.
    assert rendered(workspace) == read


def test_the_parts_are_what_is_read(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = written(run, tmp_path / "out")
    summarize(workspace, run)

    def refuse(*_: object) -> None:
        raise AssertionError("all rows are read")

    monkeypatch.setitem(FOLDERS, "documents", refuse)
    assert gather(workspace).documents.count == len(run.documents)
    summaries.remove(workspace)
    with pytest.raises(AssertionError):
        gather(workspace)


def test_a_lost_part_or_another_recipe_sends_the_report_to_the_rows(
    run: Any, tmp_path: Path
) -> None:
    workspace = written(run, tmp_path / "out")
    parts = summarize(workspace, run)
    assert len(summaries.whole(workspace, run.recipe.hash())) == len(parts)
    assert summaries.whole(workspace, "another") == []
    storage.remove(summaries.part_file(workspace, parts[0].name))
    assert summaries.whole(workspace, run.recipe.hash()) == []
    assert summaries.missing(workspace, parts) == parts[:1]


def test_a_run_may_be_moved_with_its_parts(run: Any, tmp_path: Path) -> None:
    before = rendered(written(run, tmp_path / "here"))
    summarize(Workspace(str(tmp_path / "here")), run)
    moved = (tmp_path / "here").rename(tmp_path / "there")
    assert rendered(Workspace(str(moved))) == before


@pytest.mark.parametrize("tasks", [0, 1, 5, 64, 5_000, 90_000])
def test_every_task_and_cluster_file_is_in_one_part(tasks: int) -> None:
    names = [f"task-{number}" for number in range(tasks)]
    clusters = [f"out/.work/clusters/{number}.parquet" for number in range(tasks // 3)]
    parts = summaries.plan_parts("key", names, clusters)
    assert sorted(name for part in parts for name in part.tasks) == sorted(names)
    assert sum(len(part.clusters) for part in parts) == len(clusters)
    assert len(parts) == max(1, min(tasks, max(64, int(tasks**0.5))))
    other = summaries.plan_parts("other", names, clusters)
    assert not {part.name for part in parts} & {part.name for part in other}


def test_merging_does_not_depend_on_the_order(run: Any, tmp_path: Path) -> None:
    workspace = written(run, tmp_path / "out")
    states = []
    for seed in range(3):
        facts = RowFacts()
        parts = summarize(workspace, run)
        random.Random(seed).shuffle(parts)
        for part in parts:
            data = storage.read_bytes(summaries.part_file(workspace, part.name))
            facts.merge(RowFacts.from_json(data, workspace))
        states.append(RowFacts.from_json(facts.to_json(), workspace))
    for name in ("documents", "rejected", "clusters", "kept_samples", "rejected_samples"):
        assert getattr(states[0], name).state() == getattr(states[1], name).state()
        assert getattr(states[0], name).state() == getattr(states[2], name).state()
    assert states[0].error_samples.state() == states[2].error_samples.state()
    assert states[0].languages == states[1].languages == states[2].languages
    assert states[0].documents.count == len(run.documents)
