"""What a document that cannot be finished leaves in errors/."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from pipelines.children import RefinePool, Scrubbed, ScrubPool
from pipelines.phases.extract import TaskRows, extract_task
from pipelines.phases.finish import finish_task
from pipelines.pool import Killed
from pipelines.recipes import load
from pipelines.sources import tasks_of
from pipelines.storage import match_inputs
from pipelines.workspace import Workspace
from stages.refine import RefineAssets, Refiner

RECIPE = load(
    "demo",
    [
        *("gate=null", "quality=[]", "url.blocklist=null", "pii.kinds=[]"),
        *("language.keep={en: 0.1}", "decontamination.benchmarks=[quiz.jsonl]"),
    ],
)


class Here:
    """A pool without processes."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def results(
        self, items: Iterable[Any], task_of: Callable[[Any], Any], weight: Callable[[Any], int]
    ) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, self._work(task_of(item))


@pytest.mark.parametrize(
    ("step", "stage"), [("decontamination", "decontamination"), ("pii", "pii"), (None, "pii")]
)
def test_an_error_is_filed_under_its_step(step: str | None, stage: str, tmp_path: Path) -> None:
    source, workspace = tmp_path / "a.jsonl", Workspace(str(tmp_path / "out"))
    texts = ("The harbour was built in the year 1820.", "The mill was built by the river.")
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (task,) = [t for file in match_inputs([str(source)]) for t in tasks_of(file, 10**6)]
    refine = Refiner(RECIPE, RefineAssets(None)).refine
    extract_task(TaskRows(task, RECIPE.hash()), "key", workspace, cast(RefinePool, Here(refine)))

    def scrub(text: str) -> Scrubbed | Killed:
        return Scrubbed(text, {}) if "mill" in text else Killed("internal_error", "here", step)

    pool = cast(ScrubPool, Here(scrub))
    done = finish_task(task.name, "key", [], workspace, RECIPE, pool)
    assert done["error_kinds"] == {f"{stage}.internal_error": 1}
    assert (done["counts"]["kept"], done["counts"]["errors"]) == (1, 1)
    (row,) = pq.read_table(workspace.path("errors", f"{task.name}.parquet")).to_pylist()
    assert (row["stage"], row["detail"]) == (stage, "here")
