"""Typed records and files that every other package agrees on; imports nothing of ours."""
