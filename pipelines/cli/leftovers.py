"""What a command line holds beside the command's own options: more inputs, and Beam's options."""

from __future__ import annotations

import argparse
import difflib
import glob
import os
from collections.abc import Iterable
from typing import NamedTuple

import typer

from pipelines.names import is_remote
from schemas.errors import UsageError

_ASK_THEIR_SERVER = frozenset({"flink", "spark", "portable", "prism"})
"""Runners whose job server has options that Beam's Python side does not know."""


class Leftovers(NamedTuple):
    """Arguments that the command did not take, told apart."""

    inputs: list[str]
    """Words: what a shell makes of an unquoted glob after --input."""
    beam: list[str]
    """Options of the Beam runner with their values."""


class _Word(str):
    """An argument that is known by its place, however often the same text occurs."""

    __slots__ = ()


def sort_out(context: typer.Context, runner: str | None) -> Leftovers:
    """Tell further inputs from Beam's options.

    Raises UsageError for an option that nobody knows, and, where a runner was named, for a word
    that is no file: it may be the value of a mistyped option.
    """
    own = [name for parameter in context.command.params for name in parameter.opts]
    if runner is None:
        for argument in context.args:
            if argument.startswith("-"):
                raise UsageError(
                    f"{_unknown(argument, own)} (options of a Beam runner need --runner)"
                )
        return Leftovers(list(context.args), [])
    words = [_Word(argument) for argument in context.args]
    parser = _beam_parser()
    try:
        options, rest = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise UsageError(f"options of {runner}: {error}") from error
    known = [*own, *(f"--{name}" for name in vars(options))]
    strange = [word for word in rest if word.startswith("-")]
    for word in strange:
        if not _for_the_server(word, runner, known):
            raise UsageError(_unknown(word, known))
    inputs = [word for word in rest if not word.startswith("-")]
    for word in inputs:
        if not _is_there(word):
            raise UsageError(
                f"{word} is neither a file nor an option of {runner}; "
                "quote globs: --input 'crawl/*.warc.gz'"
            )
    taken = set(map(id, inputs))
    return Leftovers([str(w) for w in inputs], [str(w) for w in words if id(w) not in taken])


def all_inputs(given: list[str] | None, leftovers: Leftovers) -> list[str]:
    """What --input was given and the words after it.

    Raises UsageError for words without --input: --inputs-from takes one file.
    """
    if leftovers.inputs and not given:
        raise UsageError(f"no such argument: {leftovers.inputs[0]} (inputs follow --input)")
    return [*(given or []), *leftovers.inputs]


def no_inputs(leftovers: Leftovers) -> list[str]:
    """Beam's options, for a command that takes no inputs. Raises UsageError for any word."""
    if leftovers.inputs:
        raise UsageError(f"no such argument: {leftovers.inputs[0]}")
    return leftovers.beam


def _beam_parser() -> argparse.ArgumentParser:
    """Beam's own, with the options of all runners."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parsers: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    (parser,) = parsers
    parser.exit_on_error = False
    return parser


def _for_the_server(word: str, runner: str, known: list[str]) -> bool:
    portable = runner.lower().removesuffix("runner") in _ASK_THEIR_SERVER
    return portable and word.startswith("--") and "=" in word and not _close(word, known)


def _close(word: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word.partition("=")[0], list(known), n=1, cutoff=0.75)


def _unknown(word: str, known: Iterable[str]) -> str:
    guess = "".join(f"; did you mean {name}?" for name in _close(word, known))
    return f"no such option: {word.partition('=')[0]}{guess}"


def _is_there(word: str) -> bool:
    return is_remote(word) or os.path.lexists(word) or bool(glob.glob(word, recursive=True))
