"""Finds personal data in a text and replaces it with stand-ins keyed by its content."""

from stages.pii.scrubber import Scrubber

__all__ = ["Scrubber"]
