"""The command line: one program, one file a command. The top floor: it may import everything."""

from pipelines.cli.main import main

__all__ = ["main"]
