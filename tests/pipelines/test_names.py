"""Names of inputs: short, distinct, and without secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.names import base_name, identity_of, labels_of, shown


def test_base_names_where_they_are_enough() -> None:
    assert labels_of(["/in/a.warc.gz", "/in/b.warc.gz"]) == {
        "/in/a.warc.gz": "a.warc.gz",
        "/in/b.warc.gz": "b.warc.gz",
    }


def test_folders_tell_equal_names_apart() -> None:
    paths = ["/in/d1/x.warc", "/in/d2/x.warc", "/in/e/s/y.warc", "/in/f/s/y.warc", "/in/z.warc"]
    assert list(labels_of(paths).values()) == [
        "d1/x.warc",
        "d2/x.warc",
        "e/s/y.warc",
        "f/s/y.warc",
        "z.warc",
    ]


def test_labels_do_not_depend_on_the_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spelled = labels_of(["d1/x", "./d2/../d2/x"])
    assert list(spelled.values()) == ["d1/x", "d2/x"]


@given(st.lists(st.from_regex(r"\A(/[ab]){1,4}\Z"), unique=True, max_size=12))
def test_labels_are_distinct_ends_of_paths(paths: list[str]) -> None:
    labels = labels_of(paths)
    assert len(set(labels.values())) == len(paths)
    assert all(path.endswith(labels[path]) for path in paths)


SIGNED = "https://user:word@store.example/b/x.warc.gz?X-Amz-Signature=abc#f"


def test_urls_are_shown_without_their_keys() -> None:
    assert shown(SIGNED) == "https://store.example/b/x.warc.gz"
    assert base_name(SIGNED) == "x.warc.gz"
    first, second = labels_of([f"{SIGNED[:-2]}&key={n}" for n in "12"]).values()
    assert first != second
    assert "key" not in first + second


def test_a_name_that_is_no_utf8_can_be_written() -> None:
    name = os.fsdecode(b"/in/\xff.jsonl")
    shown(name).encode()
    labels_of([name])[name].encode()


def test_identity_follows_links_and_spellings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").touch()
    Path("b").symlink_to("a")
    same = {identity_of(path) for path in ("a", "./a", str(tmp_path / "a"), "b")}
    assert len(same) == 1


@pytest.mark.parametrize(
    "query",
    [
        "",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20240101T000000Z&X-Amz-Signature=ab",
        "AWSAccessKeyId=A&Signature=x%2B&Expires=17",
        "X-Goog-Expires=9&X-Goog-Signature=cd",
        "Policy=p&Signature=s&Key-Pair-Id=K",
        "sv=2024-11-04&st=a&se=b&sr=b&sp=r&sig=z%3D",
    ],
)
def test_identity_of_a_url_is_the_same_however_it_is_signed(query: str) -> None:
    plain = "https://e.org/x.warc.gz"
    assert identity_of(f"https://user:word@e.org/x.warc.gz?{query}") == plain
    versioned = f"{plain}?versionId=7"
    assert identity_of(versioned + (f"&{query}" if query else "")) == versioned


def test_queries_that_sign_nothing_tell_files_apart() -> None:
    first, second = (identity_of(f"https://e.org/get?se={n}&expires={n}") for n in "12")
    assert first != second
