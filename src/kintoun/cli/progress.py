"""Progress bars on standard error, when somebody is there to look at them."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bars:
    """One bar for each collection; lines are said above them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def add(self, name: str, total: int | None) -> Callable[..., None]:
        """A new bar; the function returned moves it to `done` objects, of `total` when that is given too."""
        task = self._progress.add_task(name, total=total)

        def move(done: int, total: int | None = None) -> None:
            self._progress.update(task, completed=done, total=total)

        return move

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, markup=False)


class Tables(Bars):
    """One bar for each table, made when its first rows are done."""

    def __init__(self) -> None:
        super().__init__()
        self._moves: dict[str, Callable[..., None]] = {}

    def __enter__(self) -> Tables:
        super().__enter__()
        return self

    def __call__(self, table: str, rows: int) -> None:
        """So many rows of a table are done."""
        if table not in self._moves:
            self._moves[table] = self.add(table, None)
        self._moves[table](rows)
