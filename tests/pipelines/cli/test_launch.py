from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.cli.main import run
from tests.builders.jobs import job_tree


@pytest.fixture
def description(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job_tree()))
    return path


def program(folder: Path, name: str, exit_code: int = 0) -> Path:
    """A program that keeps what it was given."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(
        f'#!/bin/bash\necho "{name} $*" > {folder}/call\ncat > {folder}/input\n'
        f"echo submitted\nexit {exit_code}\n"
    )
    path.chmod(0o755)
    return path


def only_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", lambda name: (folder / name).exists() or None)


@pytest.mark.parametrize("target", ["torchrun", "slurm", "trainjob", "jobset"])
def test_a_dry_run_prints_the_file_and_submits_nothing(
    target: str, description: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    only_on_path(tmp_path / "empty", monkeypatch)
    assert run(["launch", str(description), "--target", target, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("#")
    assert printed.err == ""
    folder = tmp_path / "out"
    assert run(["launch", str(description), "-t", target, "--output", str(folder)]) == 0
    (file,) = folder.iterdir()
    assert file.read_text() == printed.out
    assert capsys.readouterr().out.strip() == str(file)


@pytest.mark.parametrize(
    ("target", "name", "call"),
    [
        ("slurm", "sbatch", "sbatch "),
        ("trainjob", "kubectl", "kubectl apply -f -"),
        ("jobset", "kubectl", "kubectl apply -f -"),
    ],
)
def test_the_program_gets_what_a_dry_run_shows(
    target: str,
    name: str,
    call: str,
    description: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "bin"
    program(folder, name)
    only_on_path(folder, monkeypatch)
    assert run(["launch", str(description), "-t", target, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert run(["launch", str(description), "-t", target]) == 0
    assert (folder / "call").read_text().strip() == call.strip()
    assert (folder / "input").read_text() == shown


def test_a_refused_job_is_a_failed_run(
    description: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    program(tmp_path / "bin", "sbatch", exit_code=1)
    only_on_path(tmp_path / "bin", monkeypatch)
    assert run(["launch", str(description), "-t", "slurm"]) == 1
    assert "sbatch ended with exit code 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "name"), [("torchrun", "torchrun"), ("slurm", "sbatch"), ("jobset", "kubectl")]
)
def test_a_missing_program_is_one_line(
    target: str,
    name: str,
    description: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_on_path(tmp_path / "empty", monkeypatch)
    assert run(["launch", str(description), "-t", target]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {name} is not on this machine; render with --output")
    assert errors.count("\n") == 1


def test_torchrun_replaces_the_command(description: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    program(folder, "torchrun", exit_code=3)
    code = (
        "import sys; from pipelines.cli.main import run; "
        "sys.exit(run(['launch', sys.argv[1], '-t', 'torchrun']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, description],
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    assert (folder / "call").read_text().startswith("torchrun --nnodes=2 --nproc-per-node=4")


def test_json_for_machines(
    description: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    command = ["launch", str(description), "-t", "slurm", "--json", "--set", "image=a/b:1"]
    assert run([*command, "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["path"], told["submitted"]) == ("demo.sbatch", None, False)
    assert told["text"].startswith("#!/bin/bash\n#SBATCH")
    assert "pin it by digest" in told["warnings"][0]
    program(tmp_path / "bin", "sbatch")
    only_on_path(tmp_path / "bin", monkeypatch)
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["submitted"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "pbs"], "--target pbs: choose one of torchrun, slurm, trainjob, jobset"),
        (["--target", "slurm", "--set", "nodse=1"], "unknown key nodse; did you mean nodes"),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: list[str], message: str, description: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["launch", str(description), *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_launching_loads_no_torch(description: Path) -> None:
    code = (
        "import sys; from pipelines.cli.main import run; "
        "run(['launch', sys.argv[1], '-t', 'jobset', '--dry-run']); "
        "print('torch' in sys.modules or 'apache_beam' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, description], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "False"
