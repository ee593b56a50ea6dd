"""The workflow file: its structure, its names, and the order of the driver.

Google publishes no validator that runs offline. What is checked is the documented syntax: kinds of
steps and their keys, jumps, calls, names in expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.dataflow.parameters import of_phase
from pipelines.phase_names import DEDUP, EXTRACT, PHASES
from pipelines.phases.dedup import MAX_ROUNDS

STEP_KEYS = {
    "assign": {"assign", "next"},
    "call": {"call", "args", "result", "next"},
    "switch": {"switch", "next"},
    "for": {"for", "next"},
    "try": {"try", "retry", "except", "next"},
    "raise": {"raise"},
    "return": {"return"},
    "steps": {"steps", "next"},
}
"""cloud.google.com/workflows/docs/reference/syntax: what each kind of step may hold."""
HTTP = {"http.get": {"url", "auth"}, "http.post": {"url", "auth", "body"}, "sys.sleep": {"seconds"}}
FUNCTIONS = {"default", "int", "len", "map", "not", "string", "sys", "text", "http"}
WORDS = {"in", "and", "or", "true", "false", "null", "end"}
_EXPRESSION = re.compile(r"\$\{(.*)\}", re.DOTALL)
_STRING = re.compile(r'"[^"]*"')
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


@pytest.fixture(scope="module")
def workflows() -> dict[str, Any]:
    path = Path(__file__).parents[3] / "deploy" / "dataflow" / "workflow.yaml"
    parsed: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return parsed


def steps_of(block: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step with its name, nested ones too."""
    for entry in block:
        ((name, step),) = entry.items()
        yield name, step
        for inner in nested(step):
            yield from steps_of(inner)


def nested(step: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    for holder in (step, step.get("for"), step.get("try"), step.get("except")):
        if isinstance(holder, dict) and isinstance(holder.get("steps"), list):
            yield holder["steps"]
    for case in step.get("switch", []):
        if "steps" in case:
            yield case["steps"]


def names_of(block: list[dict[str, Any]]) -> list[str]:
    return [name for entry in block for name in entry]


def test_steps_have_the_documented_shape(workflows: dict[str, Any]) -> None:
    assert set(workflows) == {"main", "run_phase", "run_dedup"}
    for workflow in workflows.values():
        assert set(workflow) == {"params", "steps"}
        every = list(steps_of(workflow["steps"]))
        assert len({name for name, _ in every}) == len(every), "names are unique in a workflow"
        for name, step in every:
            kinds = [kind for kind in STEP_KEYS if kind in step]
            assert len(kinds) == 1, name
            assert set(step) <= STEP_KEYS[kinds[0]], name


def test_jumps_lead_to_steps_of_the_same_block(workflows: dict[str, Any]) -> None:
    def check(block: list[dict[str, Any]]) -> None:
        for entry in block:
            for step in entry.values():
                targets = [step.get("next")] + [case.get("next") for case in step.get("switch", [])]
                for target in filter(None, targets):
                    assert target in {*names_of(block), "end"}, target
                for inner in nested(step):
                    check(inner)

    for workflow in workflows.values():
        check(workflow["steps"])


def calls(block: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for _, step in steps_of(block):
        for holder in (step, step.get("try")):
            if isinstance(holder, dict) and "call" in holder:
                yield holder


def test_calls_have_the_arguments_that_they_need(workflows: dict[str, Any]) -> None:
    for workflow in workflows.values():
        for call in calls(workflow["steps"]):
            if call["call"] in HTTP:
                assert set(call["args"]) == HTTP[call["call"]]
                assert call["args"].get("auth", {"type": "OAuth2"}) == {"type": "OAuth2"}
            else:
                assert set(call["args"]) == set(workflows[call["call"]]["params"])


def expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)
    elif isinstance(value, str) and "${" in value:
        found = _EXPRESSION.fullmatch(value)
        assert found is not None, f"not whole: {value}"
        yield found[1]


def variables(workflow: dict[str, Any]) -> set[str]:
    known = set(workflow["params"])
    for _, step in steps_of(workflow["steps"]):
        known |= {re.split(r"[.\[]", name)[0] for a in step.get("assign", []) for name in a}
        for holder in (step, step.get("try"), step.get("for"), step.get("except")):
            if isinstance(holder, dict):
                known |= {holder[k] for k in ("result", "value", "as") if k in holder}
    return known


def test_names_in_expressions_are_known(workflows: dict[str, Any]) -> None:
    for name, workflow in workflows.items():
        known = variables(workflow) | FUNCTIONS | WORDS
        for expression in expressions(workflow):
            bare = _STRING.sub("", expression)
            assert bare.count("(") == bare.count(")"), expression
            assert '"' not in bare, expression
            for used in _NAME.findall(bare):
                assert used in known, f"{name}: {used} in {expression}"


def launched(workflows: dict[str, Any]) -> list[str]:
    """The phases in the order in which main launches them."""
    order: list[str] = []
    for entry in workflows["main"]["steps"]:
        for step in entry.values():
            loop = step.get("for", {})
            called = [inner.get("call") for _, inner in steps_of(loop.get("steps", []))]
            if step.get("call") == "run_dedup":
                order.append(DEDUP)
            elif step.get("call") == "run_phase":
                order.append(step["args"]["phase"])
            elif "run_phase" in called:
                order += loop["in"]
    return order


def test_the_order_is_the_drivers(workflows: dict[str, Any]) -> None:
    assert launched(workflows) == list(PHASES)


def assigned(workflows: dict[str, Any], variable: str) -> set[str]:
    """Keys of a map that main puts parameters into."""
    keys: set[str] = set()
    for _, step in steps_of(workflows["main"]["steps"]):
        for one in step.get("assign", []):
            ((name, value),) = one.items()
            if name == variable:
                keys |= set(value)
            elif name.startswith(f"{variable}."):
                keys.add(name.partition(".")[2])
            elif name == f"{variable}[name]":
                loops = [s["for"] for _, s in steps_of(workflows["main"]["steps"]) if "for" in s]
                (loop,) = [loop for loop in loops if loop["value"] == "name"]
                keys |= set(loop["in"])
    return keys


def test_parameters_are_those_of_the_templates(workflows: dict[str, Any]) -> None:
    # An annotated run has other phases: it is launched by hand.
    extract = {p.name for p in of_phase(EXTRACT)} - {"annotate"}
    assert assigned(workflows, "begin") == extract
    for phase in PHASES[1:]:
        assert assigned(workflows, "parameters") == {p.name for p in of_phase(phase)}


def test_the_launch_is_what_the_api_takes(workflows: dict[str, Any]) -> None:
    types = pytest.importorskip("google.cloud.dataflow_v1beta3.types")
    import json

    (post,) = [c for c in calls(workflows["run_phase"]["steps"]) if c["call"] == "http.post"]
    body = post["args"]["body"]
    launch = {**body["launchParameter"], "environment": {}, "parameters": {"output": "x"}}
    parsed = types.LaunchFlexTemplateRequest.from_json(
        json.dumps({"launchParameter": launch}), ignore_unknown_fields=False
    )
    assert parsed.launch_parameter.container_spec_gcs_path
    assert set(body) == {"launchParameter"}


def test_states_that_end_a_job_end_the_wait(workflows: dict[str, Any]) -> None:
    pytest.importorskip("google.cloud.dataflow")
    from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult
    from apache_beam.runners.runner import PipelineState
    from google.cloud.dataflow import JobState

    text = str(workflows["run_phase"])
    over = DataflowPipelineResult.api_jobstate_to_pipeline_state
    for state in JobState:
        if PipelineState.is_terminal(over(state)):
            assert f'"{state.name}"' in text, state.name


def test_dedup_is_launched_often_enough(workflows: dict[str, Any]) -> None:
    (limit,) = re.findall(r"attempt >= (\d+)", str(workflows["run_dedup"]))
    assert int(limit) >= MAX_ROUNDS + 2
    assert ".work/dedup.done.json" in str(workflows["run_dedup"])
