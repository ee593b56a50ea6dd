"""Names of the phases of a run, in the order of the driver. Imports nothing: help is quick."""

from __future__ import annotations

EXTRACT, DEDUP, FINISH, TOKENIZER = "extract", "dedup", "finish", "tokenizer"
TOKENIZE, PACK, SUMMARIZE, REPORT = "tokenize", "pack", "summarize", "report"
PHASES = (EXTRACT, DEDUP, FINISH, TOKENIZER, TOKENIZE, PACK, SUMMARIZE, REPORT)
"""In the order of the driver; each of them can be begun alone once those before it are done."""
