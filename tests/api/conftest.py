from tests.support.fixtures import app, cheap_hashes, databases, engine

__all__ = ["app", "cheap_hashes", "databases", "engine"]
