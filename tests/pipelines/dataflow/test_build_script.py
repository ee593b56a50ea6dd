"""The script that builds and pushes, with programs in the place of docker and gcloud."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.phase_names import PHASES

REPOSITORY = "europe-west1-docker.pkg.dev/p/corpusmill"
LAUNCHER = "gcr.io/dataflow-templates-base/python311-template-launcher-base@sha256:1"
# Each writes down how it was called. A pushed image has a digest in another repository, too.
_PROGRAMS = {
    "docker": """
echo "docker $*" >> "$STATE/calls"
if [[ $1 == inspect && ! -e $STATE/silent ]]; then
  name=${4%:*}
  printf 'elsewhere/%s@sha256:0\\n%s@sha256:%s\\n' "${name##*/}" "$name" \\
    "$(printf %s "$name" | sha256sum | cut -d ' ' -f 1)"
fi
""",
    "gcloud": """
echo "gcloud $1 $2 ${*: -1}" >> "$STATE/calls"
for file in "${@:3:$#-3}"; do cp "$file" "$STATE"; done
""",
    "corpusmill": """
exec "$PYTHON" -c 'import sys; from pipelines.cli.main import run; sys.exit(run(sys.argv[1:]))' "$@"
""",
}


def digest(name: str) -> str:
    full = f"{REPOSITORY}/{name}"
    return f"{full}@sha256:{hashlib.sha256(full.encode()).hexdigest()}"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for name, body in _PROGRAMS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\nset -eu\n{body}")
        path.chmod(0o755)
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def build(state: Path, repository: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{state.parent / 'bin'}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(repository),
        "STATE": str(state),
        "REPOSITORY": REPOSITORY,
        "TAG": "0.1.0",
        "TEMPLATES": "gs://bucket/templates",
        **variables,
    }
    script = repository / "deploy" / "dataflow" / "build.sh"
    return subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, check=False
    )


def calls(state: Path) -> list[str]:
    path = state / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_templates_and_launchers_name_what_was_pushed(state: Path, repository: Path) -> None:
    done = build(state, repository, LAUNCHER_IMAGE=LAUNCHER, BEAM_IMAGE="beam@sha256:2")
    assert done.returncode == 0, done.stderr
    worker = digest("worker")
    builds = [call for call in calls(state) if call.startswith("docker build")]
    assert builds == [
        "docker build --platform linux/amd64 --file deploy/images/worker.Dockerfile "
        f"--build-arg BEAM_IMAGE=beam@sha256:2 --tag {REPOSITORY}/worker:0.1.0 .",
        *(
            "docker build --platform linux/amd64 --file deploy/images/launcher.Dockerfile "
            f"--build-arg LAUNCHER_IMAGE={LAUNCHER} --build-arg WORKER_IMAGE={worker} "
            f"--build-arg PHASE={phase} --tag {REPOSITORY}/launcher-{phase}:0.1.0 ."
            for phase in PHASES
        ),
    ]
    pushed = [call.split()[-1] for call in calls(state) if call.startswith("docker push")]
    assert pushed == [call.split()[-2] for call in builds]
    assert calls(state)[-1] == "gcloud storage cp gs://bucket/templates/"
    for phase in PHASES:
        template = json.loads((state / f"{phase}.json").read_text())
        assert template["image"] == digest(f"launcher-{phase}")
        assert template["defaultEnvironment"]["sdkContainerImage"] == worker


def test_the_launcher_of_google_must_be_named(state: Path, repository: Path) -> None:
    done = build(state, repository, LAUNCHER_IMAGE="")
    assert done.returncode != 0
    assert "LAUNCHER_IMAGE: the launcher of Google, by digest" in done.stderr
    assert not calls(state)


def test_a_push_without_a_digest_ends_it(state: Path, repository: Path) -> None:
    (state / "silent").touch()
    done = build(state, repository, LAUNCHER_IMAGE=LAUNCHER)
    assert done.returncode == 1
    assert "error: docker knows no digest of" in done.stderr
    assert len(calls(state)) == 3
