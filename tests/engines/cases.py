"""Small graphs of everything that the phases ask of an engine, each with what must come out.

All of them run as parts of one job, since starting a job costs more than running it. A case gives
plain values; they come back through a file, sorted by their JSON text, as runners keep no order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsDict, AsIter, AsList, AsSingleton, TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from pipelines import storage
from pipelines.phases.least import WithLeast

KEYED = beam.typehints.KV[bytes, beam.typehints.Any]
HOT_VALUES = 40_000
LARGE_BYTES = 6_000_000


class Case(NamedTuple):
    """A graph and its outcome."""

    build: Callable[[beam.Pipeline], beam.PCollection]
    expected: list[Any]


def _split(number: int) -> Iterator[Any]:
    yield number
    if number % 2:
        yield TaggedOutput("odd", number)
    if number % 3 == 0:
        yield TaggedOutput("threes", str(number))


def tagged_outputs(pipeline: beam.Pipeline) -> beam.PCollection:
    """One input, three outputs, one of them of another type."""
    ways = (
        pipeline
        | beam.Create(range(10))
        | beam.FlatMap(_split).with_outputs("odd", "threes", main="all")
    )
    return (
        ways.all | "All" >> beam.Map(lambda n: ["all", n]),
        ways.odd | "Odd" >> beam.Map(lambda n: ["odd", n]),
        ways.threes | "Threes" >> beam.Map(lambda n: ["threes", n]),
    ) | beam.Flatten()


def side_inputs(pipeline: beam.Pipeline) -> beam.PCollection:
    """A dict, a list and a single value beside the main input."""
    small = pipeline | "Small" >> beam.Create([("a", 1), ("b", 2)])
    total = small | beam.Values() | beam.CombineGlobally(sum)
    return (
        pipeline
        | "Main" >> beam.Create(["a", "b", "c"])
        | beam.Map(
            lambda key, table, rows, one: [key, table.get(key, 0), len(rows), one],
            AsDict(small),
            AsList(small),
            AsSingleton(total),
        )
    )


def empty_side_input(pipeline: beam.Pipeline) -> beam.PCollection:
    """Nothing beside the main input is an empty dict, not a wait for ever."""
    nothing = pipeline | "Nothing" >> beam.Create([], reshuffle=False)
    pairs = nothing | beam.Map(lambda n: (n, n)).with_output_types(KEYED)
    return pipeline | "Main" >> beam.Create([1]) | beam.Map(lambda n, t: [n, len(t)], AsDict(pairs))


def _sizes(group: tuple[bytes, Iterable[int]]) -> list[Any]:
    values = sorted(group[1])
    return [group[0].hex(), len(values), sum(values)]


def group_by_key(pipeline: beam.Pipeline) -> beam.PCollection:
    """Keys of any bytes: none, zeros, not UTF-8."""
    pairs = [(key, n) for key in (b"", b"\0", b"\0\0", b"\xff\xfe", b"a") for n in range(4)]
    return (
        pipeline
        | beam.Create(pairs)
        | beam.Map(lambda pair: pair).with_output_types(beam.typehints.KV[bytes, int])
        | beam.GroupByKey()
        | beam.Map(_sizes)
    )


def _hot_values(start: int) -> Iterator[tuple[bytes, tuple[int, ...]]]:
    for number in range(start, start + HOT_VALUES // 10):
        yield b"hot", (number,)
        if number % 20_000 == 0:
            yield b"cold", (number,)


def _hot_summary(grouped: tuple[Any, Iterable[tuple[int, int]]]) -> list[Any]:
    rows = list(grouped[1])
    sizes = sorted({size for _, size in rows})
    return [grouped[0], len(rows), min(least for least, _ in rows), sizes]


def hot_key(pipeline: beam.Pipeline) -> beam.PCollection:
    """One key with most of the values, in the project's own transform: counted by a lifted
    combiner, the rest through tagged outputs and side inputs."""
    return (
        pipeline
        | beam.Create(range(0, HOT_VALUES, HOT_VALUES // 10))
        | beam.Reshuffle()
        | beam.FlatMap(_hot_values).with_output_types(KEYED)
        | WithLeast(lambda value: value)
        | beam.Map(lambda ranked: (ranked[0].decode(), (ranked[2][0], ranked[3])))
        | "Gather" >> beam.GroupByKey()
        | beam.Map(_hot_summary)
    )


def empty_inputs(pipeline: beam.Pipeline) -> beam.PCollection:
    """Nothing through every kind of step; a global combiner still gives its neutral value."""
    nothing = pipeline | "Nothing" >> beam.Create([], reshuffle=False)
    keyed = nothing | "Keyed" >> beam.Map(lambda n: (n, n)).with_output_types(KEYED)
    grouped = keyed | beam.GroupByKey() | "Grouped" >> beam.Map(str)
    joined = {"left": keyed, "right": keyed} | beam.CoGroupByKey() | "Joined" >> beam.Map(str)
    spread = nothing | beam.Reshuffle()
    total = spread | beam.CombineGlobally(sum)
    return (grouped, joined, total) | beam.Flatten()


def join(pipeline: beam.Pipeline) -> beam.PCollection:
    """Two sides, with keys that only one of them has."""
    left = pipeline | "Left" >> beam.Create([("a", 1), ("a", 2), ("b", 3)])
    right = pipeline | "Right" >> beam.Create([("a", "x"), ("c", "y")])
    return (
        {"left": left, "right": right}
        | beam.CoGroupByKey()
        | beam.MapTuple(lambda key, both: [key, sorted(both["left"]), sorted(both["right"])])
    )


def combine(pipeline: beam.Pipeline) -> beam.PCollection:
    """Lifted combiners, and each value once."""
    numbers = pipeline | beam.Create([(n % 3, n) for n in range(1000)])
    sums = numbers | beam.CombinePerKey(sum) | "Sums" >> beam.Map(lambda pair: ["sum", *pair])
    counts = numbers | beam.combiners.Count.PerKey()
    once = numbers | beam.Keys() | beam.Distinct() | "Once" >> beam.Map(lambda key: ["once", key])
    return (
        sums,
        counts | "Counts" >> beam.Map(lambda pair: ["count", *pair]),
        once,
    ) | beam.Flatten()


class _Bundles(beam.DoFn):
    """What is held over a bundle comes out at its end; one object a process."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def setup(self) -> None:
        self._held: Any = self._shared.acquire(_Held)

    def start_bundle(self) -> None:
        self._sum = 0

    def process(self, number: int) -> None:
        self._sum += number

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        yield WindowedValue((0, self._sum * self._held.factor), window.max_timestamp(), (window,))


class _Held:
    factor = 10


def bundles(pipeline: beam.Pipeline) -> beam.PCollection:
    """However the elements are cut into bundles, their ends give everything."""
    return (
        pipeline
        | beam.Create(range(100))
        | beam.Reshuffle()
        | beam.ParDo(_Bundles(Shared()))
        | beam.CombinePerKey(sum)
        | beam.Map(lambda pair: pair[1])
    )


def large_elements(pipeline: beam.Pipeline) -> beam.PCollection:
    """Elements beyond gRPC's default of 4 MB cross a shuffle."""
    return (
        pipeline
        | beam.Create([1, 2])
        | beam.Map(lambda n: bytes([n]) * LARGE_BYTES)
        | beam.Reshuffle()
        | beam.Map(lambda block: [block[0], len(block)])
    )


def barrier(pipeline: beam.Pipeline) -> beam.PCollection:
    """A step that takes another's output as a side input runs after all of it."""
    written = pipeline | "Work" >> beam.Create(range(50)) | beam.Reshuffle()
    written = written | beam.Map(lambda n: n + 1)
    return (
        pipeline
        | "Once" >> beam.Create([None], reshuffle=False)
        | beam.Map(lambda _, done: [len(list(done))], AsIter(written))
    )


CASES: dict[str, Case] = {
    "tagged_outputs": Case(
        tagged_outputs,
        [["all", n] for n in range(10)]
        + [["odd", n] for n in (1, 3, 5, 7, 9)]
        + [["threes", n] for n in ("0", "3", "6", "9")],
    ),
    "side_inputs": Case(side_inputs, [["a", 1, 2, 3], ["b", 2, 2, 3], ["c", 0, 2, 3]]),
    "empty_side_input": Case(empty_side_input, [[1, 0]]),
    "group_by_key": Case(group_by_key, [[key, 4, 6] for key in ("", "00", "0000", "fffe", "61")]),
    "hot_key": Case(hot_key, [["hot", HOT_VALUES, 0, [HOT_VALUES]], ["cold", 2, 0, [2]]]),
    "empty_inputs": Case(empty_inputs, [0]),
    "join": Case(join, [["a", [1, 2], ["x"]], ["b", [3], []], ["c", [], ["y"]]]),
    "combine": Case(
        combine,
        [["sum", key, sum(range(key, 1000, 3))] for key in range(3)]
        + [["count", 0, 334], ["count", 1, 333], ["count", 2, 333]]
        + [["once", key] for key in range(3)],
    ),
    "bundles": Case(bundles, [sum(range(100)) * 10]),
    "large_elements": Case(large_elements, [[1, LARGE_BYTES], [2, LARGE_BYTES]]),
    "barrier": Case(barrier, [[50]]),
}


class _Part(beam.PTransform):
    """A case under a label of its own, so that its steps' names clash with no other's."""

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(name)
        self._name = name
        self._path = storage.join(folder, f"{name}.json")

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        values = CASES[self._name].build(begin.pipeline) | "Json" >> beam.Map(json.dumps)
        mark = begin.pipeline | "Mark" >> beam.Create([""], reshuffle=False)
        return (
            (values, mark)
            | "WithMark" >> beam.Flatten()
            | "SinkKey" >> beam.WithKeys(0)
            | "CollectAll" >> beam.GroupByKey()
            | "Write" >> beam.Map(_write, self._path)
        )


def _write(gathered: tuple[int, Iterable[str]], path: str) -> None:
    rows = sorted(row for row in gathered[1] if row)
    storage.write_bytes(path, ("[" + ", ".join(rows) + "]").encode())


def build_all(pipeline: beam.Pipeline, folder: str) -> None:
    """Every case, its values written to FOLDER/<case>.json."""
    for name in CASES:
        _ = pipeline | _Part(name, folder)


def sorted_values(values: list[Any]) -> list[Any]:
    """In the order of the files."""
    return sorted(values, key=json.dumps)
