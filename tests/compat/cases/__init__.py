"""The scripted scenarios, one module per feature; each module holds a list called SCENARIOS."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

from tests.compat.scenario import Scenario


def all_scenarios() -> list[Scenario]:
    """Every scenario of every feature, ordered so that those of one profile follow each other."""
    found: list[Scenario] = []
    for module in pkgutil.iter_modules(__path__):
        table = importlib.import_module(f"{__name__}.{module.name}").SCENARIOS
        found += [replace(item, feature=module.name) for item in table]
    return sorted(found, key=lambda item: (item.profile != "default", item.profile))
