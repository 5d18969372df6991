"""The verb that lays out a home: init."""

from __future__ import annotations

import re
from pathlib import Path

import click

from medallion.cli.commands.verbs import reporting, verb
from medallion.cli.printing.report import say
from medallion.errors import SettingsError
from medallion.platforms.local import make_folder
from medallion.platforms.platform import Platform
from medallion.settings import EXAMPLES, FILE, KEYS, with_setting

MAPPING = "till.toml"


@verb(stopped="stopped; 'medallion init' begins again")
@click.argument("new_home", metavar="[FOLDER]", required=False, type=click.Path(path_type=Path))
@reporting
def init(here: Platform) -> None:
    """Lay out a home: its settings file and a mapping to edit; FOLDER is the home. [--home]"""
    texts = {
        FILE: _settings(here),
        MAPPING: (EXAMPLES / MAPPING).read_text(encoding="utf-8"),
    }
    for name in texts:
        if (here.home / name).exists():
            raise SettingsError(
                f"there is {here.home / name} already: edit it, or choose another home"
            )
    make_folder(here.home)
    for name, text in texts.items():
        (here.home / name).write_text(text, encoding="utf-8")
    say(
        f"settings   {here.home / FILE}: currency and time zone of the reports",
        f"mapping    {here.home / MAPPING}: edit it to what your files look like",
        f"next       medallion import FILE --mapping {here.home / MAPPING} --home {here.home}",
        f"           medallion run --events 0 --home {here.home}",
    )


def _settings(here: Platform) -> str:
    """Return the text of the settings file, with what is not given commented out."""
    text = (EXAMPLES / FILE).read_text(encoding="utf-8")
    for name in KEYS:
        text = re.sub(rf"(?m)^{name} =", f"# {name} =", text)
    for name, value in here.changes.items():
        text = with_setting(text, name, value)
    return text
