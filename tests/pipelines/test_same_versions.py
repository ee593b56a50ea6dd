"""Workers of another environment are refused before they leave bytes that a key does not cover."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pipelines import account, engine
from pipelines.curate import curate, make_request
from pipelines.demo import sample_path
from pipelines.phases.extract import ExtractDoFn
from pipelines.phases.finish import FinishDoFn
from pipelines.phases.merge import MergeDoFn
from pipelines.phases.pack import PackDoFn
from pipelines.phases.tokenize import TokenizeDoFn
from pipelines.phases.tokenizer import SampleDoFn, TrainDoFn
from pipelines.same_versions import Versioned, check_versions
from schemas.errors import UsageError

HERE = {"python": "3.11", "trafilatura": "2.3.1", "corpusmill": "0.1.0"}


def test_equal_versions_pass() -> None:
    check_versions(HERE, dict(HERE))


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ({**HERE, "trafilatura": "2.2.0"}, "trafilatura 2.2.0 instead of 2.3.1"),
        ({**HERE, "corpusmill": "0.2.0"}, "corpusmill 0.2.0 instead of 0.1.0"),
        ({"python": "3.11", "corpusmill": "0.1.0"}, "trafilatura none instead of 2.3.1"),
        ({**HERE, "lxml": "6.0"}, "lxml 6.0 instead of none"),
    ],
)
def test_a_difference_is_one_line_that_names_it(there: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_versions(HERE, there)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_uninstalled_checkout_has_no_version_to_compare() -> None:
    check_versions(HERE, {**HERE, "corpusmill": "source"})


@pytest.mark.parametrize(
    "kind",
    [ExtractDoFn, FinishDoFn, SampleDoFn, TrainDoFn, TokenizeDoFn, MergeDoFn, PackDoFn],
)
def test_whatever_leaves_files_is_checked(kind: type) -> None:
    assert issubclass(kind, Versioned)
    assert "setup" not in vars(kind)


def test_patches_of_python_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Versioned()
    minor = ".".join(account.platform.python_version().split(".")[:2])
    monkeypatch.setattr(account.platform, "python_version", lambda: f"{minor}.99")
    made.setup()
    monkeypatch.setattr(account.platform, "python_version", lambda: "3.1.99")
    with pytest.raises(UsageError, match="python 3.1 instead of"):
        made.setup()


def test_a_run_on_strange_workers_ends_before_its_first_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = engine.make_options(None, [])
    with sample_path() as sample:
        request, _ = make_request([str(sample)], str(tmp_path / "out"), "demo", options, workers=1)
        started = Versioned.setup

        def elsewhere(self: Versioned) -> None:
            with monkeypatch.context() as worker:
                versions = account.versions()
                worker.setattr(account, "versions", lambda: versions | {"trafilatura": "0.1"})
                started(self)

        monkeypatch.setattr(Versioned, "setup", elsewhere)
        with pytest.raises(UsageError, match=r"a worker has trafilatura 0\.1 instead of"):
            curate(request, Console(stderr=True), quiet=True)
    assert not list((tmp_path / "out").rglob("*.parquet"))
