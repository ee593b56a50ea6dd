"""The loop over steps, whatever is trained, on one process or as one rank of many.

The parts are elsewhere (docs/training.md); this file decides when to step, look, save and stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from schemas.errors import CorpusmillError
from schemas.training_run import TrainingRunV1
from training.assembly import Assembly, assemble
from training.data.loader import Loader
from training.journal import Journal
from training.parallel.batch import on_device
from training.run_folder import RunFolder
from training.stage import Stage
from training.step import Step, StepResult
from training.stopping import StopRequest
from training.world import distributed_world


class TrainingError(CorpusmillError):
    """Training that cannot go on by itself; what was reached is saved."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended."""

    record: TrainingRunV1
    output: str
    signal: str | None
    """Name of the signal that stopped it."""


def train(stage: Stage, command: Sequence[str] = ()) -> Outcome:
    """Train to the last step, or until a signal; goes on where the folder's run was.

    Every rank calls it. Raises UsageError before anything is written, InputError for data that is
    not what it was, TrainingError for a loss that is no number, with the state before it saved.
    """
    config = stage.config
    stop = StopRequest()
    with ExitStack() as stack:
        world = stack.enter_context(distributed_world(config.device))
        # Until the first step there is nothing to save: a signal ends the process.
        run = assemble(stage, world, RunFolder(config.output), stack)
        stack.enter_context(stop.watching())
        journal = stack.enter_context(Journal.open(run, list(command)))
        record = Trainer(run, journal, stop).run()
        return Outcome(record, config.output, stop.signal.name if stop.signal else None)


class Trainer:
    """The loop over steps."""

    def __init__(self, run: Assembly, journal: Journal, stop: StopRequest) -> None:
        """Every rank makes one: what looks read is prepared here."""
        self.run_ = run
        self.config = run.config
        self.journal = journal
        self.stop = stop
        own = [] if run.adaptation is None else run.adaptation.hooks
        hooks = [*own, *run.stage.hooks(run)]
        self.step = Step(run.config, run.parallel, run.optimizer, run.average, run.guard, hooks)
        self.looks = run.stage.looks(run)
        journal.tell()
        self.saved = run.step
        self.not_finite = 0
        """Steps without a number as loss, in a row until now."""

    def run(self) -> TrainingRunV1:
        """All steps that are left. Raises as `train`."""
        run, steps = self.run_, self.config.train.steps
        with self._loader() as loader:
            while run.step < steps and not run.world.any(self.stop.wanted):
                with self.journal.meter.waiting():
                    rows = next(loader)
                self._take(rows)
        self._save(last=True)
        return self.journal.end(stopped=run.step < steps)

    def _loader(self) -> Loader:
        run, train = self.run_, self.config.train
        return Loader(
            run.data,
            run.step * train.batch_size,
            train.batch_size,
            train.steps - run.step,
            rank=run.parallel.data_rank,
            ranks=run.parallel.dims.data_ranks,
            accumulation=train.accumulation,
            prefetch=run.stage.prefetch,
        )

    def _take(self, rows: Sequence[Any]) -> None:
        run = self.run_
        number = run.step + 1
        batches = [on_device(batch, run.world.device) for batch in rows]
        result = self.step.take(number, batches)
        run.step = number
        run.tokens += 0 if result.skipped else result.targets
        with self.journal.meter.paused():
            extra = self._look(number)
        self.journal.step(number, run.tokens, result, extra)
        self._judge(result)
        if number % self.config.checkpoint.every == 0:
            with self.journal.meter.paused():
                self._save()

    def _judge(self, result: StepResult) -> None:
        """Stop when losses are no numbers for longer than the run's patience."""
        run = self.run_
        self.not_finite = self.not_finite + 1 if result.skipped == "not_finite" else 0
        if self.not_finite <= self.config.train.nan_patience:
            return
        bad = run.step
        run.step -= self.not_finite
        self._save(last=True)
        kept = max(run.step, self.saved)
        saved = f"the state after step {kept} is saved" if kept else "nothing was learnt"
        raise TrainingError(
            f"step {bad}: the loss is {result.loss} and the gradient norm {result.grad_norm}; "
            f"{saved}. Lower optimizer.lr, {run.stage.where_to_look(bad)}"
        )

    def _look(self, number: int) -> dict[str, Any]:
        """Every look that is due: what to add to the step's figures."""
        figures: dict[str, Any] = {}
        for look in self.looks:
            if number == self.config.train.steps or number % look.every == 0:
                figures |= look(number)
        self.journal.tell()
        return figures

    def _save(self, last: bool = False) -> None:
        run = self.run_
        if run.step > self.saved:
            run.save(asynchronous=self.config.checkpoint.asynchronous and not last)
            self.saved = run.step
            self.journal.saved()
        if last:
            run.checkpoints.wait()
