"""What a run will do: its inputs cut into tasks, written down before any work starts.

Tasks depend on the inputs alone, never on the number of workers, so that a resumed run finds the
pieces that an interrupted one finished.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from itertools import chain
from typing import NamedTuple

from pipelines.lookups import look_up_each
from pipelines.names import is_remote, written
from pipelines.sources import Task, first_pages, tasks_of
from pipelines.storage import InputFile
from schemas.recipe import Recipe

SEGMENT_BYTES = 16 * 1024 * 1024
"""About a hundred seconds of work for one core: small enough to spread, to resume and to retry."""


class Plan(NamedTuple):
    """Inputs, settings and tasks of a run."""

    recipe: Recipe
    inputs: list[InputFile]
    tasks: list[Task]
    limit: int | None
    annotated: bool = False
    """Keep every page with text, with all signals."""
    decided_from: str = ""
    """Folder of the annotated run that stands in for the inputs."""
    decided_key: str = ""
    """That run's key."""
    stamp: str = ""
    """Of what the recipe hash does not cover: files that the recipe names, versions of libraries
    (pipelines.assets.stamp)."""

    @property
    def recipe_hash(self) -> str:
        """The recipe's hash: part of every resume key and of every document."""
        return self.recipe.hash()

    @property
    def key(self) -> str:
        """Work done under this key can be taken over: same recipe, inputs, limit and cut."""
        content = [self.recipe_hash, self.limit, *self.task_keys().values(), *self._origin]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def task_keys(self) -> dict[str, str]:
        """Task name -> as `key`, for that task alone: other inputs may come and go, and paths be
        spelled otherwise (the task's name holds the file's identity)."""
        stamps = {file.path: file.stamp for file in self.inputs}
        recipe_hash = self.recipe_hash
        keys = {}
        for task in self.tasks:
            place = [*task._replace(path="")]
            content = [recipe_hash, place, stamps[task.path], self.stamp, *self._origin]
            keys[task.name] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return keys

    @property
    def _origin(self) -> list[str]:
        """What sets the work of an annotated or decided run apart from that of a plain one."""
        return [self.decided_key or "annotated"] if self.annotated or self.decided_key else []

    def to_json(self) -> bytes:
        """As written to OUT/.work/plan.json: without what in a URL is a key to the file."""
        content = {
            "recipe_hash": self.recipe_hash,
            "recipe": self.recipe.model_dump(mode="json"),
            "inputs": [list(f._replace(path=written(f.path), identity="")) for f in self.inputs],
            "limit": self.limit,
            "tasks": [list(task._replace(path=written(task.path))) for task in self.tasks],
            "annotated": self.annotated,
            "decided_from": self.decided_from,
            "decided_key": self.decided_key,
            "stamp": self.stamp,
        }
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """Read what to_json wrote."""
        content = json.loads(data)
        return cls(
            recipe=Recipe.model_validate(content["recipe"]),
            inputs=[InputFile(*fields) for fields in content["inputs"]],
            tasks=[Task(*fields) for fields in content["tasks"]],
            limit=content["limit"],
            annotated=content["annotated"],
            decided_from=content["decided_from"],
            decided_key=content["decided_key"],
            stamp=content["stamp"],
        )


def make_plan(
    recipe: Recipe,
    inputs: list[InputFile],
    limit: int | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> Plan:
    """Cut the inputs into tasks; with `limit`, into those that hold the first `limit` pages.

    Raises what tasks_of raises, for the first input that it does not take.
    """
    cut = partial(tasks_of, segment_bytes=segment_bytes)
    tasks = list(chain.from_iterable(look_up_each(cut, inputs, far=_in_a_store)))
    if limit is not None:
        tasks = list(first_pages(tasks, limit))
    return Plan(recipe, inputs, tasks, limit)


def _in_a_store(file: InputFile) -> bool:
    return is_remote(file.path)
