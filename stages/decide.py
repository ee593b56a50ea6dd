"""A recipe's quality steps on one text: rules over signals, and edits between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from pydantic import ValidationError

from schemas.errors import UsageError
from schemas.recipe import Edit, Rule
from schemas.verdict import Rejection
from stages.lines import EDITS
from stages.signals import FAMILIES, SIGNALS, compute, family_of
from stages.words import TextView

STAGE = "quality"


class Judgement(NamedTuple):
    """What the quality steps made of a text."""

    text: str
    """After the edits that ran: all of a kept or annotated text, else those before the rule."""
    signals: dict[str, float]
    """By full name; of the families that were needed, or of all when annotating."""
    rejection: Rejection | None
    """The first broken rule; None: kept."""
    n_words: int
    """Words with a letter or digit in `text`; 0 where a rule ended the run early."""


def broken_bound(rule: Rule, value: float) -> float | None:
    """The bound of a rule that a value breaks, or None: `min` and `max` are allowed values
    themselves, `above` and `below` are not."""
    if rule.min is not None and value < rule.min:
        return rule.min
    if rule.max is not None and value > rule.max:
        return rule.max
    if rule.above is not None and value <= rule.above:
        return rule.above
    if rule.below is not None and value >= rule.below:
        return rule.below
    return None


def check_rule(rule: Rule, value: float, language: str) -> Rejection | None:
    """The rejection of a signal's value by a rule, or None where it passes or does not apply."""
    if rule.languages is not None and language not in rule.languages:
        return None
    threshold = broken_bound(rule, value)
    if threshold is None:
        return None
    return Rejection(STAGE, rule.rule, value, threshold, rule.version)


def _edited(text: str, edit: Edit) -> str:
    kind = EDITS[edit.edit]
    return kind.apply(text, kind.options.model_validate(edit.options))


def measured_after(steps: Sequence[Rule | Edit]) -> dict[str, tuple[str, ...]]:
    """Family -> the edits, in order and with all options, after which `judge` with `annotate`
    measures it. Steps must have passed `validate`."""
    after: dict[str, tuple[str, ...]] = {}
    edits: tuple[str, ...] = ()
    for step in steps:
        if isinstance(step, Edit):
            options = EDITS[step.edit].options.model_validate(step.options)
            edits += (f"{step.edit} {options.model_dump_json()}",)
        else:
            after.setdefault(family_of(step.signal), edits)
    return {family: after.get(family, edits) for family in FAMILIES}


def reusable(annotated: Sequence[Rule | Edit], steps: Sequence[Rule | Edit]) -> frozenset[str]:
    """The families whose signals from an annotated run hold for other steps too: those measured
    after the same edits."""
    before, now = measured_after(annotated), measured_after(steps)
    return frozenset(family for family in FAMILIES if before[family] == now[family])


def judge(
    text: str,
    steps: Sequence[Rule | Edit],
    language: str,
    *,
    annotate: bool = False,
    known: Mapping[str, Mapping[str, float]] | None = None,
) -> Judgement:
    """Run the quality steps in order on a text in `language` (a label of the language model).

    A family of signals is computed when the first rule that applies needs it, from the text as
    it then is. Without `annotate` the first broken rule ends the run. With it every step runs,
    the families that no rule named are computed from the final text, and the first broken rule
    is still the verdict. Families in `known` (family -> signals by full name) are taken from
    there. Steps must have passed `validate`. Raises ArithmeticError when a signal is not finite.
    """
    known = known or {}
    view = TextView(text)
    signals: dict[str, float] = {}
    done: set[str] = set()
    rejection: Rejection | None = None
    for step in steps:
        if isinstance(step, Edit):
            view = TextView(_edited(view.text, step), view)
            continue
        applies = step.languages is None or language in step.languages
        if not (applies or annotate):
            continue
        family = family_of(step.signal)
        if family not in done:
            signals.update(known.get(family) or compute(view, (family,)))
            done.add(family)
        if rejection is None:
            rejection = check_rule(step, signals[step.signal], language)
            if rejection is not None and not annotate:
                return Judgement(view.text, signals, rejection, 0)
    if annotate:
        signals.update(compute(view, (name for name in FAMILIES if name not in done)))
    return Judgement(view.text, signals, rejection, view.n_words)


def unknown(kind: str, name: str, allowed: Collection[str], place: str) -> UsageError:
    """The error for a name that is not allowed at a place, with the closest one that is."""
    close = get_close_matches(name, allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return UsageError(f"{place}: unknown {kind} {name!r}; {hint}allowed: {', '.join(allowed)}")


def _validate_rule(rule: Rule, place: str) -> None:
    if rule.signal not in SIGNALS:
        family = family_of(rule.signal)
        siblings = [name for name in SIGNALS if family_of(name) == family]
        raise unknown("signal", rule.signal, siblings or SIGNALS, f"{place}.signal")
    # The strictest bounds on each side; two sides that touch leave room only when both include.
    lows = [b for b in (rule.min, rule.above) if b is not None]
    highs = [b for b in (rule.max, rule.below) if b is not None]
    if lows and highs:
        low, high = max(lows), min(highs)
        if low > high or (low == high and broken_bound(rule, low) is not None):
            raise UsageError(f"{place}: no value is both at least {low} and at most {high}")


def _validate_edit(edit: Edit, place: str) -> None:
    if edit.edit not in EDITS:
        raise unknown("edit", edit.edit, EDITS, f"{place}.edit")
    model = EDITS[edit.edit].options
    for name in edit.options:
        if name not in model.model_fields:
            raise unknown("option", name, model.model_fields, f"{place}.options")
    try:
        model.model_validate(edit.options)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{place}.options.{'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None


def validate(steps: Sequence[Rule | Edit]) -> None:
    """Check every name in the quality steps before work starts.

    Signals, edits and options must exist, bounds must leave room, names of rules must be unique,
    and the rules over one family must all stand on the same side of every edit, since a family
    is measured once. Raises UsageError naming the key and what is allowed.
    """
    names: set[str] = set()
    measured: dict[str, int] = {}
    edits = 0
    for index, step in enumerate(steps):
        if isinstance(step, Edit):
            _validate_edit(step, f"quality[{index}] (edit {step.edit})")
            edits += 1
            continue
        place = f"quality[{index}] (rule {step.rule})"
        _validate_rule(step, place)
        if step.rule in names:
            raise UsageError(f"{place}: a rule of this name comes before; names must be unique")
        names.add(step.rule)
        family = family_of(step.signal)
        if measured.setdefault(family, edits) != edits:
            raise UsageError(
                f"{place}: signals of {family} are used before and after an edit; "
                "move its rules to one side"
            )
