"""Who runs the graphs of a run: the driver names each piece of work, others carry it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import engine
from pipelines.engine import Build
from pipelines.phase_names import PHASES
from schemas.errors import UsageError


class Job(NamedTuple):
    """One piece of work that is not done yet."""

    phase: str
    name: str
    """Unique within a run and the same in every attempt: letters, digits and dashes."""
    undone: str
    """What is missing, as the beginning of a sentence: `3 of 40 tasks of extract are not done`."""
    build: Build | None = None
    """The graph. None: there is only `here`."""
    here: Callable[[], None] | None = None
    """The same work in this process, for who waits for it anyway."""


class Jobs(Protocol):
    """What carries jobs out."""

    def begins(self, phase: str) -> bool:
        """Whether jobs of the phase are carried out, if any are missing."""

    def run(self, job: Job) -> None:
        """Carry the job out. Raises CorpusmillError when it failed."""


class AllJobs(NamedTuple):
    """Every job, one after the other, each waited for."""

    options: PipelineOptions

    def begins(self, phase: str) -> bool:
        """Always."""
        return True

    def run(self, job: Job) -> None:
        """In this process where that is possible, else on the runner."""
        if job.here is not None:
            job.here()
        elif job.build is not None:
            engine.run(job.build, self.options)


class Submitted(Exception):
    """The graph was handed over: the driver goes no further."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.name)
        self.job = job


class OneGraph(NamedTuple):
    """The first graph that is missing, handed to the runner without waiting for it."""

    options: PipelineOptions

    def begins(self, phase: str) -> bool:
        """Always."""
        return True

    def run(self, job: Job) -> None:
        """Raises Submitted, unless the job is done here and has no graph."""
        if job.build is None:
            assert job.here is not None
            job.here()
            return
        engine.submit(job.build, self.options)
        raise Submitted(job)


class GraphOnly(NamedTuple):
    """The first graph that is missing, written to a file; nothing is run."""

    options: PipelineOptions
    target: str

    def begins(self, phase: str) -> bool:
        """Always."""
        return True

    def run(self, job: Job) -> None:
        """Raises Submitted, or UsageError for a job that has no graph."""
        if job.build is None:
            raise UsageError(f"job {job.name} has no graph: the driver does its work itself")
        engine.write_graph(job.build, self.options, self.target)
        raise Submitted(job)


class PhaseOver(Exception):
    """The phase is complete: what is asked for next belongs to another one."""


class OnePhase(NamedTuple):
    """The jobs of one phase, carried out by others."""

    phase: str
    jobs: Jobs

    def begins(self, phase: str) -> bool:
        """Whether it is that one."""
        return phase == self.phase

    def run(self, job: Job) -> None:
        """Raises PhaseOver at a later phase, UsageError while an earlier one is incomplete."""
        place = PHASES.index(job.phase) - PHASES.index(self.phase)
        if place < 0:
            raise UsageError(
                f"phase {self.phase} cannot begin: {job.undone}; launch {job.phase} again"
            )
        if place > 0:
            raise PhaseOver
        self.jobs.run(job)
