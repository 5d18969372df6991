"""A progress line for work that takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medallion.cli.printing.text import visible

Tell = Callable[[str], None]


@contextmanager
def progress(doing: str) -> Iterator[Tell]:
    """Show what is being done, with a sign of life and the seconds, until the block ends.

    The line is cut to the width of the terminal. Where standard error is no terminal nothing is
    shown.

    Yields a function that replaces the text.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    text = TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
    )
    with Progress(
        SpinnerColumn(),
        text,
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as shown:
        task = shown.add_task(doing)
        yield lambda message: shown.update(task, description=visible(message))
