"""Presidio's recognizer classes, imported without the rest of Presidio.

`import presidio_analyzer` pulls in spaCy through its NLP engines: 7.2 s of CPU a process, of which
spaCy takes 5.3 (shared/reference/beam.md). The pattern recognizers need none of it. While they are
imported here, the packages on their way are empty stand-ins that resolve names to single
submodules; afterwards `sys.modules` is as it was, so a later ordinary import gets the whole real
Presidio and the real spaCy.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from schemas.errors import InputError

INSTALL_HINT = "PII scrubbing needs Presidio: pip install 'corpusmill[pii]'"

_ROOT = "presidio_analyzer"
_STAND_INS = (
    _ROOT,
    f"{_ROOT}.nlp_engine",
    f"{_ROOT}.predefined_recognizers",
    f"{_ROOT}.predefined_recognizers.generic",
)
_GENERIC = _STAND_INS[-1]
_LOCK = threading.Lock()
"""Held while `sys.modules` holds stand-ins, so that two threads never see each other's."""

_log = logging.getLogger("corpusmill.pii")


class Recognizers(NamedTuple):
    """Presidio's generic recognizer classes that the kinds of `schemas.recipe.Pii` need."""

    email: Any
    ip: Any
    phone: Any
    credit_card: Any
    iban: Any


_CLASS_NAMES = Recognizers(
    email="EmailRecognizer",
    ip="IpRecognizer",
    phone="PhoneRecognizer",
    credit_card="CreditCardRecognizer",
    iban="IbanRecognizer",
)


def recognizers() -> Recognizers:
    """The classes, imported once a process (0.15 s of CPU instead of 7.2).

    Raises InputError with the install command when Presidio is not installed. A Presidio whose
    layout is not the expected one is imported whole, with spaCy, and a warning is logged.
    """
    with _LOCK:
        return _recognizers()


@cache
def _recognizers() -> Recognizers:
    # A Presidio that somebody imported before has paid for spaCy already.
    if _ROOT in sys.modules:
        return _from_whole_presidio()
    if importlib.util.find_spec(_ROOT) is None:
        raise InputError(INSTALL_HINT)
    try:
        with _stand_ins():
            return Recognizers(*(_resolve(_GENERIC, name) for name in _CLASS_NAMES))
    except (ImportError, AttributeError) as error:
        _log.warning("importing all of Presidio, with spaCy: %s", error)
        return _from_whole_presidio()


def _from_whole_presidio() -> Recognizers:
    try:
        package = importlib.import_module(f"{_ROOT}.predefined_recognizers")
        return Recognizers(*(getattr(package, name) for name in _CLASS_NAMES))
    except ImportError as error:
        raise InputError(f"{INSTALL_HINT} ({error})") from error


def _resolve(package: str, class_name: str) -> Any:
    return getattr(importlib.import_module(f"{package}.{_module_of(class_name)}"), class_name)


def _module_of(class_name: str) -> str:
    """CamelCase to the snake_case module that defines it: AnalysisExplanation, and so on."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()


class _StandIn(ModuleType):
    """A package without its `__init__`: submodules import normally, names resolve to the
    submodule that is called like them."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "NlpArtifacts":
            # Only an annotation in the recognizers; its own module imports spaCy.
            return Any
        return _resolve(self.__name__, name)


@contextmanager
def _stand_ins() -> Iterator[None]:
    """`sys.modules` with the stand-ins inside the block, and without any of Presidio after it."""
    try:
        for name in _STAND_INS:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.submodule_search_locations is None:
                raise ImportError(f"no package {name}")
            package = _StandIn(name)
            package.__path__ = list(spec.submodule_search_locations)
            package.__spec__ = spec
            sys.modules[name] = package
        yield
    finally:
        for name in [n for n in sys.modules if n == _ROOT or n.startswith(_ROOT + ".")]:
            del sys.modules[name]
