"""The command line: one file per command, and nothing in it but arguments and output."""

from kintoun.cli.group import main

__all__ = ["main"]
