"""Named tuples where many are made: the constructor that Python writes for them takes four times as long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound="tuple[Any, ...]")

made: Callable[[type[T], tuple[Any, ...]], T] = tuple.__new__
"""The named tuple of a type that has these values: all of them, in their order."""
