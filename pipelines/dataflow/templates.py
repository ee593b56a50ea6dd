"""The files that Dataflow reads a Flex Template from: one for each phase.

Fields are those of ContainerSpec and TemplateMetadata in the Dataflow API, v1b3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.dataflow.parameters import Parameter, of_phase
from pipelines.dataflow.sizes import SIZES
from pipelines.phase_names import (
    DEDUP,
    EXTRACT,
    FINISH,
    PACK,
    PHASES,
    REPORT,
    SUMMARIZE,
    TOKENIZE,
    TOKENIZER,
)

_WORK = {
    EXTRACT: "pages out of crawl files, filtered; begins or resumes a run.",
    DEDUP: "duplicates. One job of several may be needed: launch it until "
    "OUTPUT/.work/dedup.done.json exists.",
    FINISH: "documents without duplicates and personal data.",
    TOKENIZER: "the recipe's tokenizer, or one trained on a sample.",
    TOKENIZE: "documents as tokens.",
    PACK: "tokens merged into shards.",
    SUMMARIZE: "facts for the report of a large run.",
    REPORT: "manifest, run.json and report.",
}
DESCRIPTIONS = {
    phase: f"Phase {number} of {len(PHASES)}: {_WORK[phase]}"
    for number, phase in enumerate(PHASES, start=1)
}


class Images(NamedTuple):
    """Where the images of a deployment lie."""

    repository: str
    """Such as REGION-docker.pkg.dev/PROJECT/corpusmill."""
    tag: str
    worker_reference: str | None = None
    """The worker's image by digest, once it was pushed; else it is named by the tag."""
    launcher_references: Mapping[str, str] = {}
    """The same of the launchers, by phase."""

    @property
    def worker(self) -> str:
        """The image that workers run."""
        return self.worker_reference or f"{self.repository}/worker:{self.tag}"

    def launcher(self, phase: str) -> str:
        """The image that launches a phase."""
        tagged = f"{self.repository}/launcher-{phase}:{self.tag}"
        return self.launcher_references.get(phase, tagged)


def render(images: Images) -> dict[str, str]:
    """File name -> content, for every phase."""
    return {f"{phase}.json": _json(container_spec(phase, images)) for phase in PHASES}


def container_spec(phase: str, images: Images) -> dict[str, Any]:
    """ContainerSpec of a phase, as it lies in Cloud Storage."""
    size = SIZES[phase]
    return {
        "image": images.launcher(phase),
        "sdkInfo": {"language": "PYTHON"},
        "metadata": metadata(phase),
        "defaultEnvironment": {
            "sdkContainerImage": images.worker,
            "machineType": size.machine_type,
            "diskSizeGb": size.disk_gb,
        },
    }


def metadata(phase: str) -> dict[str, Any]:
    """TemplateMetadata of a phase."""
    return {
        "name": f"corpusmill {phase}",
        "description": DESCRIPTIONS[phase],
        "streaming": False,
        "parameters": [_parameter(parameter) for parameter in of_phase(phase)],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "label": parameter.label,
        "helpText": parameter.help_text,
        "paramType": parameter.param_type,
        "isOptional": parameter.optional,
        "regexes": [parameter.regex],
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
