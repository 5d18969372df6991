"""What the modules of the compiled pass share: how functions are compiled, and bytes by name.

Conventions: `w` holds bytes, `i` is a place in them, `e` the end of the line. A function that
reads something returns the place after it, or REFUSED where it is not what the pass can prove.
Texts that cannot be used as they stand (escapes, case, other alphabets) are written to the *room*,
the part of `w` behind the lines; `room` is where the next one goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

REFUSED = -1
SPACE, TAB, RETURN, FEED = 32, 9, 13, 10
QUOTE, COMMA, MINUS, PLUS, POINT, COLON, BACKSLASH = 34, 44, 45, 43, 46, 58, 92
OPEN, CLOSE, OPEN_LIST = 123, 125, 91
ZERO, NINE, LETTER_E, LETTER_N, LETTER_U = 48, 57, 101, 110, 117
HEADS = np.array([256**n - 1 for n in range(9)], np.uint64)
"""Masks that keep the first n of eight bytes."""

_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    # Nothing here owns memory, so nothing need count who uses it: that costs more than the work.
    "_nrt": False,
    # `machine_code` calls the function itself.
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
compiled: Callable[[Callable[..., Any]], Any] = njit(**_OPTIONS)
inlined: Callable[[Callable[..., Any]], Any] = njit(inline="always", **_OPTIONS)
"""Compiles a function into its callers: to hand it all the tables costs more than its work."""


@intrinsic
def eight_bytes(context: Any, array: Any, place: Any) -> Any:
    """Load eight bytes of an array from any place on, the first one lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        first = builder.gep(data, [arguments[1]])
        word = context.get_value_type(types.uint64).as_pointer()
        return builder.load(builder.bitcast(first, word), align=1)

    return types.uint64(array, types.int64), generate


@intrinsic
def first_marked(context: Any, marks: Any) -> Any:
    """Return the lowest of eight bytes in which a bit is set; 8 where none is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.cttz(arguments[0], context.get_constant(types.boolean, False))
        return builder.lshr(zeros, context.get_constant(types.uint64, 3))

    return types.int64(types.uint64), generate
