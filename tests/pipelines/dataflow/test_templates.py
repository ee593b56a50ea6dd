"""The committed templates: as rendered, with fields that the API knows, and what launch takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.dataflow.parameters import PARAMETERS, of_phase, parse
from pipelines.dataflow.templates import Images, render
from pipelines.phase_names import PHASES
from schemas.errors import UsageError

IMAGES = Images("REGION-docker.pkg.dev/PROJECT/corpusmill", "0.1.0")


@pytest.fixture
def templates(repository: Path) -> Path:
    return repository / "deploy" / "dataflow" / "templates"


def test_committed_files_are_what_is_rendered(templates: Path) -> None:
    committed = {path.name: path.read_text() for path in templates.iterdir()}
    assert committed == render(IMAGES), (
        "corpusmill deploy dataflow --repository REGION-docker.pkg.dev/PROJECT/corpusmill "
        "--tag 0.1.0 --output deploy/dataflow/templates"
    )
    assert sorted(committed) == sorted(f"{phase}.json" for phase in PHASES)


@pytest.mark.parametrize("phase", PHASES)
def test_fields_are_those_of_the_api(phase: str, templates: Path) -> None:
    """The client library's messages are the published schema: strange fields do not parse."""
    types = pytest.importorskip("google.cloud.dataflow_v1beta3.types")
    from google.protobuf import json_format

    text = (templates / f"{phase}.json").read_text()
    spec = types.ContainerSpec.from_json(text, ignore_unknown_fields=False)
    assert spec.sdk_info.language == types.SDKInfo.Language.PYTHON
    assert spec.image.endswith(f"/launcher-{phase}:0.1.0")
    assert spec.default_environment.sdk_container_image.endswith("/worker:0.1.0")
    assert not spec.metadata.streaming
    for parameter in spec.metadata.parameters:
        assert parameter.label
        assert parameter.help_text
        assert parameter.param_type != types.ParameterType.DEFAULT
        (regex,) = parameter.regexes
        re.compile(regex)
    broken = {**json.loads(text), "imageName": "x"}
    with pytest.raises(json_format.ParseError):
        types.ContainerSpec.from_json(json.dumps(broken), ignore_unknown_fields=False)


@pytest.mark.parametrize("phase", PHASES)
def test_every_parameter_is_taken_by_launch_and_no_other(phase: str, templates: Path) -> None:
    metadata = json.loads((templates / f"{phase}.json").read_text())["metadata"]
    described = {p["name"]: p for p in metadata["parameters"]}
    given = [f"--{name}={EXAMPLES[name]}" for name in described]
    values, rest = parse(phase, [*given, "--project=p"])
    assert values == {name: EXAMPLES[name] for name in described}
    assert rest == ["--project=p"]
    for name, parameter in described.items():
        assert re.match(parameter["regexes"][0], EXAMPLES[name])
        others = [g for g in given if not g.startswith(f"--{name}=")]
        if parameter["isOptional"]:
            assert name not in parse(phase, others)[0]
        else:
            with pytest.raises(UsageError, match=f"^parameter {name} is missing"):
                parse(phase, others)
    for other in PARAMETERS:
        if other.name not in described:
            assert parse(phase, [*given, f"--{other.name}=x"])[1] == [f"--{other.name}=x"]


EXAMPLES = {
    "output": "gs://bucket/runs/one",
    "inputs": "gs://bucket/a/*.warc.gz, https://data.example/b.warc.gz",
    "inputs_from": "https://data.example/warc.paths.gz",
    "inputs_prefix": "https://data.example/",
    "recipe": "gs://bucket/recipes/mine.yaml",
    "overrides": "language.threshold=0.8; pii.kinds=[email, ip]",
    "limit": "1000",
    "segment_mb": "0.5",
    "annotate": "true",
    "discard": "false",
    "children": "2",
}

WRONG = {
    "output": ["gs://bucket", "gs://bucket/", "gs://bucket/a/", "/local/out", "gs://b/*/x"],
    "inputs": ["/local/a.warc.gz", "ftp://x/a"],
    "inputs_from": ["warc.paths.gz", "-"],
    "inputs_prefix": ["crawl/", "data.example/"],
    "recipe": ["My Recipe", "gs://bucket/recipe.txt"],
    "overrides": ["language.threshold", "=1", "a=1;b"],
    "limit": ["0", "-1", "many"],
    "segment_mb": ["", "-1", "1 MB"],
    "annotate": ["yes", "True"],
    "discard": ["1"],
    "children": ["0"],
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_regexes_turn_wrong_values_down(name: str) -> None:
    (parameter,) = [p for p in of_phase("extract") if p.name == name]
    assert re.match(parameter.regex, EXAMPLES[name])
    for value in WRONG[name]:
        assert not re.match(parameter.regex, value), value


def test_a_launcher_of_no_phase_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("nonsense=r/x@sha256:1", "extract", "extract="):
        command = ["deploy", "dataflow", "--repository=r", "--output=/nowhere"]
        assert run([*command, f"--launcher-image={given}"]) == 2
        assert capsys.readouterr().err.startswith(f"error: --launcher-image {given}: PHASE=REF")
