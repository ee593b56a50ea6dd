"""Which tokenizer a word, a file or a folder means, and how a run keeps its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import InputError, OutputError
from training.tokenizers.byte_tokenizer import NOTE, ByteTokenizer
from training.tokenizers.contract import Tokenizer
from training.tokenizers.huggingface import SETTINGS, HuggingFaceTokenizer, read_settings
from training.tokenizers.sentencepiece_model import SentencePieceTokenizer

BYTE = "byte"

FOLDER = "tokenizer"
"""Of a run: holds one of the files below."""

BYTE_FILE = "byte.json"
JSON_FILE = "tokenizer.json"
SENTENCEPIECE_FILE = "tokenizer.model"
CHAT_TEMPLATE = "chat_template.jinja"
"""Beside the tokenizer of a run or in a Hugging Face folder: how conversations become text."""

_FILES = (BYTE_FILE, JSON_FILE, SENTENCEPIECE_FILE)


def load_tokenizer(spec: str | Path) -> Tokenizer:
    """The tokenizer that `spec` means: the word "byte", a SentencePiece model, a tokenizer.json, a
    byte.json, or a folder that holds one (see `find_tokenizer`). Files are told apart by their
    content.

    Raises InputError or UsageError in one line.
    """
    if spec == BYTE:
        return ByteTokenizer()
    path = find_tokenizer(spec)
    kind = _kind(path)
    if kind == BYTE_FILE:
        return ByteTokenizer()
    if kind == JSON_FILE:
        return HuggingFaceTokenizer(path)
    return SentencePieceTokenizer(_read(path), str(path))


def find_tokenizer(place: str | Path) -> Path:
    """The file itself, or the one in a folder: a run (RUN/tokenizer/), a checkpoint of a run, a
    Hugging Face folder. Raises InputError where there is none."""
    place = Path(place)
    if not place.is_dir():
        if place.exists():
            return place
        raise InputError(
            f"no tokenizer at {place}, which is not there: give a file, a run, or the word {BYTE}"
        )
    for folder in tokenizer_folders(place):
        for name in _FILES:
            if (folder / name).is_file():
                return folder / name
    raise InputError(
        f"{place}: holds no tokenizer ({', '.join(_FILES)}, there or in {FOLDER}/); name one"
    )


def begins_with_bos(model: str | Path, tokenizer: Tokenizer) -> bool:
    """Whether a model's texts begin with BOS: where a Hugging Face folder's tokenizer puts it
    there. Runs train on documents without."""
    folder = Path(model)
    if not (folder / "config.json").is_file():
        return False
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return tokenizer.adds_bos
    return read_settings(folder).get("add_bos_token") is True


def save_tokenizer(spec: str | Path, folder: str | Path) -> Path:
    """Copy the tokenizer that `spec` means into `folder` (RUN/tokenizer), under the name of its
    kind; returns the file. BOS and EOS of a tokenizer.json go into a tokenizer_config.json.

    Raises as `load_tokenizer`, and OutputError where the folder does not take it.
    """
    folder = Path(folder)
    if spec == BYTE:
        return _write(folder, BYTE_FILE, NOTE.encode())
    path = find_tokenizer(spec)
    kind = _kind(path)
    if kind == JSON_FILE:
        loaded = HuggingFaceTokenizer(path)
        names = {"bos_token": loaded.bos_token, "eos_token": loaded.eos_token}
        _write(folder, SETTINGS, (json.dumps(names, indent=2) + "\n").encode())
    return _write(folder, kind, _read(path))


def tokenizer_folders(place: Path) -> Iterator[Path]:
    """Where the tokenizer of a run, a checkpoint of one, or a Hugging Face folder may lie."""
    yield place / FOLDER
    yield place
    if place.resolve().parent.name == "checkpoints":
        yield place.resolve().parent.parent / FOLDER


def _kind(path: Path) -> str:
    """The name that a file of its kind has in a run."""
    data = _read(path)
    if not data.startswith(b"{"):
        return SENTENCEPIECE_FILE
    try:
        tree = json.loads(data)
    except ValueError as error:
        raise InputError(f"{path} is neither JSON nor a SentencePiece model: {error}") from error
    return BYTE_FILE if tree.get("type") == BYTE else JSON_FILE


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the tokenizer {path}: {error.strerror}") from error


def _write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    part = folder / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return path
