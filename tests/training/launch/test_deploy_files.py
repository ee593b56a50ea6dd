"""The files in deploy/ are what the command renders now."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.launch import TARGETS, read_launch

REPOSITORY = Path(__file__).resolve().parents[3]
DESCRIPTIONS = sorted(REPOSITORY.glob("deploy/jobs/*.yaml"))
FOLDERS = {
    "torchrun": "torchrun",
    "slurm": "slurm",
    "trainjob": "kubernetes",
    "jobset": "kubernetes",
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.stem)
def test_the_rendered_file_is_up_to_date(path: Path, target: str) -> None:
    rendered = TARGETS[target].render(read_launch(path))
    file = REPOSITORY / "deploy" / FOLDERS[target] / rendered.file_name
    command = f"corpusmill launch {path.relative_to(REPOSITORY)} --target {target} --output ..."
    assert file.read_text() == rendered.text, f"render it again: {command}"
    assert bool(file.stat().st_mode & 0o111) == rendered.executable


def test_no_rendered_file_is_left_over() -> None:
    expected = {
        Path(FOLDERS[name], target.render(read_launch(path)).file_name)
        for path in DESCRIPTIONS
        for name, target in TARGETS.items()
    }
    files = {
        path.relative_to(REPOSITORY / "deploy")
        for folder in set(FOLDERS.values())
        for path in (REPOSITORY / "deploy" / folder).iterdir()
        if path.is_file()
    }
    assert files == expected
