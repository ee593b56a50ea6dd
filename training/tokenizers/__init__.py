"""Tokenizers of training and generation: bytes, SentencePiece models, tokenizer.json files."""

from training.tokenizers.contract import Tokenizer, continuation, prompt_tokens
from training.tokenizers.loading import find_tokenizer, load_tokenizer, save_tokenizer

__all__ = [
    "Tokenizer",
    "continuation",
    "find_tokenizer",
    "load_tokenizer",
    "prompt_tokens",
    "save_tokenizer",
]
