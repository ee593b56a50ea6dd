"""Loading and using SentencePiece models that somebody else trained."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from schemas.errors import InputError, UsageError
from stages.tokens import Tokenizer

TEXT = "Hello, world!\n  Über 3 日本 😀\tx"


@pytest.fixture(scope="module", params=[("v1", 32_000), ("v3", 32_768)], ids=["v1", "v3"])
def mistral(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Path, int]:
    version, vocab_size = request.param
    folder = shared_data / "lists_and_models" / "models"
    return folder / f"mistral_tokenizer.model.{version}", vocab_size


def small_model(**settings: object) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["some words to learn from"]),
        model_writer=model,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()


def test_mistral_models(mistral: tuple[Path, int]) -> None:
    path, vocab_size = mistral
    tokenizer = Tokenizer.load(path)
    plain = sentencepiece.SentencePieceProcessor(model_file=str(path))
    tokens = tokenizer.encode(TEXT)
    assert tokens.tolist() == plain.encode(TEXT)
    assert tokens.dtype == np.uint16
    assert tokenizer.dtype == "uint16"
    assert tokenizer.vocab_size == vocab_size
    assert tokenizer.eos_id == 2
    assert tokenizer.decode(tokens) == TEXT
    assert tokenizer.decode([*tokens, tokenizer.eos_id]) == TEXT
    assert tokenizer.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_batches_equal_single_texts(mistral: tuple[Path, int]) -> None:
    tokenizer = Tokenizer.load(mistral[0])
    texts = [TEXT, "", "▁ a space character", "plain"]
    for threads in (1, 2):
        batch = tokenizer.encode_batch(texts, threads=threads)
        assert [tokens.tolist() for tokens in batch] == [
            tokenizer.encode(text).tolist() for text in texts
        ]
        assert {tokens.dtype.name for tokens in batch} == {"uint16"}
    assert tokenizer.encode_batch([]) == []


def test_a_tokenizer_can_be_pickled(mistral: tuple[Path, int]) -> None:
    tokenizer = Tokenizer.load(mistral[0])
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    assert copy.sha256 == tokenizer.sha256


@pytest.mark.parametrize("content", [b"", b"garbage", b"\0" * 100, b"<html>no</html>"])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.model"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"some\.model") as caught:
        Tokenizer.load(path)
    assert "\n" not in str(caught.value)


def test_a_cut_model(tmp_path: Path) -> None:
    model = small_model(model_type="unigram")
    for length in (1, len(model) // 2, len(model) - 1):
        (tmp_path / "cut.model").write_bytes(model[:length])
        with pytest.raises(InputError, match=r"cut\.model"):
            Tokenizer.load(tmp_path / "cut.model")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.model", tmp_path):
        with pytest.raises(InputError, match="cannot read the tokenizer"):
            Tokenizer.load(path)


def test_a_model_without_eos_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(small_model(model_type="unigram", eos_id=-1))
    with pytest.raises(UsageError, match="no end-of-sequence piece"):
        Tokenizer.load(path)


def test_models_that_normalise_or_have_no_bytes_still_work(tmp_path: Path) -> None:
    tokenizer = Tokenizer(small_model(model_type="unigram"), "nmt_nfkc")
    assert tokenizer.decode(tokenizer.encode("some   words")) == "some words"
    assert tokenizer.encode("▁").size <= 1


def test_ids_outside_the_vocabulary(mistral: tuple[Path, int]) -> None:
    tokenizer = Tokenizer.load(mistral[0])
    for tokens in ([-1], [0, tokenizer.vocab_size]):
        with pytest.raises(UsageError, match="do not fit"):
            tokenizer.decode(tokens)
    assert tokenizer.decode([]) == ""


def test_dtype_follows_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(model_type="unigram")
    size = sentencepiece.SentencePieceProcessor.vocab_size
    for vocab_size, dtype in ((65_536, "uint16"), (65_537, "uint32")):
        monkeypatch.setattr(
            sentencepiece.SentencePieceProcessor, "vocab_size", lambda self, n=vocab_size: n
        )
        tokenizer = Tokenizer(model, "large")
        assert tokenizer.dtype == dtype
        assert tokenizer.encode("some").dtype == dtype
    monkeypatch.setattr(sentencepiece.SentencePieceProcessor, "vocab_size", size)


def test_lone_surrogates_are_one_clear_line(mistral: tuple[Path, int]) -> None:
    tokenizer = Tokenizer.load(mistral[0])
    with pytest.raises(InputError, match="lone surrogates"):
        tokenizer.encode("a\ud800b")
    with pytest.raises(InputError, match="lone surrogates"):
        tokenizer.encode_batch(["a", "a\ud800b"])
