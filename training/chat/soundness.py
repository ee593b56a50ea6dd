"""Whether a template and a tokenizer can be trained with, found out with short conversations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from schemas.chat import Message, ToolCall
from schemas.errors import InputError
from training.chat.renderer import Layout, Renderer
from training.chat.template import ChatTemplate

_ASK, _SAY = Message(role="user", content="Probe-ask"), Message(role="assistant", content="Said-1")
_MORE, _SAY_MORE = (
    Message(role="user", content="Probe-more"),
    Message(role="assistant", content="Said-2"),
)
_SYSTEM = Message(role="system", content="Probe-system")
_CALL = Message(
    role="assistant", tool_calls=(ToolCall(name="probe_call", arguments={"n": 1}, id="callprobe"),)
)
_RESULT = Message(role="tool", content="Probe-result", tool_call_id="callprobe", name="probe_call")
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "probe_call",
        "description": "Probe-description",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
    },
}

_SPELLED = re.compile(r"<\|[^<>|\s]+\|>")
"""What names of tokens of turns look like in ChatML and Llama 3."""


class Probe(NamedTuple):
    """A conversation, and what must be found in its text."""

    what: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    found: tuple[str, ...]


_FIRST = Probe("one turn", (_ASK, _SAY), (), ("Probe-ask", "Said-1"))
_PROBES = (
    Probe("several turns", (_ASK, _SAY, _MORE, _SAY_MORE), (), ("Probe-more", "Said-2")),
    Probe("system messages", (_SYSTEM, _ASK, _SAY), (), ("Probe-system",)),
    Probe("tools", (_ASK, _CALL, _RESULT, _SAY), (_TOOL,), ("Probe-description", "Probe-result")),
)


class Findings(NamedTuple):
    """What is known of a template with a tokenizer."""

    problem: str | None
    """Why it cannot be trained with."""
    end_of_turn: frozenset[int]
    """Ids that end answers."""
    framing: frozenset[str]
    """Names of tokens that it writes around turns."""
    lacks: Mapping[str, str]
    """Probes that it refuses or leaves out, and how."""
    spelled: tuple[str, ...]
    """Names of tokens that are none of the vocabulary."""


def examine(renderer: Renderer) -> Findings:
    """Render short conversations. Raises InputError where a single turn cannot be rendered."""
    lacks: dict[str, str] = {}
    ends: set[int] = set()
    framing: set[str] = set()
    spelled: dict[str, None] = {}
    problem: str | None = None
    for probe in (_FIRST, *_PROBES):
        try:
            layout = renderer.lay_out(probe.messages, probe.tools, exact=())
        except InputError as error:
            if probe is _FIRST:
                raise
            lacks[probe.what] = str(error)
            continue
        missing = [text for text in probe.found if text not in layout.text]
        if missing:
            lacks[probe.what] = f"the template {renderer.template.name} leaves out {probe.what}"
            continue
        problem = problem or _problem(renderer, probe, layout, ends)
        outside = _outside(layout)
        if not probe.tools:
            framing.update(name for name in renderer.names if name in outside)
        spelled.update(dict.fromkeys(_SPELLED.findall(layout.text)))
    known = set(renderer.names)
    return Findings(
        problem,
        frozenset(ends),
        frozenset(framing | {n for n, m in renderer.names.items() if m.id in ends}),
        lacks,
        tuple(name for name in spelled if name not in known),
    )


def with_eos_as_end(renderer: Renderer) -> tuple[ChatTemplate, str] | None:
    """The template with the name of EOS in place of what it writes after an answer, and what that
    was; None where nothing is written there, or not in the template's own words."""
    layout = renderer.lay_out(_FIRST.messages, exact=())
    if not layout.answers:
        return None
    (answer,) = layout.answers
    _, _, after = layout.text[answer.start : answer.end].partition(_SAY.content)
    was, template = after.strip(), renderer.template
    if not was or was not in template.source:
        return None
    eos = renderer.tokenizer.token_names["eos_token"]
    return ChatTemplate(template.source.replace(was, eos), template.name), was


def _problem(renderer: Renderer, probe: Probe, layout: Layout, ends: set[int]) -> str | None:
    """What is wrong with one conversation; adds the ids that end answers to `ends`."""
    try:
        renderer.lay_out(probe.messages, probe.tools)
    except InputError as error:
        return str(error)
    name = renderer.template.name
    for answer in layout.answers:
        inside = layout.text[answer.start : answer.end]
        message = probe.messages[answer.message]
        said = message.content or message.tool_calls[0].name
        others = [m.content for m in probe.messages if m is not message and m.content]
        if said not in inside or any(other in inside for other in others):
            return f"the template {name} marks other text than the answer with {{% generation %}}"
    for owner, parts in renderer.parts(layout):
        if owner is None:
            continue
        if not parts or not isinstance(parts[-1], int):
            return (
                f"the template {name} ends answers without a token of this vocabulary, and a model "
                "would never stop: let answers end inside {% generation %} with eos_token"
            )
        ends.add(parts[-1])
    return _twice_bos(renderer, layout)


def _twice_bos(renderer: Renderer, layout: Layout) -> str | None:
    bos = renderer.tokenizer.bos_id
    first: list[int | str] = [part for _, parts in renderer.parts(layout) for part in parts][:2]
    if bos is not None and first == [bos, bos]:
        return f"the template {renderer.template.name} writes BOS twice"
    return None


def _outside(layout: Layout) -> str:
    """What is no answer."""
    parts, at = [], 0
    for _, start, end in layout.answers:
        parts.append(layout.text[at:start])
        at = end
    return "\0".join([*parts, layout.text[at:]])


def lacking(lacks: Mapping[str, str], messages: Sequence[Message], tools: Sequence[Any]) -> str:
    """Why these messages cannot be rendered; empty where they can."""
    needs = {
        "system messages": any(m.role == "system" for m in messages),
        "tools": bool(tools) or any(m.tool_calls or m.role == "tool" for m in messages),
    }
    return next((lacks[what] for what, needed in needs.items() if needed and what in lacks), "")
