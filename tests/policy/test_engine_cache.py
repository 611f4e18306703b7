"""Engines on disk: found by what they are for, and never by half."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from vla_ros.policy.engines import cache
from vla_ros.policy.engines.cache import Key, find, read, store

KEY = Key("graph", "fp16", "tensorrt_rtx", "1.7", ("sm_86", "sm_89"))
CONTENT = memoryview(b"an engine" * 1000)


def test_what_is_stored_is_found_and_read(tmp_path: Path) -> None:
    path = store(tmp_path, "demo-encode", KEY, CONTENT)
    assert find([tmp_path], KEY) == path
    assert bytes(read(path)) == bytes(CONTENT)


def test_an_engine_for_more_targets_will_do_and_one_for_fewer_will_not(tmp_path: Path) -> None:
    path = store(tmp_path, "demo-encode", KEY, CONTENT)
    assert find([tmp_path], replace(KEY, targets=("sm_89",))) == path
    assert find([tmp_path], replace(KEY, targets=("sm_89", "sm_120"))) is None


@pytest.mark.parametrize("field", ["graph", "precision", "library", "version", "gpu", "driver"])
def test_everything_else_of_the_key_must_be_the_same(tmp_path: Path, field: str) -> None:
    store(tmp_path, "demo-encode", KEY, CONTENT)
    assert find([tmp_path], replace(KEY, **{field: "other"})) is None


def test_the_first_folder_goes_first(tmp_path: Path) -> None:
    second = store(tmp_path / "b", "demo-encode", KEY, CONTENT)
    assert find([tmp_path / "a", tmp_path / "b"], KEY) == second
    first = store(tmp_path / "a", "demo-encode", KEY, CONTENT)
    assert find([tmp_path / "a", tmp_path / "b"], KEY) == first


def damaged(path: Path) -> list[bytes]:
    """An engine's file as a full disk, a bad disk or another program leaves it."""
    whole = path.read_bytes()
    head, rest = whole.split(b"\n", 1)
    content = rest.split(b"\n", 1)[1]
    keyless = json.dumps({"size": 1, "sha256": ""}).encode()
    listed = json.dumps([1]).encode()
    return [
        b"",
        whole[:10],
        whole[: len(head) + 20],
        whole[:-1],
        whole + b"\0",
        whole.replace(b"an engine", b"an emgine", 1),
        content,
        b"\n".join([head, b"\xff\xfe{", content]),
        b"\n".join([head, keyless, content]),
        b"\n".join([head, listed, content]),
        head,
    ]


def test_a_damaged_engine_does_not_count(tmp_path: Path) -> None:
    path = store(tmp_path, "demo-encode", KEY, CONTENT)
    versions = damaged(path)
    for version in versions:
        path.write_bytes(version)
        assert find([tmp_path], KEY) is None, version[:80]
    assert store(tmp_path, "demo-encode", KEY, CONTENT) == path
    assert find([tmp_path], KEY) == path


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_interrupted_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error) -> None:
    store(tmp_path, "demo-encode", KEY, CONTENT)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def stop(number: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises((KeyboardInterrupt, OSError)):
        store(tmp_path, "demo-encode", KEY, memoryview(b"another engine"))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "vla_ros/engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.cache_folder() == Path("/home/someone/.cache/vla_ros/engines")
