"""DESIGN 1: nothing imports upward, and there are no cycles between the packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ALLOWED = {
    "schemas": set(),
    "stages": {"schemas"},
    "pipelines": {"schemas", "stages"},
    "pipelines.cli": {"schemas", "stages", "pipelines", "model", "training"},
    "model": {"schemas"},
    "training": {"schemas", "model", "stages"},
    "deploy": set(),
}
OURS = {"schemas", "stages", "pipelines", "model", "training", "tests", "deploy", "benchmarks"}
FORBIDDEN_LIBRARIES = {
    "stages": {"apache_beam", "torch"},
    "schemas": {"apache_beam", "torch"},
    "training.data": {"torch"},
    "training.chat": {"torch"},
    "training.tokenizers": {"torch"},
}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def package_of(module: str) -> str:
    return max((p for p in ALLOWED if module == p or module.startswith(p + ".")), key=len)


def modules(repository: Path) -> Iterator[tuple[str, Path]]:
    for top in ALLOWED.keys() - {"pipelines.cli"}:
        for path in sorted((repository / top).rglob("*.py")):
            yield ".".join(path.relative_to(repository).with_suffix("").parts), path


def violations(module: str, path: Path) -> list[str]:
    package = package_of(module)
    allowed = ALLOWED[package] | {module.split(".")[0]} - {"deploy"}
    if package == "pipelines":
        allowed.discard("pipelines.cli")
    found = []
    for name in imports_of(path):
        top = name.split(".")[0]
        if top in OURS and top not in allowed and name not in allowed:
            found.append(f"{module} imports {name}")
        if package == "pipelines" and (name + ".").startswith("pipelines.cli."):
            found.append(f"{module} imports {name}, which lies above it")
        for prefix, libraries in FORBIDDEN_LIBRARIES.items():
            if (module + ".").startswith(prefix + ".") and top in libraries:
                found.append(f"{module} imports {name}")
    return found


def test_nothing_imports_upward(repository: Path) -> None:
    found = [v for module, path in modules(repository) for v in violations(module, path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas.x", "import stages.url"),
        ("stages.x", "from pipelines import plan"),
        ("stages.x", "import apache_beam as beam"),
        ("pipelines.x", "from pipelines.cli import main"),
        ("pipelines.x", "import training.pretrain"),
        ("model.x", "import training"),
        ("deploy.dataflow.launch", "from pipelines.dataflow.flex import main"),
        ("deploy.x", "import deploy.y"),
    ],
)
def test_the_check_sees_an_upward_import(tmp_path: Path, module: str, source: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(source)
    assert violations(module, path)


def test_no_catch_all_file_names(repository: Path) -> None:
    banned = {"utils.py", "helpers.py", "misc.py", "common.py"}
    assert not [path for _, path in modules(repository) if path.name in banned]


def test_files_stay_readable(repository: Path) -> None:
    long = {
        str(path.relative_to(repository)): count
        for _, path in modules(repository)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long
