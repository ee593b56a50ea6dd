"""What is read of a benchmark's file."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import InputError
from schemas.recipe import Benchmark, Decontamination
from stages.decontamination import BenchmarkText, read_benchmark


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def texts(content: bytes, fields: list[str] | None = None) -> list[BenchmarkText]:
    return read_benchmark(Benchmark(file="b.jsonl", fields=fields), content).texts


def test_every_string_at_any_depth() -> None:
    content = lines({"q": "a", "c": ["b", {"d": "e"}], "n": 1}, {"q": "f", "c": None})
    assert texts(content) == [(1, "a"), (1, "b"), (1, "e"), (2, "f")]


def test_named_fields_only() -> None:
    content = lines({"q": "a", "c": ["b"], "x": "y"}, {"q": "f"})
    assert texts(content, ["c", "q"]) == [(1, "b"), (1, "a"), (2, "f")]


def test_gzip_is_known_by_its_content() -> None:
    assert texts(gzip.compress(lines({"q": "a"}))) == [(1, "a")]


@pytest.mark.parametrize("begin", ["", "\n ", "\ufeff"], ids=["plain", "blanks", "bom"])
def test_a_json_list_is_read_as_its_records(begin: str) -> None:
    listed = (begin + json.dumps([{"q": "a"}, {"q": ["b"]}], indent=2)).encode()
    assert texts(listed) == [(1, "a"), (2, "b")]
    assert texts(gzip.compress(listed), ["q"]) == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("content", "fields", "said"),
    [
        (b'{"q": "a"}\n{"q": \n', None, "b.jsonl: record 2: not JSON"),
        (b'["a"]\n', None, "b.jsonl: record 1: not an object"),
        (b'[{"q": "a"}, "b"]', None, "b.jsonl: record 2: not an object"),
        (b'[{"q": "a"},', None, "b.jsonl: begins as a JSON list and is none"),
        (b"3\n", None, "b.jsonl: record 1: not an object"),
        (b'{"q": "a"}\n', ["query"], "no record has a field 'query'; there are: q"),
        (b"\n", None, "there is no text"),
        (b"\x1f\x8b damaged", None, "b.jsonl: damaged gzip"),
        (b'{"q": "\xff"}\n', None, "b.jsonl: record 1: not JSON"),
    ],
    ids=[
        "no-json",
        "no-object",
        "in-a-list",
        "cut-list",
        "number",
        "no-such-field",
        "empty",
        "gzip",
        "no-utf8",
    ],
)
def test_what_is_no_benchmark(content: bytes, fields: list[str] | None, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        texts(content, fields)
    assert "\n" not in str(caught.value)


def test_names_of_benchmarks_are_those_of_files() -> None:
    settings = Decontamination.model_validate(
        {"benchmarks": ["a/gsm8k_test.jsonl.gz", {"file": "mmlu.json", "fields": ["question"]}]}
    )
    assert [b.name for b in settings.benchmarks] == ["gsm8k_test", "mmlu"]
    with pytest.raises(ValidationError, match="two benchmarks are called 'test'"):
        Decontamination.model_validate({"benchmarks": ["a/test.jsonl", "b/test.jsonl.gz"]})


@pytest.mark.parametrize("list_of_records", [False, True])
@pytest.mark.parametrize("depth", [990, 100_000])
def test_a_record_nested_beyond_reading_is_one_line(depth: int, list_of_records: bool) -> None:
    row = '{"q": ' + "[" * depth + '"a"' + "]" * depth + "}"
    content = (f"[{row}]" if list_of_records else row).encode()
    with pytest.raises(InputError, match=r"a\.jsonl: .*(nested|recursion)"):
        read_benchmark(Benchmark(file="a.jsonl"), content)
