"""Tokenizers of training and generation: bytes, SentencePiece models, tokenizer.json files."""

from training.tokenizers.contract import Tokenizer, continuation, pieces, prompt_tokens
from training.tokenizers.loading import (
    begins_with_bos,
    find_tokenizer,
    load_tokenizer,
    save_tokenizer,
)

__all__ = [
    "Tokenizer",
    "begins_with_bos",
    "continuation",
    "find_tokenizer",
    "load_tokenizer",
    "pieces",
    "prompt_tokens",
    "save_tokenizer",
]
