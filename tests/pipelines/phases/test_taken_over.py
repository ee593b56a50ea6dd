"""A task that an engine runs again, in the same job, is taken over; for another key it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipelines.children import RefinePool, RejudgePool, ScrubPool, setup_scrubber
from pipelines.phases.annotate import AnnotatedRows
from pipelines.phases.decide import decide_task
from pipelines.phases.extract import TaskRows, extract_task
from pipelines.phases.finish import finish_task
from pipelines.phases.tokenize import tokenize_task
from pipelines.recipes import load
from pipelines.sources import Task, tasks_of
from pipelines.storage import match_inputs
from pipelines.workspace import Workspace
from schemas.recipe import Pii
from stages.refine import RefineAssets, Refiner
from stages.rejudge import Rejudger
from stages.tokens import Tokenizer

KEEP_ALL = ["gate=null", "quality=[]", "url.blocklist=null", "pii.kinds=[]"]
RECIPE = load("demo", [*KEEP_ALL, "language.keep={en: 0.1}"])
PAGES = 3


class Here:
    """A pool without processes."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def results(
        self, items: Iterable[Any], task_of: Callable[[Any], Any], weight: Callable[[Any], int]
    ) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, self._work(task_of(item))


class Worked(Exception):
    """What was done before is done again."""


class Refusing:
    """As a pool and as a tokenizer: raises when it is used."""

    dtype, eos_id = "uint16", 0

    def results(self, *_: Any) -> Iterator[tuple[Any, Any]]:
        raise Worked

    def encode_batch(self, *_: Any, **__: Any) -> list[np.ndarray]:
        raise Worked


class Letters(Refusing):
    """A tokenizer."""

    def encode_batch(self, texts: list[str], threads: int) -> list[np.ndarray]:
        return [np.frombuffer(text.encode(), "uint8") for text in texts]


def refiner(annotate: bool = False) -> RefinePool:
    refine = Refiner(RECIPE, RefineAssets(None), annotate=annotate).refine
    return cast(RefinePool, Here(refine))


NO_POOL = cast(RefinePool, Refusing())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "out"))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    rows = [{"text": f"The harbour was built in the year 18{n}0.", "id": n} for n in range(PAGES)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = [task for file in match_inputs([str(path)]) for task in tasks_of(file, 10**6)]
    return found


def files(workspace: Workspace) -> dict[Path, int]:
    return {p: p.stat().st_ino for p in Path(workspace.output).rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", [TaskRows, AnnotatedRows])
def test_extract(kind: type[TaskRows], task: Task, workspace: Workspace) -> None:
    def again(key: str, pool: RefinePool) -> dict[str, Any]:
        return extract_task(kind(task, RECIPE.hash()), key, workspace, pool)

    first = again("key", refiner(kind is AnnotatedRows))
    assert first["counts"]["kept"] == PAGES
    before = files(workspace)
    assert again("key", NO_POOL) == first
    assert files(workspace) == before
    with pytest.raises(Worked):
        again("another key", NO_POOL)
    # Files that are gone are made again, whatever the marker says.
    next(path for path in before if path.suffix == ".parquet").unlink()
    with pytest.raises(Worked):
        again("key", NO_POOL)


def test_decide(task: Task, workspace: Workspace, tmp_path: Path) -> None:
    rows = AnnotatedRows(task, RECIPE.hash())
    read = extract_task(rows, "annotated", workspace, refiner(annotate=True))
    target = Workspace(str(tmp_path / "decided"))

    def again(key: str, pool: object) -> dict[str, Any]:
        rows = TaskRows(task, RECIPE.hash())
        return decide_task(rows, read, workspace, key, target, cast(RejudgePool, pool))

    first = again("key", Here(Rejudger(RECIPE, RECIPE, RefineAssets(None)).rejudge))
    assert first["counts"]["kept"] == PAGES
    before = files(target)
    assert again("key", Refusing()) == first
    assert files(target) == before
    with pytest.raises(Worked):
        again("another key", Refusing())


def test_finish_and_tokenize(task: Task, workspace: Workspace) -> None:
    extract_task(TaskRows(task, RECIPE.hash()), "extracted", workspace, refiner())

    def finish_again(key: str, pool: object) -> dict[str, Any]:
        return finish_task(task.name, key, [], workspace, RECIPE, cast(ScrubPool, pool))

    def tokenize_again(key: str, tokenizer: object) -> dict[str, Any]:
        return tokenize_task(task.name, key, workspace, cast(Tokenizer, tokenizer), 1, 1)

    for again, worker in (
        (finish_again, Here(setup_scrubber(Pii(kinds=[])))),
        (tokenize_again, Letters()),
    ):
        first = again("key", worker)
        assert first["counts"]["kept"] == PAGES
        before = files(workspace)
        assert again("key", Refusing()) == first
        assert files(workspace) == before
        with pytest.raises(Worked):
            again("another key", Refusing())
