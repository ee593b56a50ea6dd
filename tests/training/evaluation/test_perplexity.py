from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from tests.training.tokenizers.test_tokenizers import sentencepiece_file
from training.data.shards import ShardReader
from training.data.text import write_text_shards
from training.evaluation.perplexity import read_documents, run, windows
from training.evaluation.subject import Subject
from training.evaluation.task import Options
from training.tokenizers import load_tokenizer

TEXTS = ["The quick brown fox. " * 20, "Grüße aus der Küche", "a", "x" * 300]


@given(st.integers(0, 400), st.integers(1, 40), st.integers(1, 40))
def test_every_token_is_scored_once(tokens: int, window: int, stride: int) -> None:
    stride = min(stride, window)
    found = list(windows(tokens, 1, window, stride))
    scored = [at for w in found for at in range(w.first, w.end)]
    assert scored == list(range(1, tokens))
    for number, one in enumerate(found):
        assert one.end - one.start <= window + 1
        assert one.start < one.first
        if number:
            assert one.end - one.start == window + 1
            assert one.first - one.start >= window + 1 - stride


def write(path: Path, texts: list[str], sources: list[str] | None = None) -> Path:
    names = sources or [""] * len(texts)
    rows = ({"text": text, "source": name} for text, name in zip(texts, names, strict=True))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_equals_the_loss_of_transformers_on_the_same_windows(
    subject: Subject, byte_model: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(byte_model).eval()
    result = run(subject, Options(data=write(tmp_path / "t.jsonl", TEXTS), window=48, stride=20))
    nats, count = 0.0, 0
    for text in TEXTS:
        ids = list(text.encode())
        done = 1
        while done < len(ids):
            end = min(len(ids), 49 if done == 1 else done + 20)
            begin = max(0, end - 49)
            labels = torch.tensor([ids[begin:end]])
            labels[0, : done - begin] = -100
            with torch.no_grad():
                loss = theirs(torch.tensor([ids[begin:end]]), labels=labels).loss
            nats += float(loss) * (end - done)
            count += end - done
            done = end
    assert count == sum(len(text.encode()) - 1 for text in TEXTS)
    assert result.value("nats_per_token") == pytest.approx(nats / count, rel=1e-5)
    assert result.value("perplexity") == pytest.approx(math.exp(nats / count), rel=1e-4)
    # A byte is a token here: a document's first one is context alone, in both.
    bits = nats / count / math.log(2)
    assert result.value("bits_per_byte") == pytest.approx(bits, rel=1e-5)


def test_sources_add_up_and_batches_change_nothing(subject: Subject, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", TEXTS, ["en", "de", "en", "x"])
    result = run(subject, Options(data=path, window=64))
    again = run(subject, Options(data=path, window=64, batch_size=1))
    assert result.value("nats_per_token") == pytest.approx(again.value("nats_per_token"), rel=1e-5)
    counts = {f.group: f.count for f in result.figures if f.name == "nats_per_token"}
    assert counts == {"": 739, "en": 419, "x": 299, "de": 21}
    nats = sum(result.value("nats_per_token", name) * counts[name] for name in ("en", "de", "x"))
    assert result.value("nats_per_token") == pytest.approx(nats / 739)
    assert result.settings["stride"] == 32


def test_a_text_file_is_one_document(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXTS[0])
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": TEXTS[0]}))
    first = run(subject, Options(data=tmp_path / "t.txt"))
    second = run(subject, Options(data=tmp_path / "t.jsonl"))
    assert first.figures == second.figures
    assert first.items == 1


def test_a_text_file_is_taken_as_it_is(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"one\r\ntwo\r\n")
    (found,) = read_documents(tmp_path / "t.txt", subject, Options())
    assert bytes(found.tokens) == b"one\r\ntwo\r\n"
    assert found.size == 9


@pytest.mark.parametrize("text", ["some words", "日本 words", " some", "  x", "漢 more"])
def test_bytes_of_what_is_scored_are_counted(text: str, subject: Subject, tmp_path: Path) -> None:
    """The space that SentencePiece puts in front of a text may be a token of its own: it is none
    of the text's bytes."""
    words = load_tokenizer(sentencepiece_file(tmp_path))
    tokens = words.encode(text)
    (found,) = read_documents(
        write(tmp_path / "t.jsonl", [text]), subject._replace(tokenizer=words), Options()
    )
    assert found.tokens == tokens.tolist()
    assert found.size == words.byte_lengths()[tokens[1:]].sum()


@torch.no_grad()
def test_a_split_of_shards_counts_their_eos(subject: Subject, tmp_path: Path) -> None:
    """The documents of a split, by hand: every token but the first, EOS included."""
    source = write(tmp_path / "t.jsonl", [f"{text} {n}" for n in range(8) for text in TEXTS])
    manifest = write_text_shards(
        [source], tmp_path / "shards", load_tokenizer("byte"), None, validation_fraction=0.5
    )
    result = run(subject, Options(data=manifest, window=256, stride=256))
    nats, count, size = 0.0, 0, 0
    for ids in ShardReader(manifest).documents("validation"):
        tokens = torch.tensor(np.array(ids, dtype=np.int64))
        for start in range(0, len(tokens) - 1, 256):
            end = min(len(tokens), start + 257)
            begin = max(0, end - 257)
            log_p = subject.decoder(tokens[None, begin : end - 1])[0].log_softmax(-1)
            chosen = log_p.gather(1, tokens[begin + 1 : end, None])[:, 0]
            nats -= float(chosen[start - begin :].sum())
        count += len(tokens) - 1
        size += len(tokens) - 2
    assert result.value("nats_per_token") == pytest.approx(nats / count, rel=1e-5)
    assert result.value("bits_per_byte") == pytest.approx(nats / math.log(2) / size, rel=1e-5)


@torch.no_grad()
def test_bos_makes_the_first_token_a_target(subject: Subject, tmp_path: Path) -> None:
    words = load_tokenizer("byte")
    words.bos_id = 256
    path = write(tmp_path / "t.jsonl", ["abc"])
    result = run(subject._replace(bos=True, tokenizer=words), Options(data=path))
    log_p = subject.decoder(torch.tensor([[256, *b"ab"]]))[0].log_softmax(-1)
    expected = -float(log_p.gather(1, torch.tensor([[97], [98], [99]])).mean())
    assert result.value("nats_per_token") == pytest.approx(expected, rel=1e-5)
    assert result.figures[-1].count == 3


def test_shards_of_another_tokenizer_are_refused(subject: Subject, tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl", ["one", "two"])
    manifest = write_text_shards(
        [source], tmp_path / "shards", load_tokenizer("byte"), None, validation_fraction=0.5
    )
    words = load_tokenizer("byte")
    words.eos_id = 0
    with pytest.raises(InputError, match="end with token 256, .*tokenizer with 0"):
        run(subject._replace(tokenizer=words), Options(data=manifest))
    words.vocab_size = 300
    with pytest.raises(InputError, match="a vocabulary of 257, the model's tokenizer has 300"):
        run(subject._replace(tokenizer=words), Options(data=manifest))


def test_a_bos_of_id_0_begins_documents_of_shards(subject: Subject, tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl", [f"document {n}" for n in range(8)])
    manifest = write_text_shards(
        [source], tmp_path / "shards", load_tokenizer("byte"), None, validation_fraction=0.5
    )
    words = load_tokenizer("byte")
    words.bos_id = 0
    opened = subject._replace(bos=True, tokenizer=words)
    for found in read_documents(manifest, opened, Options()):
        assert found.tokens[:2] == [0, ord("d")]
        assert found.size == len("document 1")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "ab"}\n{"text": 3}\n', "record 2: text: 3 is no text"),
        ('{"content": "ab"}\n', "record 1: text: is missing; it has: content"),
        ("{\n", "record 1: is not JSON"),
        ("[]\n", "record 1: is not a JSON object"),
        ("\n", "holds no record"),
        ('{"text": "a"}\n', "no document of two tokens"),
        ('{"text": "\\ud800x"}\n', "record 1: text: bytes cannot encode"),
    ],
)
def test_a_bad_record_is_named(content: str, said: str, subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        run(subject, Options(data=path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_windows_that_cannot_be_are_refused(subject: Subject, tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", TEXTS)
    with pytest.raises(UsageError, match="--window 257: the model has room for 2 to 256"):
        run(subject, Options(data=path, window=257))
    with pytest.raises(UsageError, match="--stride 0"):
        run(subject, Options(data=path, stride=0))
    with pytest.raises(UsageError, match="--data is missing"):
        run(subject, Options())
