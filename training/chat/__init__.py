"""Conversations as tokens: formats of records, chat templates, masks for training, prompts."""

from training.chat.formats import FORMATS
from training.chat.formatter import ChatFormatter, Encoded, find_formatter, open_formatter
from training.chat.reading import read_conversations

__all__ = [
    "FORMATS",
    "ChatFormatter",
    "Encoded",
    "find_formatter",
    "open_formatter",
    "read_conversations",
]
