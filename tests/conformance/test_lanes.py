"""The compiled pass against the exact lane, on more lines than Spark could handle in the time."""

from __future__ import annotations

from itertools import islice

from tests.conformance.lanes import differences

LINES = 100_000


def test_both_lanes_answer_alike() -> None:
    """Random damage to every case: the lanes accept the same lines with the same values, reject the
    same ones for the same reasons, and count the same names as unknown."""
    unlike = list(islice(differences(LINES, seed=1), 10))
    assert not unlike, "\n\n".join(unlike)
