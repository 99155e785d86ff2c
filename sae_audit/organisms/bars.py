"""Progress bars of this package's commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def bars(console: Console, *, width: int) -> Iterator[Callable[[str, int, int], None]]:
    """A function (part, done, total) that updates progress bars, one named bar for each part."""
    columns = (
        TextColumn(f"{{task.description:<{width}}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as display:
        tasks: dict[str, Any] = {}

        def progress(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = display.add_task(part, total=total)
            display.update(tasks[part], completed=done)

        yield progress
