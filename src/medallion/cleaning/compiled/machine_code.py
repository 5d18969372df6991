"""Machine code: the compiled pass as an object file, made once on a machine.

Numba makes it, which takes some ten seconds and a third of a second to import; `load` then needs
llvmlite alone and 30 ms. The name of the file changes with the sources, the compiler and the
processor.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np

from medallion.cleaning.compiled.tables import cells_for, tables_of, words_for
from medallion.contract import PURCHASES
from medallion.platforms.kept import kept_or_made

Scan = Callable[..., tuple[int, int, int]]
"""The compiled pass; it takes the arguments of `scan.scan`, each as `flat` gives it."""

_engine: Any = None


def load(notice: Callable[[str], None] = lambda _: None) -> Scan:
    """Return the compiled pass.

    Args:
        notice: is told when it must be compiled first.

    Raises:
        ImportError: llvmlite is not installed; or numba is not, and nobody compiled the pass yet.
    """
    import llvmlite
    import llvmlite.binding as llvm

    processor = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    version = hashlib.sha256(f"{llvmlite.__version__} {processor}".encode())
    package = files("medallion")
    modules = (package / "cleaning" / "compiled").iterdir()
    sources = (module for module in modules if module.name.endswith(".py"))
    for source in sorted(sources, key=lambda module: module.name):
        version.update(source.read_bytes())
    version.update((package / "contract.py").read_bytes())
    name = f"scan-{version.hexdigest()[:32]}.o"
    code = kept_or_made(name, lambda: _compile(notice))
    symbol, _, machine_code = code.partition(b"\0")
    return _linked(llvm, symbol.decode(), machine_code)


def _linked(llvm: Any, symbol: str, code: bytes) -> Scan:
    """Return the function of an object file; it does not hold the interpreter's lock."""
    global _engine
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine(jit=True)
    # It owns the memory of the code, so it must live as long as the process.
    _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    _engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    _engine.finalize_object()
    address = _engine.get_function_address(symbol)
    count = len(flat(_example()))
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * (2 + count))(address)

    def scan(*arguments: int) -> tuple[int, int, int]:
        results, error = (ctypes.c_int64 * 3)(), ctypes.c_void_p()
        function(ctypes.addressof(results), ctypes.addressof(error), *arguments)
        return results[0], results[1], results[2]

    return scan


def flat(value: Any) -> tuple[int, ...]:
    """Return a value as numba passes it to a function.

    An array becomes two unused pointers, its length, the size of an item, the address, and the
    length and stride of each dimension. The caller must keep the array alive.
    """
    if isinstance(value, tuple):
        return tuple(number for part in value for number in flat(part))
    if isinstance(value, np.ndarray):
        address = value.ctypes.data
        return (0, 0, value.size, value.itemsize, address, *value.shape, *value.strides)
    return (value,)


def _example() -> tuple[Any, ...]:
    """Return arguments of the types that the compiled pass takes."""
    feed = PURCHASES
    lines, offsets = np.zeros(8, np.uint8), np.zeros(1, np.int32)
    return lines, offsets, 0, tables_of(feed), words_for(feed), cells_for(feed, 1)


def _compile(notice: Callable[[str], None]) -> bytes:
    """Compile the pass: the name of its function, a NUL, the object file."""
    notice("compiling the cleaner, which is kept for later starts: some ten seconds")
    import numba

    from medallion.cleaning.compiled.scan import scan

    scan.compile(tuple(numba.typeof(argument) for argument in _example()))
    (result,) = scan.overloads.values()
    return result.fndesc.llvm_func_name.encode() + b"\0" + result.library._get_compiled_object()
