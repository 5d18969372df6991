"""The command line: one verb, one function.

It takes the platform, calls a stage and prints its report. The module of a verb is imported when
the verb is called.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

from medallion import __version__
from medallion.process import collect_seldom, ending_on_signals, share_heap, without_pandas

# No matrix is multiplied here, and the threads of OpenBLAS spin for a while at each start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MODULES = {
    "starting": ("init",),
    "streaming": ("run", "up", "simulate", "collect", "dashboard"),
    "stages": ("import", "clean", "load", "transform"),
    "reading": ("status", "audit", "query", "export", "doctor"),
    "metrics": ("metric", "mcp"),
    "watching": ("watch",),
    "quarantine": ("quarantine",),
    "conflicts": ("conflicts",),
    "keeping": ("rebuild", "forget"),
    "year": ("compact", "retain"),
}
"""The verbs of each module, in the order of the day."""


class Verbs(Mapping[str, click.Command]):
    """The verbs by name."""

    def __init__(self) -> None:
        self._modules = {verb: module for module, verbs in MODULES.items() for verb in verbs}

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"medallion.cli.commands.{self._modules[name]}")
        candidates = (c for c in vars(module).values() if isinstance(c, click.Command))
        return next(command for command in candidates if command.name == name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class Program(click.Group):
    """All of it. From its first moment on, Ctrl-C ends it with one line."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the verb that the arguments name."""
        share_heap()
        collect_seldom()
        with ending_on_signals(), without_pandas():
            return super().main(*args, **options)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the verb; for a slip of the finger name the nearest one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "; 'medallion --help' lists them"
            ctx.fail(f"there is no verb {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Program, commands=Verbs(), context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__)
def main() -> None:
    """Purchase events from raw JSON to gold: nothing lost, nothing counted twice."""
