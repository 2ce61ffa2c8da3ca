"""What a validation by a JSON Schema may cost, before it is run.

References make a short schema stand for an exponentially larger one (each definition refers to the next one
twice), and a recursive one grow with the depth of the value. Whoever may edit a collection may write such a
schema, so the visits of (subschema, value) pairs are counted first. Counting takes time linear in the number
of distinct pairs, whatever the number of visits is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

MAX_REFERENCES = 1000
"""References that a schema may have: compiling a longer chain overflows the stack of the validator."""

MAX_LEVELS = 200
"""Levels of arrays and objects that a schema may have."""

MAX_VISITS = 2_000_000
"""Visits of (subschema, value) pairs that one validation may take."""

_MAX_PAIRS = 200_000

_SAME_VALUE = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf"})
_SAME_VALUE_BY_NAME = frozenset({"dependentSchemas", "dependencies"})
_BY_NAME = _SAME_VALUE_BY_NAME | {"properties", "patternProperties"}
_EACH_ITEM = frozenset({"additionalItems", "contains", "items", "prefixItems", "unevaluatedItems"})
_EACH_CHILD = _EACH_ITEM | {"additionalProperties", "propertyNames", "unevaluatedProperties"}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

_Node = TypeVar("_Node")


class Weight(NamedTuple):
    """How often the nodes of a graph are visited from its root (capped), and whether there are cycles."""

    visits: int
    cyclic: bool


class Document:
    """A schema, its subschemas and what its references point at."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._anchors: dict[str, dict[str, Any]] = {}
        self.references = 0
        for node in _objects(schema):
            for keyword in ("$anchor", "$dynamicAnchor", "$id"):
                if isinstance(node.get(keyword), str):
                    self._anchors[node[keyword].removeprefix("#")] = node
            self.references += sum(isinstance(node.get(keyword), str) for keyword in _REFERENCES)

    def weight(self) -> Weight:
        """How large the schema is with its references followed, recursive ones once."""
        return _weigh(self._root, id, self._subschemas, MAX_VISITS)

    def visits(self, value: Any) -> int:
        """How many visits it takes to validate a value; more than MAX_VISITS when it is too many to count."""
        return _weigh((self._root, value), _pair_key, self._pairs, _MAX_PAIRS).visits

    def _subschemas(self, node: Any) -> Iterator[Any]:
        for keyword, argument in node.items():
            if keyword in _REFERENCES:
                yield from self._target(argument)
            elif keyword in _BY_NAME and isinstance(argument, dict):
                yield from _schemas(argument.values())
            elif keyword in _SAME_VALUE or keyword in _EACH_CHILD:
                yield from _schemas(argument if isinstance(argument, list) else [argument])

    def _pairs(self, pair: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
        node, value = pair
        for keyword, argument in node.items():
            arguments = argument if isinstance(argument, list) else [argument]
            if keyword in _REFERENCES:
                yield from ((schema, value) for schema in self._target(argument))
            elif keyword in _SAME_VALUE:
                yield from ((schema, value) for schema in _schemas(arguments))
            elif keyword in _SAME_VALUE_BY_NAME and isinstance(argument, dict):
                yield from ((schema, value) for schema in _schemas(argument.values()))
            elif keyword == "properties" and isinstance(argument, dict) and isinstance(value, dict):
                for name in argument.keys() & value.keys():
                    yield from ((schema, value[name]) for schema in _schemas([argument[name]]))
            elif keyword == "patternProperties" and isinstance(argument, dict):
                yield from _for_each_child(argument.values(), value)
            elif keyword in _EACH_CHILD:
                yield from _for_each_child(arguments, value)

    def _target(self, reference: Any) -> Iterator[Any]:
        """What a reference points at, when it is an object of this document."""
        if not isinstance(reference, str):
            return
        _, _, fragment = reference.partition("#")
        if fragment.startswith("/") or reference in ("#", ""):
            target = _pointed_at(self._root, unquote(fragment))
        else:
            target = self._anchors.get(fragment or reference)
        yield from _schemas([target])


def _schemas(candidates: Iterable[Any]) -> Iterator[Any]:
    return (candidate for candidate in candidates if isinstance(candidate, dict))


def _for_each_child(schemas: Iterable[Any], value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for schema in _schemas(schemas):
            yield from ((schema, child) for child in value)


def _pair_key(pair: tuple[Any, Any]) -> tuple[int, int]:
    return id(pair[0]), id(pair[1])


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    todo: list[Any] = [schema]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            yield item
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)


def _pointed_at(document: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(token)
        elif isinstance(document, list) and token.isdecimal() and int(token[:9]) < len(document):
            document = document[int(token[:9])]
        else:
            return None
    return document


def _weigh(
    root: _Node,
    key: Callable[[_Node], Hashable],
    successors: Callable[[_Node], Iterable[_Node]],
    max_nodes: int,
) -> Weight:
    """The visits that a walk from the root makes when it enters every node as often as it meets it.

    An edge back to a node that is being walked counts for nothing. Without recursion, since chains are long.
    """
    weights: dict[Hashable, int] = {}
    open_nodes: set[Hashable] = set()
    cyclic = False
    todo: list[tuple[_Node, list[Hashable] | None]] = [(root, None)]
    while todo:
        node, met = todo.pop()
        name = key(node)
        if met is not None:
            open_nodes.discard(name)
            weights[name] = min(1 + sum(weights.get(child, 0) for child in met), MAX_VISITS + 1)
            continue
        if name in weights or name in open_nodes:
            continue
        if len(weights) + len(open_nodes) >= max_nodes:
            return Weight(MAX_VISITS + 1, cyclic)
        open_nodes.add(name)
        children = list(successors(node))
        met = [key(child) for child in children]
        cyclic = cyclic or any(child in open_nodes for child in met)
        todo.append((node, met))
        todo.extend((child, None) for child in children if key(child) not in weights)
    return Weight(weights[key(root)], cyclic)
