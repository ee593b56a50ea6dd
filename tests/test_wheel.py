"""The wheel carries everything: it runs from a folder whose own folders have our names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest


@pytest.mark.slow
def test_wheel_runs_beside_folders_of_the_same_names(repository: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", "out", "demo-out")
    shutil.copytree(repository, source, ignore=ignore)
    wheels = tmp_path / "wheels"
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, source],
        check=True,
        capture_output=True,
    )
    (wheel,) = wheels.glob("corpusmill-*.whl")

    # The dependencies come from the running environment: only our own files are under test.
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    purelib = next(environment.glob("lib/python*/site-packages"))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"),
            *("--prefix", environment, "--ignore-installed", wheel),
        ],
        check=True,
        capture_output=True,
    )
    dependencies = Path(pytest.__file__).parents[1]
    (purelib / "dependencies.pth").write_text(f"{dependencies}\n")

    elsewhere = tmp_path / "elsewhere"
    for name in ("model", "training", "schemas", "stages", "pipelines"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "__init__.py").write_text("raise ImportError('the wrong package')\n")
    command = environment / "bin" / "corpusmill"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [command, *arguments], cwd=elsewhere, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "curate" in run("--help")
    listed = run("recipes", "list")
    assert all(name in listed for name in ("fineweb", "gopher", "c4"))
    where = "import pipelines.demo as d\nwith d.sample_path() as p: print(p, p.stat().st_size > 0)"
    located = subprocess.run(
        [environment / "bin" / "python", "-P", "-c", where],
        cwd=elsewhere,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(purelib) in located
    assert located.strip().endswith("True")
