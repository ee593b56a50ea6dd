"""The tokenizer of a run as files that transformers loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from schemas.errors import InputError, OutputError
from training.tokenizers.byte_tokenizer import EOS_NAME
from training.tokenizers.contract import Tokenizer
from training.tokenizers.huggingface import SETTINGS
from training.tokenizers.loading import (
    BYTE_FILE,
    CHAT_TEMPLATE,
    JSON_FILE,
    find_tokenizer,
    load_tokenizer,
)


def export_tokenizer(place: str | Path, folder: Path) -> Tokenizer:
    """Write the tokenizer of `place` (see `find_tokenizer`) into a Hugging Face folder, which has
    to be there: the file itself, tokenizer.json, tokenizer_config.json, and the run's chat
    template. Texts get neither BOS nor EOS, as in training; but what a tokenizer.json of another
    model puts around texts stays in it, so that its export begins texts as that model does.

    A SentencePiece model of words or characters has no tokenizer.json; it is copied alone.
    Raises InputError without a tokenizer, OutputError when the folder does not take it.
    """
    path = find_tokenizer(place)
    loaded = load_tokenizer(path)
    try:
        if path.name == BYTE_FILE:
            _export_bytes(path, loaded, folder)
        elif path.name == JSON_FILE:
            _copy_json(path, folder)
        else:
            _export_sentencepiece(path, loaded, folder)
        template = path.with_name(CHAT_TEMPLATE)
        if template.is_file():
            shutil.copyfile(template, folder / CHAT_TEMPLATE)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
    return loaded


def _export_bytes(path: Path, loaded: Tokenizer, folder: Path) -> None:
    from training.tokenizers.fast_tokenizer import of_bytes

    shutil.copyfile(path, folder / BYTE_FILE)
    of_bytes(loaded.eos_id, EOS_NAME).save(str(folder / JSON_FILE))
    _write_settings(folder, {"eos_token": EOS_NAME})


def _export_sentencepiece(path: Path, loaded: Tokenizer, folder: Path) -> None:
    from training.tokenizers.fast_tokenizer import from_sentencepiece
    from training.tokenizers.sentencepiece_file import Kind, SentencePieceFile

    shutil.copyfile(path, folder / path.name)
    model = SentencePieceFile.parse(path.read_bytes(), str(path))
    fast = from_sentencepiece(model)
    if fast is None:
        return
    fast.save(str(folder / JSON_FILE))
    texts = [piece.text for piece in model.pieces]
    unknown = next(p.text for p in model.pieces if p.kind is Kind.UNKNOWN)
    named: dict[str, Any] = {"eos_token": texts[loaded.eos_id], "unk_token": unknown}
    if loaded.bos_id is not None:
        named["bos_token"] = texts[loaded.bos_id]
    padding = [p.text for p in model.pieces if p.kind is Kind.CONTROL and p.text == "<pad>"]
    _write_settings(folder, {**named, **({"pad_token": padding[0]} if padding else {})})


def _copy_json(path: Path, folder: Path) -> None:
    """What a run keeps of another model's tokenizer: BOS and EOS by name, the rest in the file."""
    shutil.copyfile(path, folder / JSON_FILE)
    settings = path.with_name(SETTINGS)
    named = {}
    if settings.exists():
        try:
            named = json.loads(settings.read_text("utf-8"))
        except ValueError as error:
            raise InputError(f"{settings} cannot be read: {error}") from error
    _write_settings(folder, {key: name for key, name in named.items() if name is not None})


def _write_settings(folder: Path, named: dict[str, Any]) -> None:
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **named,
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
