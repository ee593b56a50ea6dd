"""The counter of shuffled bytes that docs/scaling.md rests on counts what Beam's coders make."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
from apache_beam import coders
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from benchmarks.scaling_shuffles import dedup_rows, shuffles

PAIRS = [(b"key", b"a value"), (b"key", b""), (b"another", bytes(300))]


def encoded(pair: tuple[bytes, bytes]) -> int:
    pairs = coders.TupleCoder([coders.BytesCoder(), coders.BytesCoder()])
    coder = coders.WindowedValueCoder(pairs, GlobalWindows().get_window_coder())
    element = WindowedValue(pair, MIN_TIMESTAMP, (GlobalWindow(),))
    return len(coder.get_impl().encode_nested(element))


def test_bytes_are_those_of_the_elements_as_beam_encodes_them() -> None:
    with shuffles() as counted, beam.Pipeline(runner="FnApiRunner") as pipeline:
        typed = pipeline | beam.Create(PAIRS, reshuffle=False)
        typed = typed | beam.Map(lambda p: p).with_output_types(beam.typehints.KV[bytes, bytes])
        typed | "Pack" >> beam.GroupByKey()
    assert counted.grouped["pack"] == {"Pack": sum(map(encoded, PAIRS))}


def test_side_inputs_are_counted_apart() -> None:
    with shuffles() as counted, beam.Pipeline(runner="FnApiRunner") as pipeline:
        side = pipeline | "Side" >> beam.Create([("a", 1), ("b", 2)], reshuffle=False)
        main = pipeline | "Main" >> beam.Create(["a"], reshuffle=False)
        main | "Finish" >> beam.Map(lambda k, d: d[k], beam.pvalue.AsDict(side))
    assert counted.side_inputs["finish"].total() > 0
    assert not counted.grouped["finish"]


def test_nothing_is_counted_after_the_block() -> None:
    with shuffles() as counted:
        pass
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pipeline | beam.Create(PAIRS, reshuffle=False) | "Pack" >> beam.GroupByKey()
    assert not counted.grouped


def test_made_up_duplicates_are_found_and_cost_more_bytes(tmp_path: Path) -> None:
    found = []
    for name, share in (("none", 0.0), ("some", 0.4)):
        (tmp_path / name).mkdir()
        found.append(dedup_rows(50, share, 10**9, tmp_path / name, rows_per_file=50))
    assert found[0]["dropped"] == 0
    assert 0 < found[1]["dropped"] <= 20
    assert found[0]["shuffle_bytes"] < found[1]["shuffle_bytes"]
