"""Training of SentencePiece models: determinism, small corpora, lossless tokens."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.errors import CorpusmillError, OutputError
from schemas.recipe import Tokenizer as Settings
from stages.tokens import Tokenizer, train_sentencepiece

TEXTS = [
    "The quick brown fox jumps over the lazy dog.\nIt was 1984, or 2024.\n\nIt was late.",
    "    def f(x):\n        return x + 10\n",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "敏捷的棕色狐狸跳过了懒狗。狐狸很快。",
    "Быстрая коричневая лиса прыгает через ленивую собаку.",
] * 3
KINDS = ["bpe", "unigram"]

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
awkward = st.text("ab \n\t\r\0▁▅é日😀\u200d1<>/s0xA", max_size=60)


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train(tmp_path_factory.mktemp("model"), TEXTS, type=request.param)


def train(folder: Path, texts: list[str], **settings: object) -> Tokenizer:
    target = folder / "tokenizer.model"
    train_sentencepiece(iter(texts), target, Settings.model_validate(settings))
    return Tokenizer.load(target)


@given(text=anything | awkward)
@hypothesis_settings(max_examples=150, deadline=None)
def test_decoding_gives_back_what_was_encoded(trained: Tokenizer, text: str) -> None:
    tokens = trained.encode(text)
    assert tokens.dtype == np.uint16
    assert trained.decode(tokens) == text
    assert np.array_equal(trained.encode_batch([text, "x"])[0], tokens)


@given(left=anything, right=anything)
@hypothesis_settings(max_examples=60, deadline=None)
def test_text_can_be_decoded_in_parts(trained: Tokenizer, left: str, right: str) -> None:
    parts = np.concatenate([trained.encode(left), trained.encode(right)])
    assert trained.decode(parts) == left + right


def test_special_pieces_never_come_from_text(trained: Tokenizer) -> None:
    tokens = trained.encode("<unk><s></s><pad>")
    assert tokens.min() > 3
    assert trained.eos_id == 2
    assert trained.decode([*tokens, trained.eos_id]) == "<unk><s></s><pad>"


def test_newlines_are_pieces_of_their_own(trained: Tokenizer) -> None:
    whole = trained.encode("It was late.\n\nIt was.\nlate")
    parts = [trained.encode(part) for part in ("It was late.", "\n\n", "It was.", "\n", "late")]
    assert [len(parts[1]), len(parts[3])] == [1, 1]
    assert np.array_equal(whole, np.concatenate(parts))


def test_digits_stand_alone(trained: Tokenizer) -> None:
    assert len(trained.encode("19842024")) == 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        "a",
        " ",
        "\t",
        "日本語",
        "😀",
        "aaaa",
        "1",
        "a▅b",
        "a\0b",
        "a\ud800b",
        "x" * 50_000,
        "日" * 5_000,
        "a\n",
    ],
)
@pytest.mark.parametrize("vocab_size", [300, 32_000])
def test_a_single_short_document_suffices(
    tmp_path: Path, kind: str, text: str, vocab_size: int
) -> None:
    tokenizer = train(tmp_path, [text], type=kind, vocab_size=vocab_size)
    assert 256 < tokenizer.vocab_size <= vocab_size
    other = "a b\n日本 ▁😀"
    other += text.replace("\ud800", "")
    assert tokenizer.decode(tokenizer.encode(other)) == other


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coverage", [0.01, 0.9995, 1.0])
def test_more_characters_than_pieces(tmp_path: Path, kind: str, coverage: float) -> None:
    text = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 3000))
    tokenizer = train(
        tmp_path,
        [text, "的" * 50_000],
        type=kind,
        vocab_size=300,
        character_coverage=coverage,
    )
    assert tokenizer.vocab_size <= 300
    assert len(tokenizer.encode("的")) == 1
    assert tokenizer.decode(tokenizer.encode(text[:500])) == text[:500]


@given(texts=st.lists(anything | awkward, min_size=1, max_size=4))
@hypothesis_settings(max_examples=60, deadline=None)
def test_no_text_is_too_odd_to_train_on(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    for kind in KINDS:
        tokenizer = train(folder, ["a", *texts], type=kind, vocab_size=320)
        for text in texts:
            assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("texts", [[], [""], ["\n", "", "\n\n"]])
def test_an_empty_corpus_is_one_clear_line(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(CorpusmillError, match="no text was kept") as caught:
        train(tmp_path, texts)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the tokenizer"):
        train_sentencepiece(["a"], tmp_path / "no" / "m.model", Settings())


def test_long_lines_are_split_not_dropped(tmp_path: Path) -> None:
    rare = " ".join(["zebra"] * 10_000)
    tokenizer = train(tmp_path, [rare])
    assert len(tokenizer.encode(" zebra")) == 1


def test_the_sample_ends_at_its_limit(tmp_path: Path) -> None:
    def texts() -> object:
        yield "alpha " * 20
        raise AssertionError("read past the limit")

    train_sentencepiece(texts(), tmp_path / "m.model", Settings(sample_bytes=100))  # type: ignore[arg-type]
    assert (tmp_path / "m.model").stat().st_size > 0


_TRAIN = """
import sys
from pathlib import Path
from schemas.recipe import Tokenizer
from stages.tokens import train_sentencepiece
texts = Path(sys.argv[1]).read_text(encoding="utf-8").split("\\x1e")
train_sentencepiece(texts, Path(sys.argv[2]), Tokenizer(type=sys.argv[3], vocab_size=2000))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_in_every_process(
    tmp_path: Path, repository: Path, shared_data: Path, kind: str
) -> None:
    with gzip.open(shared_data / "train" / "c4_demo.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    corpus = tmp_path / "corpus"
    corpus.write_text("\x1e".join(texts), encoding="utf-8", newline="")
    models = set()
    for number, environment in enumerate(
        ({"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}, {"OMP_NUM_THREADS": "7", "LC_ALL": "C"})
    ):
        folder = tmp_path / f"folder{number}"
        folder.mkdir()
        target = folder / f"{number}.model"
        cores = {min(os.sched_getaffinity(0))} if number else os.sched_getaffinity(0)
        pinned = f"import os; os.sched_setaffinity(0, {cores!r})\n{_TRAIN}"
        done = subprocess.run(
            [sys.executable, "-c", pinned, str(corpus), str(target), kind],
            cwd=repository,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout + done.stderr == ""
        models.add(target.read_bytes())
    assert len(models) == 1


def test_training_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, TEXTS, type="unigram")
    assert "".join(capfd.readouterr()) == ""


def test_control_ids(trained: Tokenizer, tmp_path: Path) -> None:
    train_sentencepiece(TEXTS, tmp_path / "m.model", Settings())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    ids = [processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id()]
    assert ids == [0, 1, 2, 3]
