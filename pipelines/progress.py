"""Live progress of a phase: workers leave small heartbeat files, the driver reads them.

Files and not callbacks, because workers may be other processes or other machines; stores other
than local disks get no heartbeats (a write a second would cost more than it tells), so there
progress moves by finished segments.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines import storage
from pipelines.lookups import look_up_each
from pipelines.names import is_remote
from pipelines.workspace import DONE_SUFFIX, Workspace
from schemas.errors import InputError

BEAT_SECONDS = 0.5
STORE_SECONDS = 10.0
"""Between two lists of the markers in a store, each a request for a thousand of them."""
PLAIN_LINE_SECONDS = 10.0
_BEAT_SUFFIX = ".beat.json"
_SEPARATOR = " · "
_ETA = "ETA"
_SHORTEST_BAR, _LONGEST_BAR = 10, 40


class Heartbeat:
    """What a worker says of the task it is in, at most twice a second."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        folder = workspace.work("progress")
        self._path = None if storage.is_remote(folder) else storage.join(folder, name)
        self._next = 0.0
        if self._path is not None:
            os.makedirs(folder, exist_ok=True)

    def beat(self, counts: Mapping[str, int], share: float) -> None:
        """Write the counts and the share of the task that is done, if the last beat is old enough.

        A full disk is not reported here: the next real write does that.
        """
        now = time.monotonic()
        if self._path is None or now < self._next:
            return
        self._next = now + BEAT_SECONDS
        temporary = self._path + ".tmp"
        try:
            with open(temporary, "w", encoding="ascii") as handle:
                json.dump({"counts": dict(counts), "share": share}, handle)
            os.replace(temporary, self._path + _BEAT_SUFFIX)
        except OSError:
            self._path = None

    def stop(self) -> None:
        """Forget the beat: the marker counts from now on."""
        if self._path is not None and os.path.exists(self._path + _BEAT_SUFFIX):
            os.remove(self._path + _BEAT_SUFFIX)


class Snapshot(NamedTuple):
    """Where a phase stands."""

    done: int
    total: int
    share: float
    """Finished part of all tasks, running ones included: 0 to 1."""
    counts: Counter[str]


class PhaseWatch:
    """Counts of finished tasks (from markers, each read once) plus those of running ones."""

    def __init__(self, workspace: Workspace, folder: str, keys: Mapping[str, str]) -> None:
        """Watch the tasks that are named by `keys`, whose markers must have those keys."""
        self._folder = workspace.work(folder)
        self._beats = workspace.work("progress")
        self._keys = keys
        self._seen: set[str] = set()
        self._finished: Counter[str] = Counter()
        self._others: dict[str, str] = {}
        """Markers of other work, to be replaced: path -> time stamp."""

    @property
    def seconds_between(self) -> float:
        """How often looking is worth its requests."""
        return STORE_SECONDS if is_remote(self._folder) else BEAT_SECONDS

    def snapshot(self) -> Snapshot:
        """Read what is new since the last call; in a store, many markers at a time."""
        stamps = storage.stamps_in(self._folder, DONE_SUFFIX)
        new = [path for path, stamp in stamps.items() if self._is_new(path, stamp)]
        for path, found in look_up_each(_read_marker, new, far=is_remote):
            name = _name_of(path, DONE_SUFFIX)
            if found is not None and found["key"] == self._keys[name]:
                self._seen.add(name)
                self._finished.update(found["content"]["counts"])
            elif found is not None:
                self._others[path] = stamps[path]
        counts = Counter(self._finished)
        tasks = float(len(self._seen))
        for name, running, share in self._running():
            if name in self._keys and name not in self._seen:
                counts.update(running)
                tasks += min(max(share, 0.0), 1.0)
        total = len(self._keys)
        return Snapshot(len(self._seen), total, tasks / max(total, 1), counts)

    def _is_new(self, path: str, stamp: str) -> bool:
        name = _name_of(path, DONE_SUFFIX)
        unseen = name in self._keys and name not in self._seen
        return unseen and self._others.get(path) != stamp

    def _running(self) -> Iterator[tuple[str, Counter[str], float]]:
        if storage.is_remote(self._beats):
            return
        for path in storage.list_files(self._beats, _BEAT_SUFFIX):
            try:
                with open(path, encoding="ascii") as handle:
                    beat = json.load(handle)
            except (OSError, ValueError):
                continue  # replaced or removed between listing and reading
            yield _name_of(path, _BEAT_SUFFIX), Counter(beat["counts"]), beat["share"]


def _name_of(path: str, suffix: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(suffix)


def _read_marker(path: str) -> tuple[str, dict[str, Any] | None]:
    try:
        return path, json.loads(storage.read_bytes(path))
    except (InputError, ValueError):
        return path, None  # being replaced: a store has it deleted, then renamed


@contextmanager
def watching(
    title: str, watch: PhaseWatch, console: Console, enabled: bool = True
) -> Iterator[None]:
    """Show the phase's progress while the block runs: a live bar on a terminal, a plain line
    every ten seconds otherwise."""
    if not enabled:
        yield
        return
    stop = threading.Event()
    show = _live if console.is_terminal else _plain
    thread = threading.Thread(target=show, args=(title, watch, console, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _parts(snapshot: Snapshot, rate: float, eta_seconds: float | None) -> list[str]:
    counts = snapshot.counts
    parts = [f"segments {snapshot.done}/{snapshot.total}", f"pages {counts['in']:,}"]
    parts += [f"{rate:.1f} pages/s", f"kept {counts['kept']:,}"]
    parts += [f"rejected {counts['rejected']:,}", f"errors {counts['errors']:,}"]
    if eta_seconds is not None:
        parts.append(f"{_ETA} {int(eta_seconds) // 60}:{int(eta_seconds) % 60:02d}")
    return parts


class _Pace:
    """Pages a second since the watch began, and the time left by the share that is done."""

    def __init__(self, first: Snapshot) -> None:
        self._start = time.monotonic()
        self._first = first

    def describe(self, snapshot: Snapshot) -> list[str]:
        elapsed = max(time.monotonic() - self._start, 1e-6)
        rate = (snapshot.counts["in"] - self._first.counts["in"]) / elapsed
        fresh = snapshot.share - self._first.share
        eta = elapsed / fresh * (1 - snapshot.share) if fresh > 0 else None
        return _parts(snapshot, rate, eta)


def _plain(title: str, watch: PhaseWatch, console: Console, stop: threading.Event) -> None:
    snapshot = watch.snapshot()
    pace = _Pace(snapshot)
    while not stop.wait(max(PLAIN_LINE_SECONDS, watch.seconds_between)):
        console.print(f"{title}: {_SEPARATOR.join(pace.describe(watch.snapshot()))}")
    console.print(f"{title}: {_SEPARATOR.join(pace.describe(watch.snapshot()))}")


class ProgressView:
    """Title, bar and figures: one line where there is room for it, else the bar on a line and the
    figures below it, wrapped between figures so that each of them can be read."""

    def __init__(self, title: str, share: float, parts: list[str]) -> None:
        self._title = title
        self._share = share
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As wide as the terminal, and never wider."""
        width = options.max_width
        figures = _SEPARATOR.join(self._parts)
        beside = width - len(self._title) - len(figures) - 2
        if beside >= _SHORTEST_BAR:
            yield self._bar(min(beside, _LONGEST_BAR), figures)
            return
        *figures_below, last = self._parts
        if not last.startswith(_ETA):
            figures_below, last = self._parts, ""
        yield self._bar(min(width - len(self._title) - len(last) - 2, _LONGEST_BAR), last)
        for line in _wrapped(figures_below, width):
            yield Text(line, no_wrap=True, overflow="ellipsis")

    def _bar(self, width: int, *more: str) -> Table:
        row = Table.grid(padding=(0, 1, 0, 0))
        bar = ProgressBar(total=1.0, completed=self._share, width=max(width, 1))
        row.add_row(Text(self._title, style="bold"), bar, *more)
        return row


def _wrapped(parts: list[str], width: int) -> list[str]:
    lines = parts[:1]
    for part in parts[1:]:
        joined = lines[-1] + _SEPARATOR + part
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _live(title: str, watch: PhaseWatch, console: Console, stop: threading.Event) -> None:
    snapshot = watch.snapshot()
    pace = _Pace(snapshot)
    first = ProgressView(title, snapshot.share, ["starting"])
    with Live(first, console=console, refresh_per_second=4, transient=False) as live:
        while True:
            ended = stop.wait(watch.seconds_between)
            snapshot = watch.snapshot()
            live.update(ProgressView(title, snapshot.share, pace.describe(snapshot)))
            if ended:
                return


def console_for(stream: TextIO | None = None) -> Console:
    """Progress goes to standard error, so that --json output stays clean."""
    return Console(file=stream or sys.stderr, soft_wrap=True, highlight=False)
