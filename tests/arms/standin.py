"""Where tests find an SDK: the vendor's `kortex_api` if it is installed, else the one in tests/arms/sdk."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

SDK = Path(__file__).resolve().parent / "sdk"
ROOT = SDK.parents[2]


def use() -> str:
    """Make `kortex_api` importable in this process; whose it is."""
    if importlib.util.find_spec("kortex_api") is None:
        sys.path.insert(0, str(SDK))
    spec = importlib.util.find_spec("kortex_api")
    return "stand-in" if spec is not None and str(SDK) in str(spec.origin) else "vendor"


def environment() -> dict[str, str]:
    """The environment of a process that is to find the same SDK."""
    use()
    spec = importlib.util.find_spec("kortex_api")
    assert spec is not None
    folder = Path(str(spec.origin)).parents[1]
    path = os.pathsep.join(filter(None, [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path}
