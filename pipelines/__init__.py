"""Beam: sources, transforms, the phases of a run, and the command line."""
