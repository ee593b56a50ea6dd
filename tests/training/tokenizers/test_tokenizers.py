"""One contract, kept by each kind of tokenizer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InputError, UsageError
from training.tokenizers import (
    Tokenizer,
    begins_with_bos,
    continuation,
    find_tokenizer,
    load_tokenizer,
    pieces,
    prompt_tokens,
    save_tokenizer,
)

LEARN = ["some words to learn from", "words, and more words", "Über 3 日本 😀"]
TEXT = "more words!\n  Über 日本 😀\tx"


def sentencepiece_file(folder: Path, **changes: object) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LEARN),
        model_writer=model,
        vocab_size=300,
        model_type="bpe",
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
        **changes,
    )
    path = folder / "some.model"
    path.write_bytes(model.getvalue())
    return path


def byte_level_file(folder: Path, name: str = "some.json") -> Path:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<bos>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(LEARN, trainer)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 1)]
    )
    made.save(str(folder / name))
    return folder / name


KINDS: dict[str, Callable[[Path], str | Path]] = {
    "byte": lambda folder: "byte",
    "sentencepiece": sentencepiece_file,
    "sentencepiece_without_prefix": lambda f: sentencepiece_file(f, add_dummy_prefix=False),
    "byte_level": byte_level_file,
}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return load_tokenizer(KINDS[request.param](tmp_path))


def test_texts_come_back(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(TEXT)
    assert tokens.dtype == np.uint16
    assert tokenizer.decode(tokens) == TEXT
    assert tokenizer.decode([*tokens.tolist(), tokenizer.eos_id]) == TEXT
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.decode([]) == ""


def test_special_tokens_are_left_to_the_caller(tokenizer: Tokenizer) -> None:
    assert not {tokenizer.eos_id, tokenizer.bos_id} & set(tokenizer.encode(TEXT).tolist())


def test_byte_lengths_add_up_to_the_text(tokenizer: Tokenizer) -> None:
    lengths = tokenizer.byte_lengths()
    assert lengths.shape == (tokenizer.vocab_size,)
    assert lengths[tokenizer.eos_id] == 0
    tokens = tokenizer.encode(TEXT)
    # The space that some models put in front of a text is a byte of its first piece.
    added = tokenizer.decode([*tokens, *tokens]) != TEXT + TEXT
    assert lengths[tokens].sum() == len(TEXT.encode()) + added


def test_ids_that_are_none_are_refused(tokenizer: Tokenizer) -> None:
    for token in (-1, tokenizer.vocab_size):
        with pytest.raises(UsageError, match=f"{token}"):
            tokenizer.decode([token])


def test_lone_surrogates_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="surrogates"):
        tokenizer.encode("a\ud800b")


def test_a_continuation_keeps_the_space_in_front(tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("more").tolist()
    tokens = tokenizer.encode("more words").tolist()
    assert tokens[: len(prompt)] == prompt
    assert continuation(tokenizer, prompt, tokens[len(prompt) :]) == " words"


def test_an_empty_prompt_is_the_end_of_the_document_before(tokenizer: Tokenizer) -> None:
    assert prompt_tokens(tokenizer, "") == [tokenizer.eos_id]
    plain = tokenizer.encode(TEXT).tolist()
    assert prompt_tokens(tokenizer, TEXT) == plain
    bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    assert prompt_tokens(tokenizer, TEXT, bos=True) == bos + plain


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_keeps_its_tokenizer(kind: str, tmp_path: Path) -> None:
    spec = KINDS[kind](tmp_path)
    run = tmp_path / "run"
    file = save_tokenizer(spec, run / "tokenizer")
    (run / "checkpoints" / "step-5").mkdir(parents=True)
    before = load_tokenizer(spec)
    for place in (file, run, run / "tokenizer", run / "checkpoints" / "step-5"):
        after = load_tokenizer(place)
        assert find_tokenizer(place) == file
        assert after.encode(TEXT).tolist() == before.encode(TEXT).tolist()
        assert (after.eos_id, after.bos_id) == (before.eos_id, before.bos_id)
    again = save_tokenizer(run, tmp_path / "another")
    assert again.name == file.name
    assert again.read_bytes() == file.read_bytes()


@given(st.text())
@settings(deadline=None)
def test_any_text_survives_as_bytes(text: str) -> None:
    tokenizer = load_tokenizer("byte")
    if any("\ud800" <= c <= "\udfff" for c in text):
        return
    assert tokenizer.encode(text).tolist() == list(text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_bytes_have_257_ids() -> None:
    tokenizer = load_tokenizer("byte")
    assert (tokenizer.vocab_size, tokenizer.eos_id, tokenizer.bos_id) == (257, 256, None)
    assert tokenizer.decode([0xE6, 256, 65]) == "\ufffdA"


@pytest.mark.parametrize("as_text", [True, False])
def test_bos_and_eos_are_those_of_the_settings(as_text: bool, tmp_path: Path) -> None:
    path = byte_level_file(tmp_path, "tokenizer.json")
    names = {"eos_token": "<bos>", "bos_token": "<|endoftext|>"}
    told = names if as_text else {k: {"content": v, "special": True} for k, v in names.items()}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.eos_id, tokenizer.bos_id) == (1, 0)
    kept = load_tokenizer(save_tokenizer(path, tmp_path / "run" / "tokenizer"))
    assert (kept.eos_id, kept.bos_id) == (1, 0)


def test_sentencepiece_lengths_of_mistral(shared_data: Path) -> None:
    model = shared_data / "lists_and_models" / "models" / "mistral_tokenizer.model.v3"
    tokenizer = load_tokenizer(model)
    tokens = tokenizer.encode(TEXT)
    assert tokenizer.byte_lengths()[tokens].sum() == len(TEXT.encode()) + 1
    assert tokenizer.bos_id == 1


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"nonsense", "not a SentencePiece model"),
        (b"{broken", "neither JSON nor"),
        (b'{"version": "1.0"}', "not a tokenizer.json"),
    ],
)
def test_other_files_are_refused_in_one_line(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError, match=named) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_json_without_eos_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"a": 0}, merges=[])).save(str(path))
    with pytest.raises(UsageError, match="end-of-sequence"):
        load_tokenizer(path)


def test_a_place_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer at"):
        load_tokenizer(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)


def test_pieces_are_the_continuation_in_whole_characters(tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("more").tolist()
    tokens = tokenizer.encode("more" + TEXT).tolist()[len(prompt) :]
    parts = list(pieces(tokenizer, prompt, tokens))
    assert "".join(parts) == continuation(tokenizer, prompt, tokens)
    assert len(parts) > 5
    assert "\ufffd" not in "".join(parts)


def test_bytes_that_never_become_a_character_come_at_the_end() -> None:
    parts = list(pieces(load_tokenizer("byte"), [65], [66, 0xE6, 0x97]))
    assert parts == ["B", "\ufffd"]


@pytest.mark.parametrize(
    ("kind", "settings_of_folder", "expected"),
    [
        ("byte_level", {}, True),
        ("sentencepiece", {"add_bos_token": True}, True),
        ("sentencepiece", {}, False),
        ("byte", {}, False),
    ],
)
def test_bos_is_put_where_a_hugging_face_folder_puts_it(
    kind: str, settings_of_folder: dict[str, bool], expected: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    save_tokenizer(KINDS[kind](tmp_path), folder)
    told = {"bos_token": "<bos>", "eos_token": "<|endoftext|>", **settings_of_folder}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    tokenizer = load_tokenizer(folder)
    assert not begins_with_bos(folder, tokenizer)  # a run
    (folder / "config.json").write_text("{}")
    assert begins_with_bos(folder, tokenizer) == expected
