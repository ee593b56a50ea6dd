"""Instruction data: written by models, filtered, selected."""
