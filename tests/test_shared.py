"""Latest-value blocks: whole values only, whoever writes, dies or starts anew."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vla_ros.shared import PLACES, Block, BlockError

DTYPE = np.dtype([("stamp", "i8"), ("values", "f8", (200,)), ("name", "S16")])

WRITER = """
import sys, numpy as np
from pathlib import Path
from vla_ros.shared import Block
dtype = np.dtype([("stamp", "i8"), ("values", "f8", (200,)), ("name", "S16")])
block = Block.create(Path(sys.argv[1]), dtype)
value, n = np.zeros(1, dtype), 0
while True:
    n += 1
    value["stamp"], value["values"], value["name"] = n, n, str(n)
    block.write(value[0])
    if n == 1:
        print("ready", flush=True)
"""


def record(number):
    value = np.zeros(1, DTYPE)
    value["stamp"], value["values"], value["name"] = number, number, str(number)
    return value[0]


@pytest.fixture
def writer(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "block")], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_value_comes_back_with_its_number(tmp_path):
    block = Block.create(tmp_path / "block", DTYPE)
    reader = Block.attach(tmp_path / "block", DTYPE)
    assert reader.read() is None
    assert reader.sequence == 0
    for n in range(1, 4):
        block.write(record(n))
        sequence, value = reader.read()
        assert (sequence, int(value["stamp"]), value["name"]) == (n, n, str(n).encode())


def test_what_was_read_does_not_change_any_more(tmp_path):
    block = Block.create(tmp_path / "block", DTYPE)
    block.write(record(1))
    _, value = block.read()
    block.write(record(2))
    assert int(value["stamp"]) == 1


def test_plain_dtypes_work_too(tmp_path):
    block = Block.create(tmp_path / "block", np.dtype("f8"))
    block.write(np.float64(2.5))
    assert Block.attach(tmp_path / "block", np.dtype("f8")).read() == (1, 2.5)


def test_a_torn_value_is_never_seen_beside_a_writer_that_never_rests(tmp_path, writer):
    reader = Block.attach(tmp_path / "block", DTYPE)
    seen, last, end = 0, 0, time.monotonic() + 2
    while time.monotonic() < end:
        sequence, value = reader.read()
        assert (value["values"] == value["stamp"]).all()
        assert value["name"] == str(int(value["stamp"])).encode()
        assert sequence == int(value["stamp"]) >= last
        seen, last = seen + (sequence > last), sequence
    assert seen > 10


def test_the_last_value_of_a_killed_writer_stays(tmp_path, writer):
    reader = Block.attach(tmp_path / "block", DTYPE)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    _, value = reader.read()
    assert (value["values"] == value["stamp"]).all()
    assert (tmp_path / "block").exists()
    assert not reader.replaced()


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_writer_that_hangs_or_dies_within_a_write_leaves_the_value_before(tmp_path, written):
    block = Block.create(tmp_path / "block", DTYPE)
    for number in range(1, written + 1):
        block.write(record(number))
    block._values[(written + 1) % PLACES]["values"][:50] = -1.0  # as far as it came; it has not counted on
    sequence, value = Block.attach(tmp_path / "block", DTYPE).read()
    assert sequence == written
    assert (value["values"] == written).all()


def test_nothing_is_readable_of_a_first_write_that_was_not_finished(tmp_path):
    block = Block.create(tmp_path / "block", DTYPE)
    block._values[1]["values"][:50] = -1.0
    assert Block.attach(tmp_path / "block", DTYPE).read() is None


def test_a_new_writer_replaces_the_block(tmp_path):
    first = Block.create(tmp_path / "block", DTYPE)
    first.write(record(1))
    reader = Block.attach(tmp_path / "block", DTYPE)
    second = Block.create(tmp_path / "block", DTYPE)
    second.write(record(7))
    assert reader.replaced()
    assert int(reader.read()[1]["stamp"]) == 1  # readers of the former one keep its last value
    assert int(Block.attach(tmp_path / "block", DTYPE).read()[1]["stamp"]) == 7
    assert not second.replaced()


def test_a_former_writer_does_not_take_the_new_block_away(tmp_path):
    first = Block.create(tmp_path / "block", DTYPE)
    second = Block.create(tmp_path / "block", DTYPE)
    first.close(unlink=True)
    assert (tmp_path / "block").exists()
    second.close(unlink=True)
    assert list(tmp_path.iterdir()) == []
    second.close(unlink=True)


def test_a_block_that_is_gone_counts_as_replaced(tmp_path):
    block = Block.create(tmp_path / "block", DTYPE)
    (tmp_path / "block").unlink()
    assert block.replaced()


def test_a_missing_block_names_its_path(tmp_path):
    with pytest.raises(BlockError, match=r"no shared block .*nowhere.*not running"):
        Block.attach(tmp_path / "nowhere", DTYPE)


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 4096])
def test_a_foreign_file_is_another_layout(tmp_path, content):
    (tmp_path / "block").write_bytes(content)
    with pytest.raises(BlockError, match=r"another layout: stop every vla_ros process"):
        Block.attach(tmp_path / "block", DTYPE)


@pytest.mark.parametrize("other", [np.dtype("f8"), np.dtype([*DTYPE.descr[:2], ("other", "S16")])])
def test_another_dtype_is_another_layout(tmp_path, other):
    Block.create(tmp_path / "block", DTYPE)
    with pytest.raises(BlockError, match="another layout"):
        Block.attach(tmp_path / "block", other)


def test_a_folder_in_the_way_is_an_error_of_the_block(tmp_path):
    (tmp_path / "block").mkdir()
    with pytest.raises(BlockError, match="cannot open"):
        Block.attach(tmp_path / "block", DTYPE)
