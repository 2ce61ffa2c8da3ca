from tests.support.fixtures import app, databases, engine

__all__ = ["app", "databases", "engine"]
