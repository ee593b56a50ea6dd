"""Presidio without spaCy, in fresh processes: what is imported, what it costs, what is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRUB = """
from schemas.recipe import Pii
from stages.pii import Scrubber
TEXT = "a@b.co.uk 8.8.4.4, +49 30 1234567, 4111111111111111, BE71096123456769"
COUNTS = {"email": 1, "ip": 1, "phone": 1, "credit_card": 1, "iban": 1}
"""


def run(repository: Path, code: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", SCRUB + code],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_scrubbing_imports_no_spacy_and_leaves_no_stand_ins(repository: Path) -> None:
    out = run(
        repository,
        """
import sys, time
start = time.process_time()
assert Scrubber(Pii()).scrub(TEXT)[1] == COUNTS
print(time.process_time() - start)
assert "spacy" not in sys.modules
assert not [name for name in sys.modules if name.startswith("presidio")]
""",
    )
    print(f"CPU seconds to import the recognizers and scrub once: {out.strip()}")
    assert float(out) < 3


def test_whole_presidio_and_spacy_work_afterwards(repository: Path) -> None:
    run(
        repository,
        """
before = Scrubber(Pii())
from presidio_analyzer import AnalyzerEngine, PatternRecognizer
from presidio_analyzer.predefined_recognizers import EmailRecognizer, SpacyRecognizer
assert issubclass(EmailRecognizer, PatternRecognizer)
assert EmailRecognizer().analyze("x@y.z", []) == []
import spacy
assert [t.text for t in spacy.blank("en")("one two")] == ["one", "two"]
assert before.scrub(TEXT)[1] == COUNTS
assert Scrubber(Pii()).scrub(TEXT) == before.scrub(TEXT)
""",
    )


def test_works_when_presidio_was_imported_before(repository: Path) -> None:
    run(
        repository,
        """
import sys, presidio_analyzer
assert Scrubber(Pii()).scrub(TEXT)[1] == COUNTS
assert sys.modules["presidio_analyzer"] is presidio_analyzer
assert presidio_analyzer.AnalyzerEngine
""",
    )


def test_a_changed_layout_falls_back_to_all_of_presidio(repository: Path) -> None:
    run(
        repository,
        """
import sys
from stages.pii import presidio
presidio._STAND_INS += ("presidio_analyzer.no_such_package",)
assert Scrubber(Pii()).scrub(TEXT)[1] == COUNTS
assert "spacy" in sys.modules
""",
    )


def test_threads_import_once(repository: Path) -> None:
    run(
        repository,
        """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    results = list(pool.map(lambda _: Scrubber(Pii()).scrub(TEXT), range(16)))
assert len({clean for clean, _ in results}) == 1
""",
    )


def test_nothing_is_fetched_or_written(repository: Path, tmp_path: Path) -> None:
    run(
        repository,
        f"""
import os, socket
for name in ("HOME", "XDG_CACHE_HOME", "TLDEXTRACT_CACHE"):
    os.environ[name] = {str(tmp_path)!r}
def refuse(*args, **kwargs):
    raise AssertionError("network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
assert Scrubber(Pii()).scrub(TEXT)[1] == COUNTS
""",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["presidio_analyzer", "phonenumbers"])
def test_without_the_extra_says_what_to_install(repository: Path, module: str) -> None:
    out = run(
        repository,
        f"""
import sys
from schemas.errors import InputError
sys.modules[{module!r}] = None
try:
    Scrubber(Pii())
except InputError as error:
    print(error)
""",
    )
    assert "pip install 'corpusmill[pii]'" in out
