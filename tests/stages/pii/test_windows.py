"""The finders look at small stretches of a text; they must find what a look at all of it finds."""

from __future__ import annotations

import gzip
import json
import time
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.recipe import Pii
from stages.pii import Scrubber
from stages.pii.addresses import IpFinder
from stages.pii.cards import CardFinder
from stages.pii.emails import EmailFinder
from stages.pii.ibans import IbanFinder
from stages.pii.phones import PhoneFinder
from stages.pii.spans import Span, resolve

REGIONS = ["US", "GB", "DE", "CN"]
AnyFinder = EmailFinder | IpFinder | CardFinder | IbanFinder | PhoneFinder

PIECES = st.sampled_from(
    """+49 30 1234567|020 7946 0958|(212) 867-5309|212.867.5309 ext. 12|+1 212 867 5309|x5| ext |#
|;ext=|tel: |Fax |Mobile|13812345678|00|2015-01-02 08|:00|1998-2003|5035 7 0 15 24|$|%|\u00a0|–|(
|)|+|,|:|/|~| |\t|-|.|a@b.com|@|foo.bar+x@mail.example.co.uk|联系|谢谢|_|8.8.8.8|1.2.3.4.5|::
|2606:4700::1111|12:30:45|2a00:1450:4001:81b:0:0:0:200e|4111 1111 1111 1111|card |378282246310005
|4000 5000 6000 7000|DE89 3704 0044 0532 0130 00|BE71096123456769|GEBA|word|0|7|12|345|6789|１２３
""".split("|")  # noqa: SIM905
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


@pytest.fixture(scope="module")
def finders() -> list[AnyFinder]:
    return [EmailFinder(), IpFinder(), CardFinder(), IbanFinder(), PhoneFinder(REGIONS)]


def web_texts(shared_data: Path, every: int, count: int) -> list[str]:
    with gzip.open(shared_data / "warc_pages" / "ground_truth.jsonl.gz", "rt") as handle:
        texts = (json.loads(line)["main_text"] or "" for line in handle)
        return list(islice(texts, 0, every * count, every))


def lost(finder: AnyFinder, text: str) -> list[Span]:
    """What the recognizer finds in the whole text and nothing in the windows covers."""
    found = finder.find(text)
    return [
        span
        for span in resolve(finder.find_between(text, 0, len(text)), [])
        if not any(f.start <= span.start and span.end <= f.end for f in found)
    ]


def test_nothing_is_lost_on_web_pages(shared_data: Path, finders: list[AnyFinder]) -> None:
    for text in web_texts(shared_data, every=30, count=40):
        for finder in finders:
            assert lost(finder, text) == []


def test_nothing_is_lost_on_labelled_sentences(shared_data: Path, finders: list[AnyFinder]) -> None:
    with gzip.open(shared_data / "pii" / "presidio_synth_v2.jsonl.gz", "rt") as handle:
        sentences = [json.loads(line)["full_text"] for line in handle][::6]
    text = "\n\n".join(sentences)
    for finder in finders:
        assert lost(finder, text) == []


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_nothing_is_lost_on_made_up_text(finders: list[AnyFinder], text: str) -> None:
    for finder in finders:
        assert lost(finder, text) == []


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_scrubbing_twice_changes_nothing(scrubber: Scrubber, text: str) -> None:
    once, counts = scrubber.scrub(text)
    assert set(counts) == set(Pii().kinds)
    assert scrubber.scrub(once)[0] == once


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(Pii())


def test_scrubbing_web_pages_twice_changes_nothing(shared_data: Path, scrubber: Scrubber) -> None:
    for text in web_texts(shared_data, every=9, count=160):
        once, _ = scrubber.scrub(text)
        again, counts = scrubber.scrub(once)
        assert again == once
        assert not any(counts.values())


@pytest.mark.parametrize(
    "text",
    [
        "word 12 " * 100_000,
        "7" * 800_000,
        " " * 800_000,
        "1 " * 400_000,
        "a" * 800_000 + "@",
        "a@" * 100_000,
        "1.2." * 100_000,
        "a:" * 300_000,
        "DE89 " * 50_000,
        "0-" * 50_000,
        "+(" * 300_000,
        "4111 " * 150_000,
    ],
    ids=lambda text: text[:8].strip() or "spaces",
)
def test_long_texts_stay_linear(scrubber: Scrubber, text: str) -> None:
    started = time.process_time()
    scrubber.scrub(text)
    assert time.process_time() - started < 15
