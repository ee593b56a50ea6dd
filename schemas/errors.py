"""The exception types that cross package edges. Each message is one line that says what to do."""

from __future__ import annotations


class CorpusmillError(Exception):
    """A failure the user can act on: the command line prints its one line and exits with 1."""


class UsageError(CorpusmillError):
    """Wrong arguments, keys or recipes, found before any work: exit code 2."""


class InputError(CorpusmillError):
    """An input that is missing, unreadable or not what its name says."""


class OutputError(CorpusmillError):
    """An output folder that cannot be used: a full disk, another recipe's run, a broken file."""


class ReconcileError(CorpusmillError):
    """Counts that do not add up: in != kept + rejected + errors."""
