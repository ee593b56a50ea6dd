"""The embedded sample: a small WARC written for this project, and what should become of it.

`python -m pipelines.demo.build` makes both files again from `texts/` and the modules here.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from typing import Any

SAMPLE_NAME = "sample.warc.gz"
EXPECTED_NAME = "expected.jsonl"


def sample_path() -> AbstractContextManager[Path]:
    """The sample WARC as a file on disk, for as long as the context lasts."""
    return resources.as_file(resources.files(__package__).joinpath(SAMPLE_NAME))


def expected_rows() -> list[dict[str, Any]]:
    """What should become of each record of the sample under recipe `demo`, in file order.

    The fields of a row are those of pipelines.demo.cases.Expected.
    """
    text = resources.files(__package__).joinpath(EXPECTED_NAME).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]
