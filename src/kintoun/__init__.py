"""Kintoun: a JSON store that syncs, speaking Kinto's HTTP protocol."""

__version__ = "0.1.0"
SOURCE = "https://github.com/kintoun/kintoun"
