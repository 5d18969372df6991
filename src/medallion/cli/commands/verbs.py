"""What all verbs share: the platform, errors as one line, and options that several have."""

from __future__ import annotations

import errno
import functools
import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa

from medallion import __version__
from medallion.cli.printing.report import say
from medallion.cli.printing.text import visible
from medallion.errors import MedallionError, SettingsError, is_disk_full
from medallion.layers.staging import require_current
from medallion.platforms.platform import Platform
from medallion.platforms.warehouse import Warehouse, one_line
from medallion.process import NOTHING_LOST, STOPPED, current_ending, exit_when_stopped
from medallion.settings import KEYS, Settings

UNUSABLE = 2
"""The exit code for what cannot be used as given."""
READER_GONE = 141
"""The exit code when whoever reads our output has closed it: 128 + SIGPIPE, as of any program."""

NOTHING_CHANGED = "stopped; nothing was changed"


def verb(
    *, stopped: str = STOPPED, group: click.Group | None = None
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a verb of a function that takes the platform, under the function's name.

    Errors become one line and exit code 2. Options that are settings of the home, and an argument
    `new_home`, go into the platform.

    Args:
        stopped: the line that Ctrl-C ends the verb with.
        group: the verb of which this one is a part.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        command = group.command if group else click.command

        @command(function.__name__.rstrip("_"))
        @click.option(
            "--home",
            type=click.Path(path_type=Path),
            default=None,
            help="Where the data lies. [MEDALLION_HOME, or ./data]",
        )
        @functools.wraps(function)
        def run(home: Path | None, **options: Any) -> None:
            current_ending().message = stopped
            given = {name: options.pop(name) for name in KEYS if name in options}
            try:
                if (new_home := options.pop("new_home", None)) and home:
                    raise SettingsError("give the home either as FOLDER or with --home")
                _require_address_space()
                settings = Settings.from_environment(os.environ, new_home or home, given)
                function(Platform.of(settings), **options)
                sys.stdout.flush()
            except Exception as error:
                exit_when_stopped()
                _explain(error)
            exit_when_stopped()

        return run

    return decorate


@contextmanager
def reading(platform: Platform) -> Iterator[Warehouse]:
    """Open the warehouse for reading.

    Raises:
        WarehouseError: another version made it.
    """
    with platform.reader() as warehouse:
        if not platform.snowflake:
            require_current(warehouse)
        yield warehouse


def say_other_versions(versions: Iterable[tuple[str, int]]) -> None:
    """Say how many raw objects other versions have judged."""
    for version, count in versions:
        say(
            f"{count:,} raw objects were cleaned by version {version}, and this is {__version__}: "
            "'medallion rebuild' judges them by the rules of today",
            colour="yellow",
        )


LEAST_ADDRESS_SPACE = 1 << 30
"""Bytes below which libraries may end the process where they get no memory, without an error."""


def _require_address_space() -> None:
    """Raise MemoryError when this process may use too little memory (`ulimit -v`)."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY and allowed < LEAST_ADDRESS_SPACE:
        raise MemoryError(f"'ulimit -v' allows {allowed >> 20} MiB, and 1,024 are the least")


_MENDABLE = (MedallionError, OSError, duckdb.Error, pa.ArrowException, MemoryError)
"""Errors of data, disk and memory. All others are defects, whose traceback helps to mend them."""


def _explain(error: Exception) -> None:
    """Exit with one line for an error that somebody can mend; raise all others."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        _leave_reader_alone()
    is_memory = _is_out_of_memory(error)
    if not (is_memory or isinstance(error, _MENDABLE)):
        raise error
    message = one_line(error) if isinstance(error, duckdb.Error) else " ".join(str(error).split())
    if is_memory:
        detail = f" ({message})" * bool(message)
        message = f"out of memory; {NOTHING_LOST}, with more memory or less beside it{detail}"
    elif isinstance(error, OSError) or is_disk_full(error):
        message = f"{message}; when that is mended, the same command goes on from here"
    click.echo(f"error: {visible(message)}", err=True)
    for name in getattr(error, "names", ()):
        click.echo(f"  {visible(name)}", err=True)
    sys.exit(getattr(error, "exit_code", UNUSABLE))


_REFUSED_MEMORY = ("can't start new thread", "failed to map segment")
"""What Python says where a thread or a library gets no memory, as RuntimeError or ImportError."""


def _is_out_of_memory(error: Exception) -> bool:
    is_named = isinstance(error, MemoryError | duckdb.OutOfMemoryException)
    return is_named or any(text in str(error) for text in _REFUSED_MEMORY)


def _leave_reader_alone() -> None:
    """Exit quietly: nobody reads what is left to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(READER_GONE)


def reporting(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that are settings of the home."""
    kept = "Kept in the home's medallion.toml."
    currency = click.option(
        "--reporting-currency",
        metavar="CODE",
        help=f"ISO 4217 code of the currency to report in, such as EUR. {kept}",
    )
    zone = click.option(
        "--time-zone",
        metavar="NAME",
        help="Time zone of the dashboard, and of stores whose own is not known, such as "
        f"Europe/Berlin. {kept}",
    )
    return currency(zone(function))


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
seed = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=7,
    show_default=True,
    help="Another seed gives other events of the same stores.",
)
faults = click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of events with a fault, such as 0.02.",
)
targets = click.option(
    "--targets", is_flag=True, help="Simulate targets of net sales by store and day, too."
)
max_rejected = click.option(
    "--max-rejected",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Exit 1 when a larger share of the lines of a feed is rejected, such as 0.05.",
)
