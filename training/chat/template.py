"""Chat templates: conversations to text, and where in it the answers lie."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from schemas.errors import InputError, OutputError, UsageError
from training.chat.environment import BEGIN, END, chat_environment
from training.tokenizers.huggingface import SETTINGS
from training.tokenizers.loading import CHAT_TEMPLATE

_RAISED = (
    *(TemplateError, ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)
"""What a template that is wrong, or does not know what it is given, makes Python raise."""


class Rendered(NamedTuple):
    """A text, and begin and end in it of each generation block, in their order."""

    text: str
    spans: list[tuple[int, int]]


class ChatTemplate:
    """A Jinja template with a name for errors."""

    def __init__(self, source: str, name: str) -> None:
        """Raises UsageError with the line of a mistake."""
        self.source = source
        self.name = name
        try:
            self._template = chat_environment().from_string(source)
        except TemplateSyntaxError as error:
            raise UsageError(
                f"{name}: line {error.lineno}: no Jinja template: {error.message}"
            ) from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Any] | None,
        variables: Mapping[str, str],
        *,
        marks: tuple[str, str],
        generation_prompt: bool = False,
    ) -> Rendered:
        """The text of messages, where `generation_prompt` up to where the assistant goes on.
        `marks` are two characters that occur nowhere. Raises InputError with what the template
        says."""
        begin, end = marks
        try:
            text = self._template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=generation_prompt,
                **{**variables, BEGIN: begin, END: end},
            )
        except _RAISED as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"the template {self.name} refuses: {said}") from error
        return _without_marks(text, begin, end)

    def save(self, folder: str | Path) -> Path:
        """Write the source into a folder; returns the file. Raises OutputError."""
        path = Path(folder) / CHAT_TEMPLATE
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(self.source, "utf-8")
            os.replace(part, path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        return path


def load_template(spec: str | Path) -> ChatTemplate:
    """A packaged template by name, or one from a file: Jinja, or a JSON object with the key
    `chat_template` as Hugging Face's tokenizer_config.json has it.

    Raises UsageError that names what is packaged, InputError for a file that cannot be read.
    """
    packaged = packaged_templates()
    if spec in packaged:
        file = resources.files("training.chat") / "templates" / f"{spec}.jinja"
        return ChatTemplate(file.read_text("utf-8"), str(spec))
    path = Path(spec)
    if path.is_dir():
        found = find_template([path])
        if found is None:
            raise InputError(f"{path}: has no {CHAT_TEMPLATE} and no chat_template in {SETTINGS}")
        return found
    if not path.exists():
        raise UsageError(f"template: {spec} is none of {', '.join(packaged)}, and no file")
    if path.suffix == ".json":
        in_settings = _of_settings(path)
        if in_settings is None:
            raise InputError(f"{path}: has no chat_template")
        return in_settings
    return ChatTemplate(_read(path), str(path))


def find_template(folders: Sequence[Path]) -> ChatTemplate | None:
    """The template of the first folder that has one. Raises UsageError, InputError."""
    for folder in folders:
        path = folder / CHAT_TEMPLATE
        if path.is_file():
            return ChatTemplate(_read(path), str(path))
        settings = folder / SETTINGS
        found = _of_settings(settings) if settings.is_file() else None
        if found is not None:
            return found
    return None


def packaged_templates() -> list[str]:
    """Their names."""
    folder = resources.files("training.chat") / "templates"
    files = (Path(entry.name) for entry in folder.iterdir())
    return sorted(file.stem for file in files if file.suffix == ".jinja")


def _of_settings(path: Path) -> ChatTemplate | None:
    """One template, or of several with names that called `default`."""
    try:
        tree = json.loads(_read(path))
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    found = tree.get("chat_template") if isinstance(tree, dict) else None
    if isinstance(found, list):
        named = {str(e.get("name")): e.get("template") for e in found if isinstance(e, dict)}
        if "default" not in named:
            raise UsageError(
                f"{path}: none of its chat templates ({', '.join(named)}) is called default; "
                "put the one to use into a file and name that"
            )
        found = named["default"]
    return ChatTemplate(found, str(path)) if isinstance(found, str) else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the template {path}: {error}") from error


def _without_marks(text: str, begin: str, end: str) -> Rendered:
    first, *rest = text.split(begin)
    kept, length = [first], len(first)
    spans = []
    for piece in rest:
        inside, _, after = piece.partition(end)
        spans.append((length, length + len(inside)))
        kept += (inside, after)
        length += len(inside) + len(after)
    return Rendered("".join(kept), spans)
