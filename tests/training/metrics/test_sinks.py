"""metrics.jsonl after kills and resumes; TensorBoard's files read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InputError, OutputError
from training.metrics.jsonl import MetricsFile, read_metrics, to_line
from training.metrics.sinks import MetricsLog


def steps_in(path: Path) -> list[int]:
    return [record["step"] for record in read_metrics(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "metrics.jsonl"


def write_steps(path: Path, steps: range, after_step: int = -1) -> None:
    file = MetricsFile(path, after_step)
    for step in steps:
        file.write(step, {"loss": step / 10})
    file.close()


def test_a_line_is_readable_before_the_file_is_closed(path: Path) -> None:
    file = MetricsFile(path)
    file.write(1, {"loss": 2.5, "lr": 1e-3})
    assert json.loads(path.read_text()) == {"step": 1, "loss": 2.5, "lr": 1e-3}
    file.close()


def test_steps_after_the_checkpoint_are_dropped_and_come_once(path: Path) -> None:
    write_steps(path, range(1, 9))
    write_steps(path, range(6, 11), after_step=5)
    assert steps_in(path) == list(range(1, 11))


def test_half_a_line_of_a_killed_run_is_repaired(path: Path) -> None:
    write_steps(path, range(1, 4))
    with open(path, "ab") as handle:
        handle.write(b'{"step": 4, "lo')
    assert steps_in(path) == [1, 2, 3]
    write_steps(path, range(4, 6), after_step=3)
    assert steps_in(path) == [1, 2, 3, 4, 5]


@settings(deadline=None)
@given(kept=st.integers(-1, 12), cut=st.integers(0, 400))
def test_any_kill_and_any_checkpoint_leave_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, kept: int, cut: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    write_steps(path, range(1, 11))
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    whole = data.count(b"\n")
    MetricsFile(path, kept).close()
    assert steps_in(path) == list(range(1, min(whole, kept) + 1))


def test_a_fresh_start_empties_the_file(path: Path) -> None:
    write_steps(path, range(1, 4))
    MetricsFile(path).close()
    assert steps_in(path) == []


def test_a_step_is_not_written_twice(path: Path) -> None:
    file = MetricsFile(path, after_step=3)
    with pytest.raises(ValueError, match="step 3 after"):
        file.write(3, {})
    file.close()


def test_what_is_no_number_is_null_and_named() -> None:
    line = to_line(7, {"loss": float("nan"), "grad_norm": float("inf"), "z": -float("inf"), "a": 1})
    assert b"NaN" not in line
    assert b"Infinity" not in line
    assert json.loads(line) == {
        "step": 7,
        "loss": None,
        "grad_norm": None,
        "z": None,
        "a": 1,
        "non_finite": {"loss": "nan", "grad_norm": "inf", "z": "-inf"},
    }


def test_a_broken_line_is_named(path: Path) -> None:
    write_steps(path, range(1, 3))
    path.write_bytes(path.read_bytes() + b"[]\n")
    with pytest.raises(InputError, match="line 3"):
        steps_in(path)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        MetricsFile(tmp_path / "run" / "metrics.jsonl")


def test_a_full_disk_is_refused(path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    file = MetricsFile.__new__(MetricsFile)
    file._path, file._last = path, -1
    with open(path, "wb", buffering=0) as file._file, pytest.raises(OutputError, match="written"):
        file.write(1, {"loss": 1.0})


def test_tensorboard_holds_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = MetricsLog.open(tmp_path)
    for step in (1, 2, 3):
        first.write(step, {"loss": 1.0 / step, "note": "text", "skipped": True})
    first.close()
    second = MetricsLog.open(tmp_path, after_step=2)
    second.write(3, {"loss": 5.0})
    second.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 5.0)]
    assert steps_in(tmp_path / "metrics.jsonl") == [1, 2, 3]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    log = MetricsLog([])
    log.write(1, {"loss": 1.0})
    log.close()
    assert list(tmp_path.iterdir()) == []
