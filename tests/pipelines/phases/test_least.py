from __future__ import annotations

import random

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to

from pipelines.phases.least import LeastAndCount, WithLeast


def negative(value: int) -> int:
    return -value


@pytest.mark.parametrize("hot_group", [0, 3, 1000])
def test_every_value_meets_the_least_of_its_key(hot_group: int) -> None:
    source = random.Random(1)
    groups = {bytes([k]): [source.randrange(50) for _ in range(k)] for k in range(1, 12)}
    pairs = [(key, value) for key, values in groups.items() for value in values]
    source.shuffle(pairs)
    expected = [(key, value, max(groups[key]), len(groups[key])) for key, value in pairs]
    with Pipeline(runner="FnApiRunner") as pipeline:
        ranked = (
            pipeline
            | beam.Create(pairs)
            | beam.Reshuffle()
            | beam.Map(lambda pair: pair).with_output_types(
                beam.typehints.KV[bytes, beam.typehints.Any]
            )
            | WithLeast(negative, hot_group)
        )
        assert_that(ranked, equal_to(expected))


def test_combiner_merges_in_any_grouping() -> None:
    combiner = LeastAndCount(negative)
    parts = []
    for values in ([], [3], [9, 1], [4]):
        part = combiner.create_accumulator()
        for value in values:
            part = combiner.add_input(part, value)
        parts.append(part)
    assert combiner.extract_output(combiner.merge_accumulators(parts)) == (9, 4)
    assert combiner.merge_accumulators(reversed(parts)) == (9, 4)
