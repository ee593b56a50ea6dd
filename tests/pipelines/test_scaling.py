"""The arithmetic of a crawl on machines: by hand, and what must hold whatever the numbers."""

from __future__ import annotations

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import storage
from pipelines.phases import dedup, extract, least, merge
from pipelines.recipes import load
from pipelines.scaling import work
from pipelines.scaling.layout import lay_out, predict
from pipelines.scaling.limits import HOT_GROUP, driver_steps, limits
from pipelines.scaling.loads import LOADS, dedup_load, extract_load, pack_load, summarize_load
from pipelines.scaling.unit_costs import FINEWEB, UnitCosts
from pipelines.scaling.work import (
    CC_MAIN_2024_22,
    Cluster,
    Crawl,
    Load,
    references_of,
    shards_of,
    tasks_of,
)
from pipelines.summaries import ROWS_AT_ONCE, plan_parts
from schemas.errors import InputError

NOTHING = UnitCosts(**dict.fromkeys(UnitCosts._fields, 0.0))
ALL_ONE = UnitCosts(**dict.fromkeys(UnitCosts._fields, 1.0))
CRAWL = Crawl(10, 100.0, 1000.0, 10.0, 0.5, 0.4, 0.25, 0.2)
CLUSTER = Cluster(machines=2, cores=4, processes=4, children=1, segment_bytes=30)


def test_a_file_is_cut_into_whole_segments() -> None:
    assert tasks_of(CRAWL, CLUSTER) == 40
    assert tasks_of(CRAWL, CLUSTER._replace(segment_bytes=1e9)) == 10


def test_documents_follow_from_the_shares() -> None:
    assert (CRAWL.kept, CRAWL.final) == (400, 300)
    assert CRAWL.scaled(5).final == 150


def test_the_pages_of_extract_by_hand() -> None:
    costs = NOTHING._replace(
        page_ms=2.0,
        page_ms_per_kb=0.1,
        extracted_ms=8.0,
        extracted_ms_per_kb=0.2,
        pool_ms=0.5,
        extract_task_ms=10.0,
        extract_task_bytes=300.0,
        child_start_seconds=1.5,
    )
    load_ = extract_load(CRAWL, CLUSTER, costs)
    assert load_.child_cpu_seconds == pytest.approx(1000 * (3 + 0.5 * 10) / 1000)
    assert load_.parent_cpu_seconds == pytest.approx((1000 * 0.5 + 40 * 10) / 1000)
    assert load_.start_cpu_seconds == pytest.approx(2 * 4 * 1.5)
    assert load_.shuffle_bytes == 40 * 300
    assert load_.files == 40 * 5


def test_deduplication_takes_one_job_until_the_pairs_may_be_too_many() -> None:
    costs = ALL_ONE._replace(dedup_row_bytes=100.0, dedup_row_bytes_over_files=150.0)
    costs = costs._replace(dedup_dropped_bytes=40.0, dedup_edge_bytes=7.0, star_rounds=3.0)
    costs = costs._replace(edges_per_duplicate=2.0)
    small = dedup_load(CRAWL, CLUSTER, costs)
    assert (small.jobs, small.shuffle_bytes) == (1, 400 * (100 + 0.25 * 40))
    crawl = CRAWL._replace(pages=1e6)
    middle = dedup_load(crawl, CLUSTER, costs)
    assert middle.jobs == 2
    assert middle.shuffle_bytes == pytest.approx(4e5 * (150 + 10) + 4e5 * 0.2 * 2 * 7)
    large = dedup_load(CRAWL._replace(pages=1e8), CLUSTER, costs)
    assert large.jobs == 5


def test_references_grow_with_tasks_and_shards_until_each_is_a_document() -> None:
    costs = ALL_ONE._replace(tokens_per_document=100.0)
    few = CLUSTER._replace(tokens_per_shard=10_000.0)
    assert shards_of(CRAWL, few, costs) == 3
    assert references_of(CRAWL, few, costs) == 120
    many = CLUSTER._replace(tokens_per_shard=100.0)
    assert references_of(CRAWL, many, costs) == CRAWL.final
    assert pack_load(CRAWL, few, costs).tasks == 3


def test_many_references_are_made_fewer_by_merging_tasks() -> None:
    costs = NOTHING._replace(tokens_per_document=100.0)
    crawl = CRAWL._replace(pages=1e8, files=90_000, file_bytes=29.0)
    cluster = CLUSTER._replace(tokens_per_shard=3e6)
    assert shards_of(crawl, cluster, costs) == 1000
    assert len(merge.merge_groups([str(n) for n in range(90_000)], 1000, 0)) == 1000
    assert references_of(crawl, cluster, costs) == 1000 * 1000
    load_ = pack_load(crawl, cluster, costs)
    assert load_.files == 1000 * (3 + 1) + 1000 * (2 + 1)
    few = cluster._replace(tokens_per_shard=3e9)
    assert references_of(crawl, few, costs) == 90_000


def test_the_longest_task_bounds_the_wall_clock() -> None:
    load_ = Load("x", 8, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    four = Cluster(machines=4, cores=1, processes=1, children=1, segment_bytes=1)
    costs = NOTHING._replace(task_spread=1.2)
    phase = lay_out(load_, four, costs)
    assert phase.seconds_at_best == pytest.approx(2.0)
    assert phase.seconds_at_most == pytest.approx(2.0 + 1.2 * 7 / 8)
    assert phase.bottleneck == "children"
    crowd = lay_out(load_, four._replace(machines=100), costs)
    assert crowd.seconds_at_best == pytest.approx(1.2)
    assert crowd.bottleneck == "longest task"


def test_a_store_holds_up_what_processors_do_not() -> None:
    load_ = Load("x", 1e6, 10.0, 10.0, 0.0, 1e7, 1e7, 0.0, 0.0)
    cluster = Cluster(1000, 8, 8, 1, 1, call_seconds=0.001)
    phase = lay_out(load_, cluster, NOTHING)
    assert phase.bottleneck == "rate of the store"
    assert phase.seconds_at_best == pytest.approx(1e7 / work.STORE_WRITES_PER_SECOND)
    assert lay_out(load_, cluster._replace(call_seconds=0.0), NOTHING).seconds_at_best < 1


SHARE = st.floats(0.0, 1.0)
CRAWLS = st.builds(
    Crawl,
    files=st.integers(1, 200_000),
    file_bytes=st.floats(1e3, 1e9),
    pages=st.floats(1.0, 1e10),
    page_kb=st.floats(0.1, 1e3),
    extracted_share=SHARE,
    kept_share=SHARE,
    dropped_share=st.floats(0.0, 0.9),
    near_share=SHARE,
)
CLUSTERS = st.builds(
    Cluster,
    machines=st.integers(1, 5_000),
    cores=st.integers(1, 64),
    processes=st.integers(1, 64),
    children=st.integers(1, 4),
    segment_bytes=st.floats(1e6, 1e9),
    bundles=st.integers(1, 12),
    tokens_per_shard=st.floats(1e6, 1e10),
    call_seconds=st.sampled_from([0.0, 0.03]),
    job_seconds=st.sampled_from([0.0, 180.0]),
    holds_shuffle=st.booleans(),
)


@given(CRAWLS, CLUSTERS)
def test_wall_clock_times_processors_is_no_less_than_the_work(
    crawl: Crawl, cluster: Cluster
) -> None:
    for phase in predict(crawl, cluster, ALL_ONE):
        had = phase.seconds_at_best * cluster.machines * cluster.cores
        assert had >= phase.load.cpu_seconds * (1 - 1e-9)
        assert phase.seconds_at_most >= phase.seconds_at_best


@given(CRAWLS, CLUSTERS, st.integers(2, 10))
def test_more_machines_never_take_longer(crawl: Crawl, cluster: Cluster, times: int) -> None:
    more = cluster._replace(machines=cluster.machines * times)
    for one, other in zip(
        predict(crawl, cluster, ALL_ONE), predict(crawl, more, ALL_ONE), strict=True
    ):
        assert other.seconds_at_best <= one.seconds_at_best * (1 + 1e-9)
        assert other.seconds_at_most <= one.seconds_at_most * (1 + 1e-9)


@given(CRAWLS, CLUSTERS, st.integers(2, 10))
def test_what_is_shuffled_does_not_depend_on_who_does_it(
    crawl: Crawl, cluster: Cluster, times: int
) -> None:
    more = cluster._replace(machines=cluster.machines * times, cores=1)
    for load_ in LOADS:
        one, other = load_(crawl, cluster, ALL_ONE), load_(crawl, more, ALL_ONE)
        assert (one.shuffle_bytes, one.files) == (other.shuffle_bytes, other.files)


@given(CRAWLS.filter(lambda c: c.kept * c.near_share > 1e7), CLUSTERS, st.integers(2, 10))
def test_twice_the_crawl_is_twice_the_bytes(crawl: Crawl, cluster: Cluster, times: int) -> None:
    larger = crawl.scaled(crawl.files * times)
    # Neither pack's references, tasks times shards, nor parts, their root, grow as the crawl.
    for load_ in [one for one in LOADS if one not in (pack_load, summarize_load)]:
        one, other = load_(crawl, cluster, ALL_ONE), load_(larger, cluster, ALL_ONE)
        assert other.shuffle_bytes == pytest.approx(times * one.shuffle_bytes)


def test_limits_break_as_segments_get_small() -> None:
    fine = CLUSTER._replace(segment_bytes=16e6, tokens_per_shard=1e8)
    coarse = CLUSTER._replace(segment_bytes=1e9, tokens_per_shard=1e9)
    costs = ALL_ONE._replace(tokens_per_document=1000.0, marker_memory_bytes=5_000.0)
    broken = {limit.what for limit in limits(CC_MAIN_2024_22, fine, costs) if limit.broken}
    left = {limit.what for limit in limits(CC_MAIN_2024_22, coarse, costs) if limit.broken}
    assert "driver: plan and markers" in broken - left
    assert "driver: report" not in broken


def test_rows_are_counted_by_the_workers_above_what_the_report_reads() -> None:
    costs = NOTHING._replace(report_row_ms=1.0, report_part_ms=10.0, text_bytes_per_document=1.0)
    few = CRAWL._replace(pages=ROWS_AT_ONCE)
    assert "summarize" not in {phase.load.name for phase in predict(few, CLUSTER, costs)}
    alone = {step.name: step.seconds for step in driver_steps(few, CLUSTER, costs)}
    many = CRAWL._replace(files=40_000, pages=ROWS_AT_ONCE + 1)
    (counted,) = [p.load for p in predict(many, CLUSTER, costs) if p.load.name == "summarize"]
    tasks = [str(number) for number in range(int(tasks_of(many, CLUSTER)))]
    assert counted.tasks == len(plan_parts("key", tasks, []))
    merged = {step.name: step.seconds for step in driver_steps(many, CLUSTER, costs)}
    assert merged["report"] == pytest.approx(counted.tasks * 0.01)
    assert merged["report"] < alone["report"] / 100


def test_the_driver_lists_a_thousand_inputs_a_request() -> None:
    steps = driver_steps(CC_MAIN_2024_22, CLUSTER._replace(call_seconds=0.1), ALL_ONE)
    assert steps[0].requests == 90
    assert steps[0].seconds == pytest.approx(9.0)


def test_constants_are_those_of_the_phases() -> None:
    assert work.EDGE_LIMIT == dedup.EDGE_LIMIT
    assert dedup._ROWS_PER_FILE == work.CLUSTER_ROWS_PER_FILE
    assert extract.SEGMENTS_IN_FLIGHT == work.SEGMENTS_IN_FLIGHT
    assert merge.FEW_REFERENCES == work.FEW_REFERENCES
    assert least.HOT_GROUP == HOT_GROUP
    recipe = load("fineweb")
    assert recipe.tokenizer.sample_bytes == work.SAMPLE_BYTES
    assert recipe.dedup.minhash is not None
    assert recipe.dedup.minhash.bands == work.BANDS


class _CountingStore:
    """Beam's file system as storage calls it; nothing is kept but names."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.names: set[str] = set()

    def create(self, path: str, **_: Any) -> BytesIO:
        self.calls["create"] += 1
        self.names.add(path)
        return BytesIO()

    def exists(self, path: str) -> bool:
        self.calls["exists"] += 1
        return path in self.names

    def rename(self, sources: list[str], targets: list[str]) -> None:
        self.calls["rename"] += 1
        self.names = (self.names - set(sources)) | set(targets)


def test_calls_to_write_a_file_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _CountingStore()
    monkeypatch.setattr(storage, "_store_of", lambda path: store)
    storage.write_bytes("gs://bucket/file", b"content")
    assert store.names == {"gs://bucket/file"}
    assert dict(store.calls) == work.CALLS_TO_WRITE


def test_unit_costs_are_read_from_a_measurement(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text(json.dumps({"costs": ALL_ONE._asdict()}))
    assert UnitCosts.read(path) == ALL_ONE
    ours = UnitCosts.read(FINEWEB)
    assert ours.page_ms > 0


@pytest.mark.parametrize("content", ["", "{}", '{"costs": {"page_ms": 1}}', '{"costs": 3}'])
def test_what_is_no_measurement_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"holds no unit costs.*benchmarks.scaling measure"):
        UnitCosts.read(path)
