"""The samples of a fine-tuning run by number."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from schemas.errors import InputError
from training.data.batch import Batch, Pieces
from training.data.state import DataState, Parts, check_same_data, fingerprint_of
from training.sft.config import SftConfig
from training.sft.encoded import EncodedConversations
from training.sft.order import WINDOW_STEPS, Order, Window, grouped, orders_of
from training.sft.phases import STRATEGIES, Phases
from training.sft.rows import RowShape, learning_rows, single


class SftCorpus:
    """Samples 0, 1, 2, ... of a run: see `training.stage.StageData`.

    A sample is a conversation, or a row of several that do not see each other. A conversation of n
    tokens takes n - 1 places, each with the next token as its label where that is a target.
    """

    def __init__(
        self,
        tasks: Mapping[str, EncodedConversations],
        orders: Mapping[str, Order],
        phases: Phases,
        rows: RowShape,
        *,
        seed: int,
        packed: bool,
        fill: int,
        parts: Parts,
        group_steps_of: int | None = None,
    ) -> None:
        """`fill` is the token of padding, `group_steps_of` the batch size to group lengths by,
        `parts` what the fingerprint covers besides the phases."""
        self.tasks, self.phases, self.rows, self.seed = tasks, phases, rows, seed
        self._packed, self._fill, self._group = packed, fill, group_steps_of
        self._orders = orders
        self._window: Window | None = None
        # Where phases begin depends on the steps of the run: only with several does that matter.
        several = len(phases.starts) > 1
        self.parts: Parts = {
            **parts,
            "phases": {
                f"phase {number}": {"start": start, "weights": weights}
                for number, (start, weights) in enumerate(
                    zip(phases.starts, phases.weights, strict=True), start=1
                )
            }
            if several
            else phases.weights[0],
        }
        self.fingerprint = fingerprint_of(self.parts)

    @property
    def samples_per_epoch(self) -> int:
        """Samples of all tasks, each once."""
        return sum(order.samples_per_epoch for order in self._orders.values())

    def samples(self, start: int, count: int) -> Batch:
        """Samples `start` to `start` + `count` - 1 as [count, T], T as the longest needs."""
        found = [self.pieces(k) for k in range(start, start + count)]
        width = self.rows.width(max(int(p.at[-1] + p.length[-1]) for _, p in found))
        stretches, targets = zip(
            *(self.tasks[task].gather(pieces.document) for task, pieces in found), strict=True
        )
        pieces = Pieces(
            np.repeat(np.arange(count), [len(p.row) for _, p in found]),
            *(np.concatenate([p[c] for _, p in found]) for c in range(1, len(Pieces._fields))),
        )
        batch = learning_rows(
            pieces, np.concatenate(stretches), np.concatenate(targets), count, width, self._fill
        )
        return batch if self._packed or self.rows.masked else single(batch)

    def pieces(self, k: int) -> tuple[str, Pieces]:
        """The task of sample k, and its conversations as pieces of one row."""
        task, number = self.phases.place(self._ungrouped(k))
        return task, self._orders[task].pieces(number)

    def _ungrouped(self, k: int) -> int:
        """The sample that stands at place k, where steps are grouped by length."""
        if self._group is None:
            return k
        window = self._window
        if window is None or not 0 <= k - window.start < len(window.samples):
            window = self._window = self._window_of(k, self._group)
        return int(window.samples[k - window.start])

    def _window_of(self, k: int, batch_size: int) -> Window:
        """The samples around k that are sorted together, all of one phase and one epoch: so no
        conversation is among them twice. A step that two epochs share may hold one of each."""
        phase = self.phases.phase_of(k)
        first, last = self.phases.starts[phase], self.phases.end_of(phase)
        weights = self.phases.weights[phase]
        parts = {name: Fraction(str(weight)) for name, weight in weights.items()}
        total = sum(parts.values())
        epoch = min(self._orders[n].samples_per_epoch * total / parts[n] for n in parts)
        done = self.phases.before(phase, *parts) if len(parts) == 1 else 0
        passed = (k - first + done) // epoch
        begin = max(first, first + ceil(passed * epoch) - done)
        end = first + ceil((passed + 1) * epoch) - done
        size = WINDOW_STEPS * batch_size
        start = begin + (k - begin) // size * size
        end = min(start + size, end, last or end)
        places = [self.phases.place(at) for at in range(start, end)]
        lengths = np.array([self._orders[task].length(number) for task, number in places])
        return grouped(start, lengths, batch_size, (self.seed,))

    def describe(self, batch_size: int) -> str:
        """Conversations of an epoch and samples of a step, for people."""
        held = sum(len(task) for task in self.tasks.values())
        tokens = sum(int(task.lengths.sum()) for task in self.tasks.values())
        rows = f" in {self.samples_per_epoch:,} rows" if self._packed else ""
        kind = "rows" if self._packed else "conversations"
        return f"{held:,} conversations of {tokens:,} tokens{rows}, {batch_size:,} {kind} a step"

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raises InputError when a model of `vocab_size` rows does not hold every token."""
        for held in self.tasks.values():
            highest = held.highest()
            if highest >= vocab_size:
                raise InputError(
                    f"{held.path}: token {highest} does not fit the model's vocab_size of "
                    f"{vocab_size}; take the tokenizer of the model"
                )

    def state(self, samples: int) -> DataState:
        """What a checkpoint keeps after so many samples."""
        epoch = samples // self.samples_per_epoch
        return DataState(self.fingerprint, self.seed, epoch, samples, self.parts)

    def check_state(self, state: DataState) -> None:
        """Raises InputError that says what changed, when `state` comes from other data."""
        check_same_data(state, self.parts, self.seed)


def open_encoded(config: SftConfig, folder: Path, rows: RowShape, fill: int) -> SftCorpus:
    """The corpus of a run out of the conversations that `folder` (RUN/data) holds as tokens;
    `fill` is the token of padding. Raises InputError for files that are damaged or missing."""
    data = config.data
    tasks = {name: EncodedConversations(folder / name) for name in data.train}
    orders = orders_of(tasks, data.packing, data.sequence_length, config.seed)
    sizes = {
        name: float(task.weight or orders[name].samples_per_epoch)
        for name, task in data.train.items()
    }
    phases = STRATEGIES[data.strategy.name](sizes, data.strategy)
    batch_size = config.train.batch_size
    return SftCorpus(
        tasks,
        orders,
        Phases(phases, config.train.steps * batch_size),
        rows,
        seed=config.seed,
        packed=data.packing == "best_fit",
        fill=fill,
        group_steps_of=batch_size if data.group_by_length else None,
        parts={
            "sequence_length": data.sequence_length,
            "packing": data.packing,
            "group_by_length": data.group_by_length,
            "tasks": {name: held.key for name, held in tasks.items()},
        },
    )
