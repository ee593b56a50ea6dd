"""The trainer's Dockerfile, read by a parser: what it copies exists, and it gives nothing away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from training.launch.pods import USER_ID

REPOSITORY = Path(__file__).resolve().parents[3]
DOCKERFILE = REPOSITORY / "deploy/images/trainer.Dockerfile"


@pytest.fixture(scope="module")
def instructions() -> list[dict[str, Any]]:
    with DOCKERFILE.open("rb") as file:
        parsed = DockerfileParser(fileobj=file).structure
    return [entry for entry in parsed if entry["instruction"] != "COMMENT"]


def values(instructions: list[dict[str, Any]], name: str) -> list[str]:
    return [entry["value"] for entry in instructions if entry["instruction"] == name]


def test_the_base_must_be_named(instructions: list[dict[str, Any]]) -> None:
    assert values(instructions, "ARG")[0] == "BASE", "without a default: a digest is not invented"
    assert values(instructions, "FROM") == ["${BASE} AS build", "${BASE}"]
    assert not re.search(r"sha256:[0-9a-f]", DOCKERFILE.read_text())


def test_it_runs_as_the_user_of_the_manifests(instructions: list[dict[str, Any]]) -> None:
    assert values(instructions, "USER")[-1] == f"{USER_ID}:{USER_ID}"
    added = " ".join(values(instructions, "RUN"))
    assert f"--uid {USER_ID}" in added
    assert f"--gid {USER_ID}" in added


def test_signals_reach_the_program(instructions: list[dict[str, Any]]) -> None:
    assert values(instructions, "ENTRYPOINT") == ['["/usr/bin/tini", "--"]']
    assert values(instructions, "CMD") == ['["corpusmill", "--help"]']


def test_what_is_copied_exists_and_is_not_ignored(instructions: list[dict[str, Any]]) -> None:
    allowed = {
        line.removeprefix("!").strip("/")
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [
        source
        for value in values(instructions, "COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists()
        assert source.partition("/")[0] in allowed
    assert "*" in (REPOSITORY / ".dockerignore").read_text().splitlines()


def test_all_packages_are_copied(instructions: list[dict[str, Any]]) -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    copied = " ".join(values(instructions, "COPY")).split()
    assert packages - {"tests", "benchmarks"} <= set(copied)


def test_it_holds_no_secret(instructions: list[dict[str, Any]]) -> None:
    for name in ("ARG", "ENV"):
        for value in values(instructions, name):
            assert not re.search(r"TOKEN|SECRET|PASSWORD|_KEY", value)


def test_labels_say_what_it_is(instructions: list[dict[str, Any]]) -> None:
    (labels,) = values(instructions, "LABEL")
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels
