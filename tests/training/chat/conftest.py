"""Tokenizers of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import chat
from training.tokenizers import Tokenizer, load_tokenizer

KINDS: dict[str, Callable[[Path], str | Path]] = {
    "byte": lambda folder: "byte",
    "qwen": chat.qwen,
    "llama": chat.llama,
    "sentencepiece": chat.sentencepiece_model,
    "sentencepiece with space": lambda folder: chat.sentencepiece_model(
        folder, add_dummy_prefix=True
    ),
}


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {kind: load_tokenizer(make(folder / kind)) for kind, make in KINDS.items()}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers[request.param]
