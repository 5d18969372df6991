"""Stream simulated purchase events into the raw layer until Ctrl-C.

python generate_events.py                   500 events a second, live
python generate_events.py --events 20000    the last two weeks, at once, then stop

MEDALLION_LAKE=s3://bucket sends them to a bucket.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def leave_without(module: str) -> None:
    """Restart with the Python of the project if there is one; else exit and say how to get it."""
    python = PROJECT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != PROJECT / ".venv":
        os.execv(python, [str(python), *sys.argv])
    sys.exit(f"{module} is not installed here: run `make setup`, then use .venv/bin/python")


try:
    import click

    from medallion.process import Duration, current_ending, ending_on_signals
except ModuleNotFoundError as missing:
    leave_without(str(missing.name))

DEFAULT_RATE = 500.0


def default_home() -> Path:
    """Return MEDALLION_HOME, or the folder data beside src."""
    home = os.environ.get("MEDALLION_HOME")
    return Path(home) if home else PROJECT / "data"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_home,
    help="Where the data lies; events go to HOME/raw, unless MEDALLION_LAKE names a bucket. "
    "[MEDALLION_HOME, or ../data]",
)
@click.option(
    "--events",
    type=click.IntRange(min=0),
    help="Stop after so many events; without "
    "--rate they are spread over the last days and made at once.",
)
@click.option(
    "--duration", type=Duration(), metavar="TIME", help="Stop after so long: 90, 90s, 5m or 1h."
)
@click.option("--rate", type=float, help="Events per second, happening now. [500]")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=7,
    show_default=True,
    help="Another seed tells another story of the same stores.",
)
@click.option(
    "--faults",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of events with a fault, such as 0.02.",
)
@click.option(
    "--compression",
    type=click.Choice(["zstd", "gzip", "none"]),
    default="zstd",
    show_default=True,
    help="How raw objects are stored.",
)
def main(
    home: Path,
    events: int | None,
    duration: float | None,
    rate: float | None,
    seed: int,
    faults: float,
    compression: str,
) -> None:
    """Stream simulated purchases into HOME/raw until Ctrl-C.

    An answer key for each run is kept in HOME/answer_key.
    """
    if events is not None and duration is not None:
        raise click.UsageError("give either --events or --duration")
    if rate is None and events is None:
        rate = DEFAULT_RATE
    from medallion.cli.printing.progress import progress
    from medallion.errors import MedallionError
    from medallion.platforms.platform import Platform
    from medallion.settings import Settings
    from medallion.simulation import SimulationOptions, simulate

    stop = current_ending().stop()
    try:
        options = SimulationOptions(
            events=events,
            duration=duration,
            rate=rate,
            seed=seed,
            faults=faults,
            compression=compression,
        )
        platform = Platform.of(Settings.from_environment(os.environ, home))
        click.echo(f"streaming into {platform.lake.url}/raw; Ctrl-C stops", err=True)
        with progress("simulating") as show:
            report = simulate(
                platform.lake,
                options,
                answers=platform.home / "answer_key",
                stop=stop.is_set,
                progress=lambda report: show(str(report)),
            )
    except (MedallionError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    click.echo(str(report))


if __name__ == "__main__":
    with ending_on_signals():
        main()
