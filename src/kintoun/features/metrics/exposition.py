"""The text format of Prometheus."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate

from kintoun.measures import Measure, Series

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(
    families: Iterable[tuple[Measure, list[Series]]], prefix: str, hidden: Collection[str]
) -> bytes:
    """The measures, but for those that are hidden, under names that begin with `prefix`."""
    lines: list[str] = []
    for measure, series in families:
        if measure.name in hidden or measure.name.removesuffix("_total") in hidden:
            continue
        name = prefix + measure.name
        lines.append(f"# HELP {name} {measure.description}")
        lines.append(f"# TYPE {name} {measure.kind}")
        for each in series:
            lines.extend(_samples(measure, name, each))
    return "".join(f"{line}\n" for line in lines).encode()


def _samples(measure: Measure, name: str, series: Series) -> Iterator[str]:
    labels = [
        f'{key}="{value.translate(_ESCAPED)}"'
        for key, value in zip(measure.label_names, series.labels, strict=True)
    ]
    numbers = series.numbers
    if measure.kind in ("counter", "gauge"):
        yield f"{name}{_braced(labels)} {_text(numbers[0])}"
        return
    *counts, total = numbers
    if measure.kind == "histogram":
        bounds = [*map(_text, measure.bounds), "+Inf"]
        for bound, count in zip(bounds, accumulate(counts), strict=True):
            within = _braced([*labels, f'le="{bound}"'])
            yield f"{name}_bucket{within} {_text(count)}"
    yield f"{name}_count{_braced(labels)} {_text(sum(counts))}"
    yield f"{name}_sum{_braced(labels)} {_text(total)}"


def _braced(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _text(number: float) -> str:
    return repr(float(number))
