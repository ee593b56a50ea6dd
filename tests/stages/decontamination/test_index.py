"""N-grams that a text shares with benchmarks, against counting by hand and against datatrove."""

from __future__ import annotations

import gzip
import json
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.recipe import Benchmark, Decontamination
from stages.decontamination import Match, NgramIndex, read_benchmark
from stages.dedup.shingles import word_hashes, words_of

WORDS = [f"{a}{b}" for a in "bcdfghklmnprst" for b in ("ab", "el", "in", "or", "un")]


def index_of(*records: Any, **settings: Any) -> NgramIndex:
    wanted = Decontamination(benchmarks=[Benchmark(file="quiz.jsonl")], **settings)
    content = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    return NgramIndex(wanted, [read_benchmark(wanted.benchmarks[0], content)])


def sentence(length: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def test_says_what_was_found() -> None:
    item, other = sentence(20, 1), sentence(20, 2)
    index = index_of({"q": other}, {"q": item})
    words = item.split()
    text = f"{sentence(30, 3)} {' '.join(words[4:17])} {sentence(30, 4)}"
    assert index.find(text) == Match("quiz", 2, 13 / 20, " ".join(words[4:17]))
    assert index.find(text.replace(words[10], "other")) is None


def test_case_punctuation_and_accents_do_not_matter_and_numbers_do() -> None:
    index = index_of({"q": "A café sold 12 cakes on each of 3 days; how many cakes was that?"})
    copied = "“A CAFE” sold 12 cakes, on each of 3 days. How many cakes was that"
    assert index.find(copied) is not None
    assert index.find(copied.replace("12", "17").replace("3 days", "4 days")) is None


def test_short_items_are_found_whole_and_shorter_ones_counted() -> None:
    long_enough, short = sentence(9, 5), sentence(7, 6)
    index = index_of({"q": long_enough, "a": short}, {"a": short}, {"a": "4"})
    assert index.sizes[0]._asdict() | {"sha256": ""} == {
        "name": "quiz",
        "sha256": "",
        "records": 3,
        "texts": 1,
        "skipped": 3,
        "unseen_records": 2,
        "common": 0,
    }
    match = index.find(f"x {long_enough} y")
    assert match is not None
    assert (match.share, match.ngram) == (1.0, long_enough)
    assert index.find(long_enough.rpartition(" ")[0]) is None
    assert index.find(short) is None


def test_rows_of_numbers_are_no_evidence() -> None:
    index = index_of({"q": "1 2 3 4 5 6 7 8 9 10 11 12 13 14"}, {"q": sentence(14, 7)})
    assert index.find("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15") is None
    assert index.sizes[0].skipped == 1


def test_an_n_gram_across_two_strings_of_a_record_is_none() -> None:
    question, answer = sentence(10, 8), sentence(10, 9)
    index = index_of({"q": question, "a": answer}, shortest=13)
    assert index.find(f"{question} {answer}") is None
    assert index_of({"q": f"{question} {answer}"}).find(f"{question} {answer}") is not None


def test_another_answer_does_not_hide_a_question() -> None:
    question, answer = sentence(30, 15), sentence(90, 16)
    index = index_of({"q": question, "a": answer}, ngram=8, share=0.5)
    match = index.find(f"Please solve: {question} It is {sentence(20, 17)}")
    assert match is not None
    assert (match.record, match.share) == (1, 1.0)
    assert index.find(" ".join(question.split()[:15])) is None


def test_gsm8k_questions_with_other_answers_are_found(shared_data: Path) -> None:
    settings = Decontamination(
        benchmarks=[Benchmark(file="benchmarks/gsm8k_test.jsonl.gz")], ngram=8, share=0.5
    )
    path = shared_data / settings.benchmarks[0].file
    index = NgramIndex(settings, [read_benchmark(settings.benchmarks[0], path.read_bytes())])
    asked = [row for row, _ in zip(rows(path), range(300), strict=False)]
    found = [
        index.find(f"{row['question']}\nThe answer is {row['answer'].rpartition('####')[2]}")
        for row in asked
    ]
    assert [match.record if match else None for match in found] == [*range(1, 301)]


BOILERPLATE = f"{sentence(20, 18)} choose the right ending"


def boilerplate_records(count: int) -> list[dict[str, str]]:
    """Records that begin alike, as those of a benchmark made from a template."""
    return [{"q": f"{BOILERPLATE} {sentence(20, 1000 + n)}"} for n in range(count)]


def test_boilerplate_of_a_benchmark_is_no_find() -> None:
    index = index_of(*boilerplate_records(11))
    assert index.find(f"{sentence(5, 19)} {BOILERPLATE} {sentence(5, 20)}") is None
    assert index.sizes[0].common == len(BOILERPLATE.split()) - 12
    assert index.sizes[0].texts == 11
    copied = index.find(boilerplate_records(11)[6]["q"])
    assert copied is not None
    assert (copied.record, copied.share) == (7, 1.0)
    assert index_of(*boilerplate_records(10)).find(BOILERPLATE) is not None
    assert index_of(*boilerplate_records(11), most_records=11).find(BOILERPLATE) is not None


def test_an_n_gram_that_one_record_repeats_is_no_boilerplate() -> None:
    item = sentence(13, 21)
    index = index_of({"choices": [item] * 20, "q": f"{item} {item}"})
    assert index.sizes[0].common == 0
    assert index.find(item) is not None


def test_records_of_boilerplate_alone_are_counted() -> None:
    index = index_of(*[{"q": BOILERPLATE}] * 11, {"q": sentence(20, 22)})
    size = index.sizes[0]
    assert (size.texts, size.skipped, size.unseen_records) == (1, 11, 11)


def test_many_records_alike_leave_few_places_to_look_at() -> None:
    """What `find` goes through, instead of a time: postings of the n-grams of a text."""
    index = index_of(*boilerplate_records(300))
    text = " stop ".join([BOILERPLATE] * 3)
    places = index._places(word_hashes(words_of(text, numbers=True)))
    assert places == {}


def share_by_hand(record: str, text: str, n: int) -> float:
    """Tulu 3's measure: words of the record that lie in n-grams which the text has, too."""
    words, held = record.split(), text.split()
    there = {tuple(held[i : i + n]) for i in range(len(held) - n + 1)}
    covered = {
        j
        for i in range(len(words) - n + 1)
        if tuple(words[i : i + n]) in there
        for j in range(i, i + n)
    }
    return len(covered) / len(words)


@given(st.integers(0, 10**6), st.integers(8, 40), st.integers(2, 9), st.floats(0, 0.95))
def test_share_is_that_of_words_in_common_n_grams(
    seed: int, length: int, n: int, threshold: float
) -> None:
    random_ = random.Random(seed)
    record = " ".join(random_.choices(WORDS[:12], k=length))
    pieces = [
        " ".join(record.split()[at : at + random_.randint(1, 12)])
        for at in random_.choices(range(length), k=3)
    ]
    text = " stop ".join(pieces)
    share = share_by_hand(record, text, min(n, length))
    match = index_of({"q": record}, ngram=n, shortest=1, share=threshold).find(text)
    assert (match.share if match else None) == (share if share > threshold else None)


def test_the_most_similar_record_is_named_and_the_first_of_equals() -> None:
    item = sentence(26, 10)
    half = " ".join(item.split()[:13])
    index = index_of({"q": f"{half} {sentence(40, 11)}"}, {"q": item}, {"q": item})
    match = index.find(item)
    assert match is not None
    assert (match.record, match.share) == (2, 1.0)


def test_no_text_and_no_long_benchmark() -> None:
    assert index_of({"q": "a b"}).find(sentence(50, 12)) is None
    assert index_of({"q": sentence(20, 13)}).find("") is None


def test_goes_to_other_processes() -> None:
    item = sentence(20, 14)
    index = pickle.loads(pickle.dumps(index_of({"q": item})))
    assert index.find(item) is not None
    assert index.ngrams == 8


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def strings(shared_data: Path, name: str) -> list[str]:
    benchmark = Benchmark(file=name)
    content = (shared_data / "benchmarks" / f"{name}.jsonl.gz").read_bytes()
    return [text for _, text in read_benchmark(benchmark, content).texts]


@pytest.mark.slow
def test_decides_as_datatrove_on_real_texts(shared_data: Path) -> None:
    """Any common 12-gram, where both see the same words: words cut at blanks, numbers kept, ASCII
    text; and n-grams that are not mostly numbers."""
    from datatrove.data import Document
    from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.text import TextNormConfig, ngrams

    names = ("arc_easy", "openbook_qa", "gsm8k_test")
    items = [" ".join(words_of(t, numbers=True)) for n in names for t in strings(shared_data, n)]
    theirs = NGramsDecontFilter(
        ".",
        NGramsDecontConfig(
            n_grams=12,
            norm_config=TextNormConfig(norm_numbers=False),
            hash_config=HashConfig(hash_fc="sha1"),
        ),
    )
    theirs.tokenizer = type("Blanks", (), {"word_tokenize": staticmethod(str.split)})()
    theirs._index_hashes = {
        theirs.hash_func(" ".join(ngram)): "quiz"
        for item in items
        for ngram in ngrams(item.split(), 12)
        if sum(word.isdigit() for word in ngram) <= 6
    }
    ours = index_of(*({"t": item} for item in items), ngram=12, shortest=12)

    texts = [
        f"{r['question']} {r['answer']}" for r in rows(shared_data / "train/gsm8k_train.jsonl.gz")
    ]
    texts += [r["text"] for r in rows(shared_data / "neardup/mccormick_articles.jsonl.gz")][:300]
    texts = [text for text in texts if text.isascii()]
    random_, quoted = random.Random(1), [item for item in items if len(item.split()) > 16]
    for at in random_.sample(range(len(texts)), 200):
        words = random_.choice(quoted).split()
        begin, length = random_.randrange(len(words) - 15), random_.randint(9, 16)
        texts[at] += " " + " ".join(words[begin : begin + length])
    found = [ours.find(" ".join(words_of(text, numbers=True))) for text in texts]
    decided = [theirs.filter(Document(" ".join(words_of(t, numbers=True)), "")) for t in texts]
    assert [match is None for match in found] == [verdict is True for verdict in decided]
    assert 50 < sum(match is not None for match in found) < 250


def test_real_pages_share_nothing_with_benchmarks_until_it_is_planted(shared_data: Path) -> None:
    files = sorted((shared_data / "benchmarks").glob("*.jsonl.gz"))
    settings = Decontamination(benchmarks=[Benchmark(file=str(path)) for path in files])
    index = NgramIndex(
        settings, [read_benchmark(b, Path(b.file).read_bytes()) for b in settings.benchmarks]
    )
    pages = [row["main_text"] for row in rows(shared_data / "warc_pages/ground_truth.jsonl.gz")]
    pages = [page for page in pages if page][::12]
    assert [page for page in pages if index.find(page)] == []
    items = [t for t in strings(shared_data, "piqa") if len(t.split()) > 20]
    for page, item in zip(pages, items, strict=False):
        middle = len(page) // 2
        match = index.find(f"{page[:middle]}\n{item.upper()}\n{page[middle:]}")
        assert match is not None
        assert match.benchmark == "piqa"
