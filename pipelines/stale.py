"""Files of an output folder that are no longer part of its run."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipelines import storage
from pipelines.phases.finish import TRAIN, VALIDATION
from pipelines.workspace import Workspace
from schemas.shards import ShardManifestV1

_TASK_FILE = re.compile(r"[0-9a-f]{16}-\d{12}\.parquet")
_TEMPORARY = re.compile(r".+\.[0-9a-f]{8}\.tmp")
_ROW_FOLDERS = ("documents", "rejected", "errors", "verdicts")


def drop_stale(
    workspace: Workspace, tasks: Iterable[str], manifest: ShardManifestV1 | None
) -> None:
    """Remove files of tasks that the run does not have, shards that are not in its manifest, and
    what a killed worker had begun to write.

    Files with other names than a run gives are left alone. Called when no worker writes any more.
    """
    current = {f"{name}.parquet" for name in tasks}
    for folder in _ROW_FOLDERS:
        for path in storage.list_files(workspace.path(folder), ".parquet"):
            name = path.rsplit("/", 1)[-1]
            if name not in current and _TASK_FILE.fullmatch(name):
                storage.remove(path)
    if manifest is not None:
        _drop_shards(workspace, {entry.path for entry in manifest.shards})
    _drop_temporaries(workspace)


def _drop_shards(workspace: Workspace, current: set[str]) -> None:
    for split in (TRAIN, VALIDATION):
        for suffix in (".bin", ".idx"):
            for path in storage.list_files(workspace.shards(split), suffix):
                if f"{split}/{path.rsplit('/', 1)[-1][: -len(suffix)]}" not in current:
                    storage.remove(path)


def _drop_temporaries(workspace: Workspace) -> None:
    folders = [workspace.output, workspace.work("annotated"), workspace.path("clusters")]
    folders += [workspace.path(folder) for folder in _ROW_FOLDERS]
    folders += [workspace.shards(), workspace.shards(TRAIN), workspace.shards(VALIDATION)]
    for folder in folders:
        for path in storage.list_files(folder, ".tmp"):
            if _TEMPORARY.fullmatch(path.rsplit("/", 1)[-1]):
                storage.remove(path)
