"""Conversations: what people, models and tools say to each other, as training and chat see them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(BaseModel):
    """A call that an assistant asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    arguments: dict[str, Any] = {}
    id: str | None = None


class Message(BaseModel):
    """One turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant."""
    tool_call_id: str | None = None
    """Of a tool: the call that it answers."""
    name: str | None = None
    """Of a tool, or of one among several speakers."""
    train: bool = True
    """Of an assistant: whether a model should learn to say this."""

    @model_validator(mode="after")
    def _fields_of_role(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"tool_calls: only an assistant calls tools, not {self.role}")
        if self.tool_call_id is not None and self.role != "tool":
            raise ValueError(f"tool_call_id: only a tool answers a call, not {self.role}")
        return self


class Conversation(BaseModel):
    """Turns in their order. A system message can only be the first; the others may follow each
    other freely, since real data have every order. What cannot be trained on is decided where it
    is trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: tuple[Message, ...] = Field(min_length=1)
    tools: tuple[dict[str, Any], ...] = ()
    """JSON schemas of the functions that the assistant may call, as OpenAI's `tools` have them."""
    id: str | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _system_first(self) -> Conversation:
        for number, message in enumerate(self.messages):
            if message.role == "system" and number:
                raise ValueError(f"messages[{number}].role: system can only be the first message")
            if message.role == "tool" and not number:
                raise ValueError("messages[0].role: a tool answers a call, it cannot be first")
        return self
