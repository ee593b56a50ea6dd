"""The recipe of a run that names none. Imports nothing: help is quick."""

from __future__ import annotations

DEFAULT_RECIPE = "fineweb"
