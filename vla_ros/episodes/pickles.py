"""Arrays of objects in .npy files are pickles, and a pickle can run any program. Here it may hold arrays and plain values only."""

from __future__ import annotations

import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from vla_ros.episodes.layout import DatasetError

CORES = ("numpy.core", "numpy._core")
"""Where numpy 1 and numpy 2 keep their parts: a file of the one is read by the other."""
PLAIN = {"complex": complex, "set": set, "frozenset": frozenset, "bytearray": bytearray, "slice": slice, "range": range}


def unpickled(path: Path) -> Any:
    """The array of an .npy file, of objects or of numbers.

    Raises DatasetError where it holds anything but arrays, numpy's scalars and plain values, which is named and not run, or cannot
    be read.
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = header(file)
            if not dtype.hasobject:
                return np.load(path, allow_pickle=False)
            return np.asarray(_Careful(file, path).load(), dtype=object).reshape(shape)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise DatasetError(f"{path} cannot be read: {error!r}") from error


class _Careful(pickle.Unpickler):
    """Makes what numpy makes arrays of, and nothing else."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        known = _known(module, name)
        if known is None:
            raise DatasetError(
                f"{self._path} holds {module}.{name}, which is no array and no plain value: loading it could run a program, "
                "and it was not loaded"
            )
        return known


def _known(module: str, name: str) -> Any:
    if module in ("builtins", "__builtin__"):
        return PLAIN.get(name)
    if (module, name) == ("_codecs", "encode"):
        return _bytes_of
    if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
        return getattr(np, name)
    core = next((module.removeprefix(f"{core}.") for core in CORES if module.startswith(f"{core}.")), "")
    if (core, name) in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer")):
        return getattr(import_module(f"{CORES[hasattr(np, '_core')]}.{core}"), name)
    return None


def _bytes_of(text: str, encoding: str = "latin1") -> bytes:
    """As old pickles hold bytes: _codecs.encode, but for other encodings, some of which unpack."""
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding!r}")
    return text.encode("latin1")
