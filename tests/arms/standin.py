"""Where tests find an SDK: the vendor's `kortex_api` if it is installed, else the one in tests/arms/sdk."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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


@contextmanager
def withheld(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without an SDK, in this process; the test is skipped where the vendor's is installed."""
    from vla_ros.arms import kortex_sdk

    if use() == "vendor":
        pytest.skip("the vendor's wheel is installed")
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(SDK)])
    for name in [name for name in sys.modules if name.split(".")[0] == "kortex_api"]:
        monkeypatch.delitem(sys.modules, name)
    kortex_sdk.load.cache_clear()
    yield
    kortex_sdk.load.cache_clear()
