"""The verb that lays out a home: init."""

from __future__ import annotations

import re
import shutil
from itertools import chain
from pathlib import Path

import click

from medallion.cli.commands.verbs import reporting, verb
from medallion.cli.printing.report import say
from medallion.errors import SettingsError
from medallion.platforms.local import make_folder
from medallion.platforms.platform import Platform
from medallion.settings import DBT_PROJECT, EXAMPLES, FILE, KEYS, PROJECT, TABLES, with_setting

MAPPING = "till.toml"
_NO_PART_OF_IT = shutil.ignore_patterns(
    "target", "logs", "dbt_packages", "package-lock.yml", ".user.yml"
)


@verb(stopped="stopped; 'medallion init' begins again")
@click.argument("new_home", metavar="[FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option("--models", is_flag=True, help="Copy the dbt project too, to change its models.")
@reporting
def init(platform: Platform, models: bool) -> None:
    """Lay out a home in FOLDER: its settings file, and a mapping to edit."""
    texts = {
        FILE: _settings(platform),
        MAPPING: (EXAMPLES / MAPPING).read_text(encoding="utf-8"),
    }
    for name in (*texts, *["dbt"] * models):
        if (platform.home / name).exists():
            raise SettingsError(
                f"there is {platform.home / name} already: edit it, or choose another home"
            )
    make_folder(platform.home)
    for name, text in texts.items():
        (platform.home / name).write_text(text, encoding="utf-8")
    if models:
        shutil.copytree(DBT_PROJECT, platform.home / "dbt", ignore=_NO_PART_OF_IT)
    say(
        f"settings   {platform.home / FILE}: currency and time zone of the reports",
        f"mapping    {platform.home / MAPPING}: edit it to what your files look like",
        *[f"models     {platform.home / 'dbt'}: what builds this home from now on"] * models,
        f"templates  {PROJECT / 'bi'}: for Tableau, Power BI, QuickSight",
        f"next       medallion import FILE --mapping {platform.home / MAPPING} "
        f"--home {platform.home}",
        f"           medallion run --events 0 --home {platform.home}",
    )


def _settings(platform: Platform) -> str:
    """Return the text of the settings file, with what is not given commented out."""
    text = (EXAMPLES / FILE).read_text(encoding="utf-8")
    for name in (*KEYS, *chain(*TABLES.values())):
        text = re.sub(rf"(?m)^{name} =", f"# {name} =", text)
    for name, value in platform.changes.items():
        text = with_setting(text, name, value)
    return text
