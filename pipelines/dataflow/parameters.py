"""The parameters of the Flex Templates: what their metadata says, and what the launcher takes.

Values are text, as everything in a launch request is.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NamedTuple

from pipelines.default_recipe import DEFAULT_RECIPE
from pipelines.phase_names import EXTRACT, PHASES
from schemas.errors import UsageError

FOLDER = r"^gs://[a-z0-9][-_.a-z0-9]+/[^\n\r*?]*[^/\n\r*?]$"
INPUTS = r"^(gs|https|s3|hdfs)://[^\n\r]+$"
COUNT = r"^[1-9][0-9]*$"
DECIMAL = r"^[0-9]*[.]?[0-9]+$"
BOOLEAN = r"^(true|false)$"


class Parameter(NamedTuple):
    """One parameter of a template."""

    name: str
    label: str
    help_text: str
    regex: str
    param_type: str = "TEXT"
    """Of google.cloud.dataflow_v1beta3.types.ParameterType."""
    optional: bool = True
    phases: tuple[str, ...] = PHASES


_FIRST = (EXTRACT,)

PARAMETERS = (
    Parameter(
        "output",
        "Output folder",
        "Folder of the run, the same for all phases, such as gs://bucket/runs/one.",
        FOLDER,
        "GCS_WRITE_FOLDER",
        optional=False,
    ),
    Parameter(
        "inputs",
        "Inputs",
        "WARC, ARC, WET, JSONL or Parquet files: paths or globs, separated by commas. A comma in "
        "a name is written as `?`. Needed unless inputs_from is given.",
        INPUTS,
        phases=_FIRST,
    ),
    Parameter(
        "inputs_from",
        "List of inputs",
        "A file that lists inputs, one a line, plain or gzip, as warc.paths.gz of a crawl does.",
        INPUTS,
        phases=_FIRST,
    ),
    Parameter(
        "inputs_prefix",
        "Prefix of listed inputs",
        "Put before the relative lines of inputs_from, such as https://data.commoncrawl.org/.",
        INPUTS,
        phases=_FIRST,
    ),
    Parameter(
        "recipe",
        "Recipe",
        f"Name of a packaged recipe, or a YAML file in Cloud Storage. Default: {DEFAULT_RECIPE}.",
        r"^([a-z0-9_-]+|gs://[^\n\r]+[.]ya?ml)$",
        phases=_FIRST,
    ),
    Parameter(
        "overrides",
        "Changes to the recipe",
        "KEY=VALUE, separated by semicolons: language.threshold=0.8; pii.kinds=[email, ip].",
        r"^[^=;\s]+=[^;]*(;\s*[^=;\s]+=[^;]*)*$",
        phases=_FIRST,
    ),
    Parameter(
        "limit", "Pages", "Only the first N pages of the inputs.", COUNT, "NUMBER", phases=_FIRST
    ),
    Parameter(
        "segment_mb",
        "Size of a task",
        "Compressed megabytes of WARC in a task (default 16); the output is the same.",
        DECIMAL,
        "NUMBER",
        phases=_FIRST,
    ),
    Parameter(
        "annotate",
        "Annotate",
        "Keep every page that has text, with all signals, for `corpusmill decide`.",
        BOOLEAN,
        "BOOLEAN",
        phases=_FIRST,
    ),
    Parameter(
        "discard",
        "Discard an earlier run",
        "Remove first what the output folder holds of a run with another recipe or other inputs. "
        "A run of the same, begun before, goes on.",
        BOOLEAN,
        "BOOLEAN",
        phases=_FIRST,
    ),
    Parameter(
        "children",
        "Children a process",
        "Processes that each of Beam's worker processes starts for its pages. Default: 1, as "
        "Dataflow starts a worker process a core.",
        COUNT,
        "NUMBER",
    ),
)


def of_phase(phase: str) -> list[Parameter]:
    """The parameters of a phase's template."""
    return [parameter for parameter in PARAMETERS if phase in parameter.phases]


def parse(phase: str, arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The values that were given, by name, and the rest of the command line, which is Beam's.

    Raises UsageError naming a parameter that is missing or does not match.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for parameter in of_phase(phase):
        parser.add_argument(f"--{parameter.name}", default=None)
    known, rest = parser.parse_known_args(list(arguments))
    values = {name: value for name, value in vars(known).items() if value}
    for parameter in of_phase(phase):
        _check(parameter, values.get(parameter.name))
    return values, rest


def _check(parameter: Parameter, value: str | None) -> None:
    if value is None:
        if not parameter.optional:
            raise UsageError(f"parameter {parameter.name} is missing: {parameter.help_text}")
    elif not re.match(parameter.regex, value):
        raise UsageError(
            f"parameter {parameter.name}: {value!r} is not valid. {parameter.help_text}"
        )
