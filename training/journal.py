"""What a run says and writes down: figures of steps, run.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from schemas.training_run import TrainingRunV1, config_hash
from training.adapters.adaptation import trained_parameters
from training.assembly import Assembly
from training.metrics.console import TrainingConsole
from training.metrics.environment import environment, versions
from training.metrics.flops import flops_per_token, matmul_parameters
from training.metrics.jsonl import read_metrics
from training.metrics.meter import Meter
from training.metrics.peak import peak_of
from training.metrics.run_file import RunFile, now
from training.metrics.sinks import MetricsLog
from training.run_folder import resolved
from training.samples import keep_samples
from training.step import StepResult
from training.whole import parameter_count


class Journal:
    """The first rank writes and speaks."""

    def __init__(self, run: Assembly, command: list[str]) -> None:
        """Open the files of a run whose weights are in place. Every rank calls it."""
        config, world = run.config, run.world
        self.run = run
        peak = peak_of(world.device, getattr(torch, config.dtype), config.train.peak_flops)
        cost = flops_per_token(run.shape, run.stage.sequence_length)
        self.meter = Meter(
            flops_per_token=cost,
            peak_flops=peak.flops,
            devices=world.size,
            steps=config.train.steps,
            first_step=run.step,
        )
        self.console = TrainingConsole(config.train.steps, enabled=world.is_first)
        self.log = MetricsLog([])
        self.file: RunFile | None = None
        self.last: dict[str, Any] = {}
        self.record = TrainingRunV1(
            stage=run.stage.name,
            command=command,
            versions=versions(),
            environment=environment(world.device),
            world_size=world.size,
            config_hash=config_hash(resolved(config)),
            data_fingerprint=run.data.fingerprint,
            parameters=parameter_count(run.shape),
            trained_parameters=_trained(run),
            active_parameters=matmul_parameters(run.shape),
            flops_per_token=cost,
            peak_flops=peak.flops,
            peak_source=peak.source,
            started=now(),
            step=run.step,
            steps=config.train.steps,
            tokens=run.tokens,
        )

    @classmethod
    @contextmanager
    def open(cls, run: Assembly, command: list[str]) -> Iterator[Journal]:
        """A journal that closes its files, and the record with what went wrong if anything did."""
        journal = cls(run, command)
        try:
            run.together.on_first(journal.begin)
            yield journal
        except (Exception, KeyboardInterrupt) as error:
            if journal.file is not None:
                journal.file.end("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            journal.console.close()
            journal.log.close()

    def begin(self) -> None:
        """Open the files and say what starts: the first rank's work."""
        run = self.run
        self.log = MetricsLog.open(run.folder.path, run.step)
        self.file = RunFile(run.folder.path, self.record, resumed=True)
        keep_samples(run.folder.samples, run.step)
        for row in read_metrics(run.folder.metrics):
            self.last = figures(row)
        self.tell()
        if run.step:
            self.console.note(f"going on after step {run.step:,}")
        size = f"{self.record.parameters:,} parameters"
        if run.adaptation is not None:
            size += f", {self.record.trained_parameters:,} of adapters trained"
        self.console.note(f"{size}; {run.data.describe(run.config.train.batch_size)}")

    def step(self, number: int, tokens: int, result: StepResult, extra: Mapping[str, Any]) -> None:
        """The figures of a step."""
        self.meter.step(result.places)
        rates = self.meter.take()
        values: dict[str, Any] = {
            "loss": result.loss,
            "tokens": tokens,
            "lr": result.lr,
            "grad_norm": result.grad_norm,
            "tokens_per_s": rates.tokens_per_s,
            "mfu": rates.mfu,
            "stall": rates.stall,
            "step_seconds": rates.step_seconds,
            **extra,
        }
        if self.run.config.train.z_loss:
            values["z_loss"] = result.z_loss
        if result.skipped:
            values["skipped"] = result.skipped
            self.console.note(
                f"step {number:,} skipped ({result.skipped}): loss {result.loss:.4g}, gradient "
                f"norm {result.grad_norm:.4g}"
            )
        self.last = figures(values)
        self.log.write(number, values)
        steps = self.run.config.train.steps
        if number % self.run.config.train.log_every == 0 or extra or number == steps:
            self.console.show(number, {**values, "eta_seconds": rates.eta_seconds})

    def saved(self) -> None:
        """A checkpoint was asked for: run.json says how far the run is."""
        self.tell()
        if self.file is not None:
            self.file.update(self.run.step, self.run.tokens, self.last)

    def tell(self) -> None:
        """Say what went wrong without stopping the run, and what changed."""
        for notice in self.run.notices:
            self.console.note(notice)
        self.run.notices.clear()

    def end(self, *, stopped: bool) -> TrainingRunV1:
        """Close the record of a run that got to its end, or was told to stop."""
        self.tell()
        if self.file is None:
            return self.record
        self.file.update(self.run.step, self.run.tokens, self.last)
        message = "told to stop; the same command goes on" if stopped else None
        self.file.end("stopped" if stopped else "finished", message)
        return self.file.record


def figures(values: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json keeps of a step's figures."""
    return {k: v for k, v in values.items() if k != "step" and isinstance(v, int | float | str)}


def _trained(run: Assembly) -> int:
    """Numbers that are trained, over all stages of a pipeline. Every rank calls it."""
    here = trained_parameters(run.parallel.parts).trained
    dims = run.parallel.dims
    # Ranks of a stage all count their whole stage.
    return sum(run.together.on_each(lambda: here)) * dims.pp // dims.world_size
