"""How answers of models are read, in the forms that models give them."""

from __future__ import annotations

import pytest

from training.instruct.methods.evolution_prompts import (
    copies_the_prompt,
    evolve,
    same,
    says_nothing,
)
from training.instruct.methods.task_prompts import Instance, read_instances, read_kind, read_tasks
from training.instruct.methods.thoughts import without_thoughts


def test_numbered_tasks_over_several_lines() -> None:
    answer = "Sure!\n9. Name a\n   river.\n10) Say hello\nTask 11: Count\n\n12. "
    assert read_tasks(answer, cut=False) == ["Name a river.", "Say hello", "Count"]
    assert read_tasks(answer.removesuffix("\n\n12. "), cut=True) == ["Name a river.", "Say hello"]
    assert read_tasks("I cannot.", cut=False) == []


def test_numbers_in_bold() -> None:
    answer = "**9.** Name a river.\n**10**. Say **hi** now\n**Task 11:** Count\n**12. Add these**"
    assert read_tasks(answer, cut=False) == [
        *("Name a river.", "Say **hi** now", "Count", "Add these"),
    ]
    assert read_tasks("**9. Rivers:** name **one**", cut=False) == ["Rivers: name **one**"]
    assert read_tasks("9. **Name** a river", cut=False) == ["**Name** a river"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Yes", True),
        (" no.", False),
        ("Yes.", True),
        ("**Yes**, it is", True),
        ("Answer: Yes", True),
        ("**Answer:** No.", False),
        ("The answer is yes", True),
        ("Maybe yes", None),
        ("Answer: maybe", None),
        ("Answer:", None),
        ("", None),
    ],
)
def test_yes_and_no(answer: str, kind: bool | None) -> None:
    assert read_kind(answer) is kind


def test_instances_input_first() -> None:
    answer = "Example 1:\nInput: 2 + 2\nOutput: 4\n\nExample 2\ninput: None\noutput: a\nb"
    assert read_instances(answer, False) == [Instance("2 + 2", "4"), Instance("", "a\nb")]
    assert read_instances("Output: The Elbe", False) == [Instance("", "The Elbe")]
    assert read_instances("The Elbe", False) == []


@pytest.mark.parametrize(
    "answer",
    [
        "**Input:** 2 + 2\n**Output:** 4\n\n---\n\n**Input:** 3\n**Output:** 9",
        "**Example 1:**\n\n**Input**: 2 + 2\n**Output**: 4\n\n---\n**Example 2:**\n\n"
        "**Input**:\n3\n\n**Output**:\n9",
        "### Example 1\n#### Input: 2 + 2\n#### Output: 4\n### Example 2\n__Input:__ 3\n"
        "*Output:* 9",
    ],
)
def test_instances_in_markdown(answer: str) -> None:
    assert read_instances(answer, False) == [Instance("2 + 2", "4"), Instance("3", "9")]


def test_bold_words_of_an_instance_stay() -> None:
    answer = "Input: **a** b\nOutput: **c**\n---\nd"
    assert read_instances(answer, False) == [Instance("**a** b", "**c**\n---\nd")]


def test_only_words_for_nothing_are_no_input() -> None:
    for said in ("None", "None.", "", "<noinput>", "(no input)", "N/A"):
        assert read_instances(f"Input: {said}\nOutput: x", False) == [Instance("", "x")]
    for said in ("++", "\U0001f600", "None of these"):
        assert read_instances(f"Input: {said}\nOutput: x", False) == [Instance(said, "x")]


def test_of_a_cut_answer_whole_pairs_stay() -> None:
    pairs = "Input: 1\nOutput: a\n\nInput: 2\nOutput: b"
    first, both = [Instance("1", "a")], [Instance("1", "a"), Instance("2", "b")]
    assert read_instances(pairs, False) == both
    assert read_instances(pairs, False, cut=True) == first
    assert read_instances(f"{pairs}\n\nInput: 3", False, cut=True) == both
    assert read_instances(f"{pairs}\n\nInput: 3\nOutput: c", False, cut=True) == both
    labels = "Label: good\nInput: I liked it\nLabel: b"
    assert read_instances(labels, True, cut=True) == [Instance("I liked it", "good")]
    assert read_instances("I cannot", False, cut=True) == []


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("<think>\n1. no\n</think>\n\n9. Name a river", "9. Name a river"),
        ("1. no</think>Yes", "Yes"),
        ("<think>it goes on", ""),
        ("9. Explain what <think> means", "9. Explain what <think> means"),
        ("Write <think>a</think> thus", "Write <think>a</think> thus"),
    ],
)
def test_thoughts_are_dropped(answer: str, left: str) -> None:
    assert without_thoughts(answer) == left


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
    assert copies_the_prompt("Solve a harder version of it") == "harder version"
    assert copies_the_prompt("Name a river") is None
    assert copies_the_prompt("The new task asks for more") == "The new task"
    assert copies_the_prompt("New task: name a river") == "New task:"
    assert copies_the_prompt("Add a new task to a to-do list") is None
    assert same("{after} a", "{before} b").count("{before} b") == 1
    assert copies_the_prompt("List what the new version of Python brings") is None
    assert says_nothing("... and the of it!")
    assert not says_nothing("42")
