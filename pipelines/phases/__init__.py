"""The phases of a run, in order: extract, dedup, finish, tokenize, pack, summarize, report."""
