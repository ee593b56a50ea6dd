"""Parquet inputs: only what is needed is read, and every row is accounted for."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import parquet_rows
from pipelines.parquet_rows import read_rows, row_ranges
from schemas.errors import InputError
from schemas.page import Damage, Page

FAR = 2**62


def packed(table: pa.Table | dict[str, Any], **options: Any) -> io.BytesIO:
    sink = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), sink, **options)
    return sink


def pages(data: io.BytesIO, start: int = 0, end: int = FAR) -> list[Page]:
    events = list(read_rows(data, start, end, "f.parquet"))
    assert all(isinstance(event, Page) for event in events), events
    return [event for event in events if isinstance(event, Page)]


def test_offsets_are_row_numbers_and_groups_are_owned_once() -> None:
    texts = [f"t{n}" for n in range(300)]
    data = packed({"text": texts}, row_group_size=100)
    read = [pages(data, start, end) for start, end in ((0, 100), (100, 300))]
    assert [page.text for part in read for page in part] == texts
    assert [page.warc_offset for part in read for page in part] == list(range(300))


def test_a_column_that_cannot_be_converted_is_not_read() -> None:
    far = pa.array([10**12, None], pa.timestamp("s"))
    (page, _) = pages(packed(pa.table({"text": ["a", "b"], "other": far})))
    assert page.text == "a"


def test_a_value_that_cannot_be_converted_costs_its_row() -> None:
    far = pa.array([0, 10**12, None], pa.timestamp("s"))
    first, second, third = read_rows(
        packed(pa.table({"text": ["a", "b", "c"], "date": far})), 0, FAR, "f"
    )
    assert isinstance(first, Page)
    assert first.date == datetime(1970, 1, 1).isoformat()
    assert isinstance(second, Damage)
    assert (second.offset, second.error) == (1, "bad_value")
    assert "date" in second.detail
    assert isinstance(third, Page)


def test_text_that_is_not_utf8_costs_its_row() -> None:
    raw = pa.array([b"good", b"\xff\xfe"], pa.binary())
    as_string = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    for column, error in ((raw, "bad_text"), (as_string, "bad_value")):
        good, bad = read_rows(packed(pa.table({"text": column})), 0, FAR, "f")
        assert isinstance(good, Page)
        assert good.text == "good"
        assert isinstance(bad, Damage)
        assert bad.error == error


def test_a_damaged_row_group_counts_its_rows() -> None:
    data = packed(
        {"text": [f"text number {n} " * 20 for n in range(300)]},
        row_group_size=100,
        use_dictionary=False,
        compression="gzip",
    )
    group = pq.ParquetFile(data).metadata.row_group(1).column(0)
    broken = bytearray(data.getvalue())
    middle = group.data_page_offset + group.total_compressed_size // 2
    broken[middle : middle + 100] = bytes(100)
    events = list(read_rows(io.BytesIO(bytes(broken)), 0, FAR, "f"))
    assert len(events) == 300
    lost = [event for event in events if isinstance(event, Damage)]
    assert {event.error for event in lost} == {"corrupt_row_group"}
    assert [event.offset for event in lost] == list(range(200 - len(lost), 200))


class Failing(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


def test_an_error_of_the_store_is_no_damage() -> None:
    data = packed({"text": ["a"]}).getvalue()
    with pytest.raises(OSError, match="Input/output error"):
        list(read_rows(Failing(data), 0, FAR, "f"))


@pytest.mark.parametrize(
    "metadata",
    [
        pa.array([{"url": "u", "odd": 1}]),
        pa.array([[("url", "u")]], pa.map_(pa.string(), pa.string())),
    ],
)
def test_metadata_as_struct_or_map(metadata: pa.Array) -> None:
    (page,) = pages(packed(pa.table({"text": ["a"], "url": pa.nulls(1), "metadata": metadata})))
    assert page.url == "u"


def test_text_inside_the_metadata_struct() -> None:
    (page,) = pages(packed(pa.table({"metadata": pa.array([{"text": "a", "url": "u"}])})))
    assert (page.text, page.url) == ("a", "u")


def test_no_text_column_names_the_columns() -> None:
    events = list(read_rows(packed({"body": ["a", "b"], "url": ["u", "v"]}), 0, FAR, "f"))
    assert [event.error for event in events if isinstance(event, Damage)] == ["no_text"] * 2
    assert isinstance(events[0], Damage)
    assert "body, url" in events[0].detail


def test_few_rows_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed({"text": [f"t{n}" for n in range(1000)]})
    held: list[int] = []
    plain = parquet_rows._pages

    def counted(batch: pa.RecordBatch, first: int, name: str) -> Any:
        held.append(batch.num_rows)
        return plain(batch, first, name)

    monkeypatch.setattr(parquet_rows, "_pages", counted)
    assert len(pages(data)) == 1000
    assert max(held) <= parquet_rows.BATCH_ROWS


@pytest.mark.parametrize("content", [b"", b"PAR1 no", b"x" * 1000])
def test_what_is_no_parquet_is_said_before_work(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match="is not a Parquet file"):
        row_ranges(str(tmp_path / "a.parquet"))


def test_a_large_row_group_is_several_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(
        packed({"text": [f"t{n} " * 50 for n in range(1000)], "big": ["x" * 99] * 1000}).getvalue()
    )
    assert row_ranges(str(path)) == [(0, 1000)]
    monkeypatch.setattr(parquet_rows, "PIECE_BYTES", 50_000)
    pieces = row_ranges(str(path))
    assert len(pieces) > 3
    with path.open("rb") as handle:
        read = [event for start, end in pieces for event in read_rows(handle, start, end, "f")]
    assert [event.warc_offset for event in read if isinstance(event, Page)] == list(range(1000))
    assert [e.text for e in read if isinstance(e, Page)] == [f"t{n} " * 50 for n in range(1000)]


def test_pieces_of_a_damaged_row_group_count_its_rows_once() -> None:
    data = packed(
        {"text": [f"text number {n} " * 20 for n in range(300)]},
        use_dictionary=False,
        compression="gzip",
        data_page_size=2000,
        write_batch_size=10,
        write_page_checksum=True,
        write_statistics=False,
    )
    group = pq.ParquetFile(data).metadata.row_group(0).column(0)
    broken = bytearray(data.getvalue())
    middle = group.data_page_offset + group.total_compressed_size // 2
    broken[middle : middle + 100] = bytes(100)
    events = [
        (event.warc_offset if isinstance(event, Page) else event.offset, type(event))
        for start, end in ((0, 70), (70, 200), (200, 300))
        for event in read_rows(io.BytesIO(bytes(broken)), start, end, "f")
    ]
    assert [offset for offset, _ in events] == list(range(300))
    assert {kind for _, kind in events} == {Page, Damage}
