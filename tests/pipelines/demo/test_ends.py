"""The intended ends hold for the stages by themselves, before any pipeline."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import pytest

from pipelines.demo import expected_rows, sample_path
from pipelines.recipes import load
from schemas.page import Damage, Page
from schemas.verdict import Outcome
from stages.refine import RefineAssets, Refiner
from stages.warc import Segment, read_segment

NEEDS_THE_LIST = ("url.domain", "url.url")
"""Rules over the full block list, whose mapped form is built once a machine and not for a test."""


class Ends(NamedTuple):
    rows: dict[int, dict[str, Any]]
    outcomes: dict[int, Outcome]
    damages: dict[int, Damage]

    def kept(self) -> dict[int, Outcome]:
        return {
            offset: outcome
            for offset, outcome in self.outcomes.items()
            if outcome.kept and self.rows[offset].get("rule") not in NEEDS_THE_LIST
        }


@pytest.fixture(scope="module")
def ends() -> Ends:
    recipe = load("demo")
    bare = recipe.model_copy(update={"url": recipe.url.model_copy(update={"blocklist": None})})
    refiner = Refiner(bare, RefineAssets(blocklist=None))
    found = Ends({row["offset"]: row for row in expected_rows()}, {}, {})
    with sample_path() as path, path.open("rb") as handle:
        size = path.stat().st_size
        for event in read_segment(handle, Segment(str(path), 0, size, size)):
            if isinstance(event, Page):
                found.outcomes[event.warc_offset] = refiner.refine(event)
            elif isinstance(event, Damage):
                found.damages[event.offset] = event
    return found


def test_each_record_is_met_once(ends: Ends) -> None:
    assert ends.outcomes.keys() | ends.damages.keys() == ends.rows.keys()
    assert not ends.outcomes.keys() & ends.damages.keys()


def test_pages_end_as_intended(ends: Ends) -> None:
    for offset, outcome in ends.outcomes.items():
        row = ends.rows[offset]
        if row.get("rule") in NEEDS_THE_LIST:
            continue
        broken = outcome.rejection
        got = ("", "") if broken is None else (broken.stage, broken.rule)
        assert outcome.failure is None, row
        assert got == (row.get("stage", ""), row.get("rule", "")), row
        if row.get("language"):
            assert outcome.language == row["language"], row


def test_broken_records_are_reported_with_their_kind(ends: Ends) -> None:
    got = {offset: damage.error for offset, damage in ends.damages.items()}
    assert got == {
        offset: row["error"] for offset, row in ends.rows.items() if row["end"] == "error"
    }


def test_duplicates_share_a_key_with_their_cluster_and_with_nothing_else(ends: Ends) -> None:
    kept = ends.kept()
    leader = {offset: offset for offset in kept}

    def find(offset: int) -> int:
        while leader[offset] != offset:
            offset = leader[offset]
        return offset

    first: dict[object, int] = {}
    for offset, outcome in kept.items():
        bands = [outcome.bands[i : i + 8] for i in range(0, len(outcome.bands), 8)]
        keys = [("url", outcome.url_key), ("content", outcome.content_hash), *enumerate(bands)]
        for key in keys:
            leader[find(offset)] = find(first.setdefault(key, offset))
    found: dict[int, set[int]] = defaultdict(set)
    for offset in kept:
        found[find(offset)].add(offset)
    intended: dict[str, set[int]] = defaultdict(set)
    for offset, row in ends.rows.items():
        if "cluster" in row:
            intended[row["cluster"]].add(offset)
    several = sorted(sorted(group) for group in found.values() if len(group) > 1)
    assert several == sorted(sorted(group) for group in intended.values())


def test_the_page_that_stays_is_the_longest_of_its_cluster(ends: Ends) -> None:
    lengths: dict[str, Counter[str]] = defaultdict(Counter)
    stays = {}
    for offset, outcome in ends.kept().items():
        row = ends.rows[offset]
        if row["end"] in ("kept", "duplicate") and "cluster" in row:
            lengths[row["cluster"]][row["url"]] = outcome.n_chars
            if row["end"] == "kept":
                stays[row["cluster"]] = row["url"]
    for cluster, counts in lengths.items():
        (longest, most), (_, second) = counts.most_common(2)
        assert longest == stays[cluster]
        assert most > second


def test_personal_data_is_counted_as_intended(ends: Ends) -> None:
    pytest.importorskip("presidio_analyzer")
    from stages.pii import Scrubber

    scrubber = Scrubber(load("demo").pii)
    for offset, outcome in ends.kept().items():
        _, counts = scrubber.scrub(outcome.text)
        found = {kind: count for kind, count in counts.items() if count}
        assert found == ends.rows[offset].get("pii", {}), outcome.url


def test_there_is_text_to_train_on(ends: Ends) -> None:
    unique = {outcome.content_hash: outcome.text for outcome in ends.kept().values()}
    assert sum(len(text.encode()) for text in unique.values()) > 250_000
