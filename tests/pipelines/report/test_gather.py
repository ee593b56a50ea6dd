"""The facts of a run against what its rows say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.counting import add_signals
from pipelines.report.distribution import Distribution
from pipelines.report.facts import DocumentFacts
from pipelines.report.gather import gather
from pipelines.report.samples import Picker, read_samples
from pipelines.report.tables import hosts_of
from schemas.tables import SIGNALS_TYPE


def test_totals_are_those_of_the_rows(run: Any, tmp_path: Path) -> None:
    facts = gather(run.write(tmp_path))
    documents = run.documents
    assert facts.documents.count == facts.kept == len(documents)
    assert facts.documents.total_words == sum(d["n_words"] for d in documents)
    languages = Counter(d["language"] for d in documents)
    assert {k: t.documents for k, t in facts.languages.items() if t.documents} == languages
    rejected = Counter(r["language"] for r in run.rejected)
    assert {k: t.rejected for k, t in facts.languages.items() if t.rejected} == rejected
    assert sum(t.tokens for t in facts.languages.values()) == sum(
        split.tokens for split in facts.record.shards
    )
    assert dict(facts.documents.hosts.top(100)) == Counter(d["host"] for d in documents)
    assert facts.documents.pii_documents["email"] == sum(d["pii"]["email"] > 0 for d in documents)
    assert facts.documents.pii_any == sum(any(d["pii"].values()) for d in documents)
    dates = sorted(d["date"][:10] for d in documents)
    assert (facts.documents.first_date, facts.documents.last_date) == (dates[0], dates[-1])


def test_clusters_count_once_and_their_dropped_by_method(run: Any, tmp_path: Path) -> None:
    facts = gather(run.write(tmp_path))
    kept = [row for row in run.clusters if row["kept"]]
    dropped = [row for row in run.clusters if not row["kept"]]
    assert facts.clusters.count == len(kept)
    assert facts.clusters.sizes == Counter(row["cluster_size"] for row in kept)
    assert facts.clusters.dropped == Counter(row["method"] for row in dropped)


def test_signals_and_rejected_values_are_distributions(run: Any, tmp_path: Path) -> None:
    facts = gather(run.write(tmp_path))
    for name, found in facts.documents.signals.items():
        values = [dict(d["signals"])[name] for d in run.documents]
        assert found.count == len(values)
        assert found.quantiles((0.0, 1.0)) == pytest.approx([min(values), max(values)], rel=1e-3)
    values = [r["value"] for r in run.rejected if r["rule"] == "dedup.minhash"]
    assert facts.rejected.values["dedup.minhash"].count == len(values)
    assert facts.rejected.values["url.soft_words"].count == 0


def test_signals_of_a_slice_are_those_of_its_rows() -> None:
    rows = [[("a", 1.0), ("b", 2.0)], [("a", 3.0)], [], None, [("b", 5.0), ("c", 6.0)]]
    column = pa.array(rows, SIGNALS_TYPE)
    facts = DocumentFacts(signals={"a": Distribution(), "b": Distribution()})
    add_signals(facts, column.slice(1, 4))
    assert facts.signals["a"].quantiles((0.0, 1.0)) == [3.0, 3.0]
    assert facts.signals["b"].quantiles((0.0, 1.0)) == [5.0, 5.0]
    assert set(facts.signals) == {"a", "b"}


def test_hosts_of_urls() -> None:
    urls = [
        "https://User:pw@Host.example:8080/a?b",
        "http://a.example#x",
        "nonsense",
        "https://a.example?q=http://b.example/",
        None,
    ]
    hosts = hosts_of(pa.array(urls, pa.string())).to_pylist()
    assert hosts == ["host.example", "a.example", None, "a.example", None]


def test_samples_are_bounded_and_name_their_rule(run: Any, tmp_path: Path) -> None:
    facts = gather(run.write(tmp_path))
    assert len(facts.kept_samples) == 12
    assert all(len(sample["text"]) <= 601 for sample in facts.kept_samples)
    rules = Counter(row["rule"] for row in run.rejected)
    assert {r: len(s) for r, s in facts.rejected_samples.items()} == {
        rule: min(n, 3) for rule, n in rules.items()
    }
    by_id = {row["url"]: row["rule"] for row in run.rejected}
    for rule, samples in facts.rejected_samples.items():
        assert all(by_id[sample["url"]] == rule for sample in samples)


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=60), st.randoms())
def test_picking_does_not_depend_on_the_order(numbers: list[int], dice: Any) -> None:
    shuffled = list(numbers)
    dice.shuffle(shuffled)
    picked = []
    for order in (numbers, shuffled):
        picker = Picker(5)
        half = len(order) // 2
        picker.add("a", 0, pa.array(map(str, order[:half]), pa.string()))
        picker.add("b", 0, pa.array(map(str, order[half:]), pa.string()))
        rows = {"a": order[:half], "b": order[half:]}
        picked.append([rows[p.path][p.row] for p in picker.picked().get("", [])])
    assert picked[0] == picked[1]
    assert len(picked[0]) == min(5, len(numbers))


def test_no_samples_of_nothing() -> None:
    assert read_samples(Picker(3).picked(), ["text"]) == {}


def test_facts_do_not_depend_on_how_rows_are_spread(run: Any, tmp_path: Path) -> None:
    first = gather(run.write(tmp_path / "a"))
    for rows in (run.documents, run.rejected, run.errors, run.clusters):
        rows.reverse()
    second = gather(run.write(tmp_path / "b"))
    assert first.kept_samples == second.kept_samples
    assert first.rejected_samples == second.rejected_samples
    assert first.languages == second.languages
    edges = np.linspace(0, 1e5, 20)
    assert first.documents.words.histogram(edges) == second.documents.words.histogram(edges)
