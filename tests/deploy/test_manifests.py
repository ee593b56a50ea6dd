"""deploy/kubernetes/check, built and run: the manifests under the code of those who will read them.

It is Kubernetes' own code: building it takes minutes where Go has not built it before, so that it
is asked for by CORPUSMILL_CHECK_MANIFESTS, which CI sets.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.stand_ins import ROOT

FOLDER = ROOT / "deploy/kubernetes"
GATE = "CORPUSMILL_CHECK_MANIFESTS"
Objects = dict[str, Any]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get(GATE), reason=f"builds Kubernetes' code, for minutes: set {GATE}=1"
    ),
]


def go(*words: str) -> subprocess.CompletedProcess[str]:
    """Go in the checker's folder, with the caches and the proxy that are set up."""
    return subprocess.run(["go", *words], cwd=FOLDER / "check", capture_output=True, text=True)


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    download = go("mod", "download")
    if download.returncode:
        reason = (download.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"the modules of Kubernetes and Kubeflow cannot be had: {reason}")
    program = tmp_path_factory.mktemp("checker") / "manifestcheck"
    built = go("build", "-o", str(program), ".")
    assert built.returncode == 0, built.stderr
    return program


def check(program: Path, files: list[Path]) -> tuple[int, dict[str, str]]:
    """Exit code, and what it says of each file."""
    done = subprocess.run(
        [program, *files], cwd=FOLDER / "check", capture_output=True, text=True, timeout=300
    )
    assert "panic" not in done.stderr, done.stderr
    parts = re.split(r"^(\S+\.yaml): ", done.stdout, flags=re.MULTILINE)[1:]
    return done.returncode, dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_manifest_passes(checker: Path) -> None:
    files = sorted(FOLDER.glob("*.yaml"))
    code, said = check(checker, files)
    assert code == 0, said
    assert set(said) == {path.name for path in files}
    for name, line in said.items():
        assert line.startswith("0 problem(s)")
        for part in ("CRD JobSet", "validate webhook of JobSet", "validation of Job"):
            assert part in line
        if "trainjob" in name:
            assert "validate webhook of TrainJob, expanded by Trainer" in line


def pod(objects: Objects) -> dict[str, Any]:
    holder = objects.get("JobSet") or objects["TrainingRuntime"]["spec"]["template"]
    spec: dict[str, Any] = holder["spec"]["replicatedJobs"][0]["template"]["spec"]
    return spec["template"]["spec"]


def unknown_field(objects: Objects) -> None:
    pod(objects)["restartPolice"] = "Never"


def wrong_type(objects: Objects) -> None:
    objects["JobSet"]["spec"]["failurePolicy"]["maxRestarts"] = "three"


def privileged(objects: Objects) -> None:
    pod(objects)["containers"][0]["securityContext"]["privileged"] = True


def always_restarted(objects: Objects) -> None:
    pod(objects)["restartPolicy"] = "Always"


def expanded_argument(objects: Objects) -> None:
    pod(objects)["containers"][0]["args"].append("a=$(HF_TOKEN)")


def name_too_long(objects: Objects) -> None:
    objects["JobSet"]["metadata"]["name"] = "a" * 60


def no_such_runtime(objects: Objects) -> None:
    objects["TrainJob"]["spec"]["runtimeRef"]["name"] = "another"


def claim_without_name(objects: Objects) -> None:
    for volume in pod(objects)["volumes"]:
        if "persistentVolumeClaim" in volume:
            volume["persistentVolumeClaim"] = {}


def unchanged(objects: Objects) -> None:
    pass


BROKEN: list[tuple[Callable[[Objects], None], str, str]] = [
    (unknown_field, "jobset", "unknown field spec"),
    (unknown_field, "trainjob", "TrainingRuntime: unknown field spec"),
    (wrong_type, "jobset", "maxRestarts"),
    (privileged, "jobset", "restricted Pod Security Standard"),
    (privileged, "trainjob", "restricted Pod Security Standard"),
    (always_restarted, "jobset", "Job: template.spec.restartPolicy"),
    (expanded_argument, "jobset", "the kubelet expands the argument"),
    (name_too_long, "jobset", "webhook of JobSet"),
    (no_such_runtime, "trainjob", "webhook of TrainJob"),
    (claim_without_name, "jobset", "claimName"),
]


def written(folder: Path, change: Callable[[Objects], None], target: str) -> Path:
    text = (FOLDER / f"sft.{target}.yaml").read_text()
    objects = {found["kind"]: found for found in yaml.safe_load_all(text)}
    change(objects)
    path = folder / f"{change.__name__}.{target}.yaml"
    path.write_text(yaml.safe_dump_all(objects.values()))
    return path


def test_what_is_broken_is_found(checker: Path, tmp_path: Path) -> None:
    for change, target, message in BROKEN:
        path = written(tmp_path, change, target)
        code, said = check(checker, [path])
        assert code == 1, path.name
        _, *problems = said[path.name].splitlines()
        assert any(message in problem for problem in problems), (path.name, problems)
    whole = [written(tmp_path, unchanged, target) for target in ("jobset", "trainjob")]
    assert check(checker, whole)[0] == 0, "written the same way, but with nothing broken"
