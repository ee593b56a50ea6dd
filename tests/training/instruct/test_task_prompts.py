"""How answers of models are read, in the forms that models give them."""

from __future__ import annotations

import pytest

from training.instruct.methods.evolution_prompts import copies_the_prompt, evolve, says_nothing
from training.instruct.methods.task_prompts import Instance, read_instances, read_kind, read_tasks


def test_numbered_tasks_over_several_lines() -> None:
    answer = "Sure!\n9. Name a\n   river.\n10) Say hello\nTask 11: Count\n\n12. "
    assert read_tasks(answer, cut=False) == ["Name a river.", "Say hello", "Count"]
    assert read_tasks(answer.removesuffix("\n\n12. "), cut=True) == ["Name a river.", "Say hello"]
    assert read_tasks("I cannot.", cut=False) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("Yes", True), (" no.", False), ("**Yes**, it is", True), ("Maybe yes", None), ("", None)],
)
def test_yes_and_no(answer: str, kind: bool | None) -> None:
    assert read_kind(answer) is kind


def test_instances_input_first() -> None:
    answer = "Example 1:\nInput: 2 + 2\nOutput: 4\n\nExample 2\ninput: None\noutput: a\nb"
    assert read_instances(answer, False) == [Instance("2 + 2", "4"), Instance("", "a\nb")]
    assert read_instances("Output: The Elbe", False) == [Instance("", "The Elbe")]
    assert read_instances("The Elbe", False) == []


def test_instances_label_first() -> None:
    answer = "Class label: good\nInput: I liked it\nLabel: bad\nInput: I did not"
    assert read_instances(answer, True) == [
        Instance("I liked it", "good"),
        Instance("I did not", "bad"),
    ]


def test_braces_in_a_task_stay_as_they_are() -> None:
    assert "print({x})" in evolve("deepen", "Explain print({x}) and {how}")


def test_elimination_words() -> None:
    assert copies_the_prompt("Here is the Rewritten Task: run") == "Rewritten Task"
    assert copies_the_prompt("Name a river") is None
    assert says_nothing("... and the of it!")
    assert not says_nothing("42")
