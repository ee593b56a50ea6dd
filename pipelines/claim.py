"""Taking an output folder for a run, without harm to what lies there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines import storage
from pipelines.plan import Plan
from pipelines.workspace import LOCK_NAME, PLAN_NAME, Workspace
from schemas.errors import UsageError

FOLDERS = ("documents", "rejected", "errors", "verdicts", "clusters", "shards", ".work")
FILES = ("run.json", "report.html", "DATA_CARD.md")
DISCARD_NAME = "discard.json"
"""Lies in .work while a run is being removed."""


def check_output(plan: Plan, workspace: Workspace, resume: bool) -> None:
    """What claim_output refuses, without a change to anything. Raises UsageError."""
    before = _run_before(workspace)
    if before is None:
        _refuse_foreign(workspace)
    elif resume:
        _refuse_other(plan, before, workspace)


def claim_output(plan: Plan, workspace: Workspace, resume: bool) -> None:
    """Write the plan down, after checking that the folder is ours to use.

    Without `resume`, what an earlier run left is removed; so is what a removal that was stopped
    left, whoever comes next.

    Raises:
        UsageError: the folder holds a run of another recipe or kind, or files of ours' names that
            no run left; nothing is touched then.
    """
    check_output(plan, workspace, resume)
    discarding = workspace.work(DISCARD_NAME)
    if not resume:
        storage.write_bytes(discarding, b"{}")
    elif storage.exists(discarding):
        resume = False
    storage.write_bytes(workspace.plan_file, plan.to_json())
    if not resume:
        discard_run(workspace)
        storage.remove(discarding)


def holds(plan: Plan, workspace: Workspace) -> bool:
    """Whether the folder is that of this very run: nothing in it is another's."""
    path = workspace.plan_file
    if not storage.exists(path) or storage.exists(workspace.work(DISCARD_NAME)):
        return False
    try:
        return Plan.from_json(storage.read_bytes(path)).key == plan.key
    except (KeyError, TypeError, ValueError):  # written by another version
        return False


def _run_before(workspace: Workspace) -> Mapping[str, Any] | None:
    """The plan, or after --clean the account, of the run that the folder holds."""
    for path in (workspace.plan_file, workspace.run_file):
        if storage.exists(path):
            found: dict[str, Any] = json.loads(storage.read_bytes(path))
            return found
    return None


def _refuse_foreign(workspace: Workspace) -> None:
    for name in (*FOLDERS, *FILES):
        if name != ".work" and storage.exists(workspace.path(name)):
            raise UsageError(
                f"{workspace.path(name)} is not the work of a run: choose another --output"
            )


def _refuse_other(plan: Plan, before: Mapping[str, Any], workspace: Workspace) -> None:
    if before["recipe_hash"] != plan.recipe_hash:
        raise UsageError(
            f"{workspace.output} holds a run of recipe {before['recipe']['name']} "
            f"({before['recipe_hash'][:12]}), not {plan.recipe.name} "
            f"({plan.recipe_hash[:12]}): choose another --output, or --no-resume to replace it"
        )
    held, wanted = _kind(before), _kind(plan._asdict())
    if held != wanted:
        raise UsageError(
            f"{workspace.output} holds {held}, not {wanted}: "
            "choose another --output, or --no-resume to replace it"
        )


def _kind(run: Mapping[str, Any]) -> str:
    if run.get("decided_from"):
        return "a run of decide"
    return "an annotated run" if run.get("annotated") else "a run of curate"


def discard_run(workspace: Workspace) -> None:
    """Remove what a run leaves, but for the plan and the lock, and nothing else.

    Whoever is stopped in between leaves a folder that the plan still says to be a run's.
    """
    for name in FILES:
        storage.remove(workspace.path(name))
    for name in FOLDERS:
        kept = (PLAN_NAME, LOCK_NAME, DISCARD_NAME) if name == ".work" else ()
        storage.remove_folder(workspace.path(name), kept)
