"""Built engines on disk: one file each, that says what it was made from, by what and for what. Written whole or not at all.

A file is a line that says so, a line of JSON with the key and the content's hash, and the engine.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MAGIC = b"vla_ros engine 1\n"
SUFFIX = ".engine"


@dataclass(frozen=True)
class Key:
    """What an engine was made from, by what and for what. Engines that need the very GPU they were built on name it and its driver."""

    graph: str
    """Hash of the graph's files."""
    precision: str
    library: str
    version: str
    targets: tuple[str, ...]
    gpu: str = ""
    driver: str = ""

    @property
    def short(self) -> str:
        """For the name of a file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def serves(self, wanted: Key) -> bool:
        """Whether an engine of this key will do: all the same, and for those targets among others."""
        same = asdict(self) | {"targets": ()} == asdict(wanted) | {"targets": ()}
        return same and set(wanted.targets) <= set(self.targets)


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/vla_ros/engines (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vla_ros/engines"


def store(folder: Path, name: str, key: Key, content: memoryview) -> Path:
    """Write an engine into `folder`; `name` is for people. What stood there under the same key is replaced in one step."""
    header = {"key": asdict(key), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path = folder / f"{name}-{key.short}{SUFFIX}"
    write_whole(path, MAGIC, json.dumps(header).encode() + b"\n", content)
    return path


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file so that, whatever happens, there is the whole of it or what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def find(folders: Iterable[Path], wanted: Key) -> Path | None:
    """A sound engine for this key in the folders, the first of them first. One that is damaged does not count."""
    candidates = (path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}")))
    return next((path for path in candidates if _serves(path, wanted)), None)


def read(path: Path) -> memoryview:
    """The engine in a file, mapped."""
    with path.open("rb") as file:
        start = len(file.readline()) + len(file.readline())
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]


def _serves(path: Path, wanted: Key) -> bool:
    header = _header(path)
    if header is None or not _key(header).serves(wanted):
        return False
    content = read(path)
    sound: bool = len(content) == header["size"] and hashlib.sha256(content).hexdigest() == header["sha256"]
    return sound


def _key(header: dict[str, Any]) -> Key:
    return Key(**header["key"] | {"targets": tuple(header["key"]["targets"])})


def _header(path: Path) -> dict[str, Any] | None:
    """What a file says of itself; None of one that is no engine of ours."""
    try:
        with path.open("rb") as file:
            if file.readline(len(MAGIC)) != MAGIC:
                return None
            header = json.loads(file.readline(1 << 16))
            _key(header)
            return header if {"size", "sha256"} <= set(header) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
