"""Formats of records: each is a function from a record to a conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from schemas.chat import Conversation
from training.chat.formats import alpaca, messages, sharegpt
from training.chat.formats.fields import FieldError

FORMATS: Mapping[str, Callable[[Mapping[str, Any]], Conversation]] = MappingProxyType(
    {"messages": messages.read, "sharegpt": sharegpt.read, "alpaca": alpaca.read}
)
"""By name; each raises FieldError."""

__all__ = ["FORMATS", "FieldError"]
