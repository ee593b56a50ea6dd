"""Colours: enough contrast in both schemes (WCAG 2.2: 4.5 for text, 3 for graphics)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(repository: Path, scheme: int) -> None:
    sheet = (repository / "pipelines/report/templates/style.css.j2").read_text()
    blocks = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("page", "panel", "quote"):
        for text in ("text", "muted", "link"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for graphic in ("kept", "rejected", "error"):
        assert contrast(colours[graphic], colours["panel"]) >= 3, graphic
