"""The one contract by which a feature joins the server.

A feature, built in or third party, is a subclass of `Plugin` found under the entry-point group
`kintoun.plugins`. It declares its settings, and in `setup` it hands what it brings to a `Registry`. Nothing
of the server is reachable for it but the rooms below it: `resources`, `storage`, `http` and `model`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol

from kintoun.http.asgi import Respond
from kintoun.http.routing import Endpoint
from kintoun.model.kinds import Kind
from kintoun.resources.aliases import Alias
from kintoun.resources.context import Context
from kintoun.resources.identity import Policy
from kintoun.resources.observing import Observer, ReadyObserver
from kintoun.resources.rules import Rules
from kintoun.resources.service import (
    AfterCommit,
    BeforeCommit,
    BeforeCommitTogether,
    Erase,
    Gate,
    Listener,
    PastList,
    Service,
    Widen,
)
from kintoun.settings import Policy as PolicySettings
from kintoun.settings import Section, Settings
from kintoun.storage.lanes import Closing

PolicyFactory = Callable[[PolicySettings, Settings], Policy]
Turn = Literal["first", "in order", "last"]


class Registry(Protocol):
    """What a feature can bring."""

    settings: Settings
    service: Service

    def endpoint(self, endpoint: Endpoint) -> None:
        """Serve a URL pattern."""
        ...

    def kind(self, kind: Kind, rules: Rules, endpoints: Sequence[Endpoint] | None = None) -> None:
        """Serve the objects of a kind, of the feature's own perhaps, with what is particular to them.

        `endpoints` stand in the place of those that every kind has (`resources.endpoints.endpoints_of`).
        """
        ...

    def alias(self, name: str, alias: Alias) -> None:
        """Let a name stand in URLs for a bucket of the caller's own."""
        ...

    def capability(self, name: str, description: str, url: str, **extra: Any) -> None:
        """Tell clients in the root view that a feature is there, and more of it.

        What depends on the request, as URLs do, is told by a function of it.
        """
        ...

    def root_setting(self, name: str, value: Any) -> None:
        """Tell clients a setting in the root view."""
        ...

    def user_info(self, describe: Callable[[Context], Mapping[str, Any]]) -> None:
        """Tell an authenticated caller more about itself in the root view."""
        ...

    def policy(self, use: str, make: PolicyFactory, asked: Turn = "in order") -> None:
        """Offer a kind of authentication policy.

        Policies are asked in the order of the configuration, but those that know their own credentials from
        others' before all (`first`), and those that take any after all (`last`). Credentials stand in the
        `Authorization` header: who sends none is nobody.
        """
        ...

    def around_policies(self, wrap: Callable[[Policy], Policy]) -> None:
        """Put `wrap(policy)` in the place of each authentication policy of the configuration."""
        ...

    def before_commit(
        self, hook: BeforeCommit, *kinds: Kind, together: BeforeCommitTogether | None = None
    ) -> None:
        """Run on every change, or on those of some kinds, in its transaction.

        It may write more, and may veto by raising. Where a feature writes many objects of one list at once,
        as publishing does, the hook is called for each of them after all were written; or `together` is, in
        its place, once for many.
        """
        ...

    def react(self, hook: BeforeCommit, *kinds: Kind) -> None:
        """Run on changes as `before_commit`, when all of those hooks were told of the change.

        So what it writes to objects comes after the change for them too.
        """
        ...

    def closing(self, hook: Closing) -> None:
        """Run on every transaction after all of its writes, before they are sent; may veto by raising."""
        ...

    def after_commit(self, hook: AfterCommit) -> None:
        """Run once for each request on all its changes, when they are on disk."""
        ...

    def widen(self, hook: Widen) -> None:
        """Add to what each write locks and fetches, for what a hook before the commit will write."""
        ...

    def erase(self, hook: Erase) -> None:
        """Run in the transaction that forgets a user, after the core has."""
        ...

    def reclaim(self, table: str) -> None:
        """Reclaim the rows of a feature's table with the list whose number they bear.

        They are found by its columns `list` and `ts`, which have a unique index.
        """
        ...

    def past_list(self, answer: PastList) -> None:
        """Answer the requests for lists whose query string has `_at`."""
        ...

    def stream_list(self, answer: PastList) -> None:
        """Answer the requests for lists that accept `text/event-stream` no less than JSON."""
        ...

    def listen(self, listener: Listener) -> None:
        """Run on every event that a feature announces, in its transaction."""
        ...

    def heartbeat(self, name: str, check: Callable[[], Awaitable[bool | None]]) -> None:
        """Add a check to the heartbeat; None means that it does not apply."""
        ...

    def background(self, work: Callable[[], Awaitable[None]], lease: str | None = None) -> None:
        """Run a task in every worker, again and again with pauses; done twice it must do no harm.

        With the name of a lease it runs in one worker of all at a time.
        """
        ...

    def gate(self, check: Gate) -> None:
        """Run before each request is dispatched, those of a batch too; may refuse it by raising."""
        ...

    def observe(self, hook: Observer, *, batched: bool = False, ready: ReadyObserver | None = None) -> None:
        """Tell of each answer of a request, with the caller's id and the seconds that it took.

        When `batched`, of the requests of batches too, once their batch is committed. Who gives another hook
        for answers that were `ready` (`http.ready`) is told of those a moment later, and of many at once;
        otherwise all requests are answered in the ordinary way.
        """
        ...

    def around(self, wrap: Callable[[Respond], Respond]) -> None:
        """Put `wrap(respond)` in the place of what answers requests; what came last stands outermost."""
        ...


class Plugin:
    """A feature.

    `name` is what settings call it; `settings` declares its own section of the configuration, `kinto_keys`
    which keys of a Kinto ini its fields stand for, `kinto_includes` which of Kinto's plugins it replaces.
    `migrations` are the steps that bring the feature's own tables to their present form, each a sequence of
    statements with `{int}`, `{text}`, `{flag}` and `{bytes}` for the engine's types; a step is never edited
    once it is released. `commands` are subcommands of `kintoun` by name, as `package.module:command`.
    """

    name: ClassVar[str]
    settings: ClassVar[type[Section] | None] = None
    kinto_keys: ClassVar[Mapping[str, str]] = {}
    kinto_includes: ClassVar[Sequence[str]] = ()
    migrations: ClassVar[Sequence[Sequence[str]]] = ()
    commands: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def kinto_names(cls, texts: Mapping[str, str]) -> Iterable[str]:  # noqa: ARG003
        """Keys for which a Kinto looks in its environment because of what other keys, with `texts`, name."""
        return ()

    def setup(self, registry: Registry, settings: Any) -> None:
        """Hand over what the feature brings. `settings` is its section, decoded."""
        raise NotImplementedError
