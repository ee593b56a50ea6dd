"""How the driver of a run carries tasks and jobs out, whatever their phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from pipelines import storage, summaries
from pipelines.account import Markers
from pipelines.claim import FILES
from pipelines.clocks import Clocks
from pipelines.engine import Build
from pipelines.jobs import Job, Jobs
from pipelines.plan import Plan
from pipelines.progress import PhaseWatch, watching
from pipelines.resources import ResourceWatch
from pipelines.workspace import Workspace, read_markers
from schemas.errors import ReconcileError
from schemas.shards import MANIFEST_NAME


class Settings(NamedTuple):
    """How a run is carried out; nothing of it changes the output."""

    options: PipelineOptions
    jobs: Jobs
    workers: int
    console: Console
    quiet: bool = False
    resume: bool = True
    clean: bool = False
    """Remove OUT/.work at the end."""
    look_only: bool = False
    """Build what is missing, and leave the plan and the results of the run as they are."""


class Driver:
    """Plan, folder and settings of one execution, and the running of its jobs."""

    def __init__(self, plan: Plan, workspace: Workspace, settings: Settings) -> None:
        self.plan = plan
        self.workspace = workspace
        self.settings = settings
        self.watch = ResourceWatch()
        self.clocks = Clocks(workspace, plan.key, self.watch)
        self.key = plan.key
        self.names = [task.name for task in plan.tasks]
        self._account_stands = True

    def _say(self, line: str) -> None:
        if not self.settings.quiet:
            self.settings.console.print(line, highlight=False)

    def _run_job(self, phase: str, name: str, undone: str, build: Build) -> None:
        def begin(pipeline: beam.Pipeline) -> None:
            self._begin_work()
            build(pipeline)

        self.settings.jobs.run(Job(phase, name, undone, begin))

    def _begin_work(self) -> None:
        """Files are about to change: what says that the run is finished goes first."""
        if self._account_stands and not self.settings.look_only:
            self._account_stands = False
            manifest = self.workspace.shards(MANIFEST_NAME)
            for path in (*map(self.workspace.path, FILES), manifest):
                storage.remove(path)
            summaries.remove(self.workspace)

    def _run_tasks(
        self,
        phase: str,
        folder: str,
        keys: dict[str, str],
        build: Callable[[beam.Pipeline, list[str]], None],
    ) -> Markers:
        """Run a phase over the tasks whose markers are missing; returns all markers."""
        done = read_markers(self.workspace.work(folder), keys)
        missing = [name for name in keys if name not in done]
        if missing:
            watch = PhaseWatch(self.workspace, folder, keys)
            undone = f"{len(missing)} of {len(keys)} tasks of {phase} are not done"
            show = not self.settings.quiet and self.settings.jobs.begins(phase)
            with watching(phase, watch, self.settings.console, enabled=show):
                self._run_job(phase, phase, undone, lambda pipeline: build(pipeline, missing))
            done = read_markers(self.workspace.work(folder), keys)
        still = [name for name in keys if name not in done]
        if still:
            raise ReconcileError(
                f"phase {phase} left {len(still)} of {len(keys)} tasks undone "
                f"(first: {still[0]}); run the same command again"
            )
        return done
