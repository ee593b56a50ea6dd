"""Help says what it means to say: no example or text is eaten as markup."""

from __future__ import annotations

import pytest

from pipelines.cli.main import run


def test_brackets_in_examples_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["curate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--set pii.kinds='[email, ip]'" in shown


@pytest.mark.parametrize("command", ["curate", "decide", "demo"])
def test_shared_options_are_told_the_same_way(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Print run.json when done." in shown
