"""Ids of the `tokenizers` library against those of sentencepiece and of UTF-8."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Fast

from schemas.errors import InputError
from schemas.recipe import Tokenizer as Settings
from stages.tokens.tokenizer import Tokenizer
from stages.tokens.train import train_sentencepiece
from training.tokenizers.fast_tokenizer import from_sentencepiece, of_bytes
from training.tokenizers.sentencepiece_file import Kind, SentencePieceFile

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "12", "Größe", "naïve", "日本語"]
WORDS += ["code()", "x_1", "==", "3.14"]


def text(seed: int, length: int = 60) -> str:
    chosen = random.Random(seed)
    joints = [" ", " ", " ", "\n", "\n\n", "  ", "\t"]
    return "".join(chosen.choice(WORDS) + chosen.choice(joints) for _ in range(length))


PROBES = [text(seed) for seed in range(50)] + ["", " ", "\n", "a\n\nb", "\x00é😀", "😀😀 \n日本x"]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    texts = [text(seed, 200) for seed in range(100, 130)]
    train_sentencepiece(texts, path, Settings(type=request.param, vocab_size=400))
    return path


def fast_of(content: bytes) -> Fast:
    fast = from_sentencepiece(SentencePieceFile.parse(content, "x"))
    assert fast is not None
    return Fast.from_str(fast.to_str())


def test_ids_are_sentencepieces(model_file: Path) -> None:
    ours, fast = Tokenizer.load(model_file), fast_of(model_file.read_bytes())
    assert fast.get_vocab_size() == ours.vocab_size
    for probe in PROBES:
        ids = ours.encode(probe).tolist()
        assert fast.encode(probe).ids == ids, probe
        assert fast.decode(ids) == ours.decode(ids) == probe


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_model_with_sentencepieces_own_defaults(kind: str) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text(seed, 200) for seed in range(30)),
        model_writer=model,
        model_type=kind,
        vocab_size=420,
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    fast = fast_of(model.getvalue())
    for probe in ["the cat sat", " a  mat ", "Größe ① ﬁ", "日本 x_1"]:
        assert fast.encode(probe).ids == theirs.encode(probe), probe
        assert fast.decode(theirs.encode(probe)) == theirs.decode(theirs.encode(probe))


def test_the_file_says_what_the_processor_says(model_file: Path) -> None:
    model = SentencePieceFile.parse(model_file.read_bytes(), "x")
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    assert len(model.pieces) == theirs.vocab_size()
    for number, piece in enumerate(model.pieces):
        assert piece.text == theirs.id_to_piece(number)
        assert piece.score == theirs.get_score(number)
        assert (piece.kind is Kind.BYTE) == theirs.is_byte(number)
        assert (piece.kind is Kind.CONTROL) == theirs.is_control(number)
    assert [p.text for p in model.pieces if p.kind is Kind.USER_DEFINED] == ["\n", "\n\n"]
    assert model.byte_fallback
    assert not model.add_dummy_prefix


@pytest.mark.parametrize("keep", [1, 10, 500])
def test_half_a_model_is_none(model_file: Path, keep: int) -> None:
    with pytest.raises(InputError, match="x is no SentencePiece model"):
        SentencePieceFile.parse(model_file.read_bytes()[:keep], "x")


def test_words_are_no_pieces() -> None:
    empty = SentencePieceFile([], False, False, False, b"", False, False)
    assert from_sentencepiece(empty) is None


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_bytes(probe: str) -> None:
    fast = Fast.from_str(of_bytes(256, "<eos>").to_str())
    if "<eos>" not in probe:
        assert fast.encode(probe).ids == list(probe.encode())
    assert fast.decode(list(probe.encode())) == probe


def test_byte_tokenizer_has_an_end() -> None:
    fast = of_bytes(256, "<eos>")
    assert fast.get_vocab_size() == 257
    assert fast.token_to_id("<eos>") == 256
    assert fast.decode([104, 105, 256]) == "hi"
