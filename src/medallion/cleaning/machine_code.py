"""Machine code: the compiled pass as an object file, made once on a machine.

Numba makes it, which takes some ten seconds and a third of a second to import; `load` then needs
llvmlite alone and 30 ms. The file lies beside the package's bytecode, or where that cannot be
written in a folder of this user's for temporary files, under a name that changes with the sources,
the compiler and the processor.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import pkgutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medallion.cleaning.tables import cells_for, tables_of, words_for
from medallion.contract import PURCHASES

Scan = Callable[..., tuple[int, int, int]]
"""The compiled pass; it takes the arguments of `scan.scan`, each as `flat` gives it."""

_SOURCES = (
    ("medallion.cleaning", "scan.py"),
    ("medallion.cleaning", "tables.py"),
    ("medallion", "contract.py"),
)
_CHECKSUM = 32
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
    for package, source in _SOURCES:
        version.update(pkgutil.get_data(package, source) or b"")
    name = f"scan-{version.hexdigest()[:32]}.o"
    code = _kept(name) or _compiled_once(name, notice)
    symbol, _, machine_code = code.partition(b"\0")
    return _linked(llvm, symbol.decode(), machine_code)


def _linked(llvm: Any, symbol: str, code: bytes) -> Scan:
    """The function of an object file, as Python calls it. It holds no lock of the interpreter."""
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
    """Return a value as numba passes it to a function: of an array two unused pointers, its length,
    the size of an item, the address, and each dimension's length and stride. The caller must keep
    the array alive."""
    if isinstance(value, tuple):
        return tuple(number for part in value for number in flat(part))
    if isinstance(value, np.ndarray):
        address = value.ctypes.data
        return (0, 0, value.size, value.itemsize, address, *value.shape, *value.strides)
    return (value,)


def _example() -> tuple[Any, ...]:
    """Arguments of the types that the compiled pass takes."""
    feed = PURCHASES
    lines, offsets = np.zeros(8, np.uint8), np.zeros(1, np.int32)
    return lines, offsets, 0, tables_of(feed), words_for(feed), cells_for(feed, 1)


def _compile() -> bytes:
    """Compile the pass: the name of its function, a NUL, the object file."""
    import numba

    from medallion.cleaning.scan import scan

    scan.compile(tuple(numba.typeof(argument) for argument in _example()))
    (result,) = scan.overloads.values()
    return result.fndesc.llvm_func_name.encode() + b"\0" + result.library._get_compiled_object()


def _folders() -> Iterator[Path]:
    """Where machine code may be kept: only where nobody else could put some."""
    yield Path(__file__).parent / "__pycache__"
    folder = Path(tempfile.gettempdir()) / f"medallion-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return
    status = folder.lstat()
    if status.st_uid == os.getuid() and not status.st_mode & 0o22:
        yield folder


def _kept(name: str) -> bytes | None:
    """What was compiled earlier; None where there is nothing, or it is damaged."""
    for folder in _folders():
        try:
            stored = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(stored[_CHECKSUM:]).digest() == stored[:_CHECKSUM]:
            return stored[_CHECKSUM:]
    return None


def _compiled_once(name: str, notice: Callable[[str], None]) -> bytes:
    """Compile the pass and keep it; of several processes one does, and the others wait for it."""
    for folder in _folders():
        try:
            folder.mkdir(exist_ok=True)
            lock = (folder / "scan.lock").open("w")
        except OSError:
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if code := _kept(name):
                return code
            notice("compiling the cleaner, once on this machine: some ten seconds")
            code = _compile()
            new = folder / f"{name}.new"
            new.write_bytes(hashlib.sha256(code).digest() + code)
            new.replace(folder / name)
            return code
    notice("compiling the cleaner, because no folder can keep it: some ten seconds")
    return _compile()
