"""Fixtures of the tests of what is live."""

from tests.support.fixtures import databases, engine

__all__ = ["databases", "engine"]
