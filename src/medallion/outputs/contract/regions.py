"""Generated regions of files that are otherwise written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REGION = re.compile(
    r"^([ ]*(?:#|--) Generated from contract[.]py: (\w+)\n).*?"
    r"(^[ ]*(?:#|--) End of what is generated\n)",
    re.MULTILINE | re.DOTALL,
)


def with_regions(text: str, regions: Mapping[str, str]) -> str:
    """Return a file's text with its generated regions replaced.

    A region lies between two comments; YAML has # in place of --:

        -- Generated from contract.py: NAME
        -- End of what is generated

    Args:
        text: the text of the file.
        regions: the new text of each region, by its name.

    Raises:
        ValueError: the names of the regions in the file are not those in `regions`.
    """
    names = sorted(match[2] for match in _REGION.finditer(text))
    if names != sorted(regions):
        raise ValueError(f"the generated regions are {names}, and must be {sorted(regions)}")
    return _REGION.sub(lambda match: match[1] + regions[match[2]] + match[3], text)
