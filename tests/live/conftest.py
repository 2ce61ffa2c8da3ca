"""Fixtures of the tests of what is live."""

from tests.support.fixtures import cheap_hashes, databases, engine

__all__ = ["cheap_hashes", "databases", "engine"]
