"""Sends scenarios to servers and judges the pairs of answers."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.compat.compare import Comparison, Exchange, Mismatch
from tests.compat.differences import explanation
from tests.compat.fleet import PROFILES, Fleet
from tests.compat.scenario import Memory, Scenario, Step
from tests.compat.wire import Answer, Request

FLUSH = Request("POST", "/v1/__flush__")


@dataclass(frozen=True)
class Played:
    """A step as it was sent to one server, and its answer."""

    step: Step
    request: Request
    answer: Answer


@dataclass
class Stage:
    """Runs scenarios on the servers of a fleet; the reference plays each only once."""

    fleet: Fleet
    fired: Counter[str] = field(default_factory=Counter)
    """How often each named difference explained something."""
    scripted: set[tuple[str, str, str]] = field(default_factory=set)
    """Which scripted scenarios were played on which engine."""
    _known: dict[tuple[str, str], list[Played]] = field(default_factory=dict)

    def play(self, scenario: Scenario, implementation: str) -> list[Played]:
        """Send the steps of a scenario to an emptied server."""
        self._empty(scenario.profile, implementation)
        memory = Memory(int(time.time() * 1000))
        played = []
        for step in scenario.steps:
            client = self.fleet.client(implementation, step.on or scenario.profile)
            request = memory.request(step)
            answer = client.send(request)
            memory.remember(step.name, answer)
            played.append(Played(step, request, answer))
        return played

    def reference(self, scenario: Scenario) -> list[Played]:
        """The scenario as the real Kinto on PostgreSQL plays it."""
        key = (scenario.feature, scenario.name)
        if key not in self._known or len(self._known[key]) != len(scenario.steps):
            self._known[key] = self.play(scenario, "kinto")
        return self._known[key]

    def exchanges(self, scenario: Scenario, implementation: str) -> list[Exchange]:
        """Both performances of a scenario side by side, with their disagreements."""
        theirs, ours = self.reference(scenario), self.play(scenario, implementation)
        roots = [self.fleet.client(name, scenario.profile).root for name in ("kinto", implementation)]
        comparison = Comparison(*roots)
        exchanges = []
        for k, o in zip(theirs, ours, strict=True):
            exchange = Exchange(
                scenario, k.step, k.request, o.request, k.answer, o.answer, implementation, comparison.pairs
            )
            exchange.mismatches = comparison.mismatches(exchange)
            exchanges.append(exchange)
        return exchanges

    def _empty(self, profile: str, implementation: str) -> None:
        writable = PROFILES[profile].shares or profile
        answer = self.fleet.client(implementation, writable).send(FLUSH)
        if answer.status not in (202, 410):
            raise AssertionError(f"{implementation} could not be emptied: {answer}")


def report(exchanges: list[Exchange], unexplained: list[tuple[int, list[Mismatch]]]) -> str:
    """A readable account of what nobody expected, with the steps that led there."""
    lines = []
    for index, mismatches in unexplained:
        exchange = exchanges[index]
        lines.append(
            f"── {exchange.scenario.feature}: {exchange.scenario.name}, step {index + 1}, "
            f"{exchange.implementation}, user {exchange.step.user}"
        )
        lines.append(str(exchange.ours_request))
        lines += [f"  ✗ {mismatch}" for mismatch in mismatches[:12]]
        lines.append("  kinto: " + str(exchange.kinto).replace("\n", "\n    "))
        lines.append("  ours:  " + str(exchange.ours).replace("\n", "\n    "))
    return "\n".join(lines)


def unexplained(stage: Stage, exchanges: list[Exchange]) -> list[tuple[int, list[Mismatch]]]:
    """The disagreements that no named difference accounts for, by step; counts those that one does."""
    left = []
    for index, exchange in enumerate(exchanges):
        strange = []
        for mismatch in exchange.mismatches:
            entry = explanation(exchange, mismatch)
            if entry is None:
                strange.append(mismatch)
            else:
                stage.fired[entry.name] += 1
        if strange:
            left.append((index, strange))
    return left
