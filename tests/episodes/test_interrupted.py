"""What is left of a take: whatever byte its log ends at, all that was written before is in a whole file afterwards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.cli import main
from vla_ros.episodes import layout
from vla_ros.episodes.interrupted import left, messages, recover
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lock import Lock

from .recordings import record

mcap_reader = pytest.importorskip("mcap.reader")
mcap_writer = pytest.importorskip("mcap.writer")

FLUSHED = 10
"""Messages between two flushes, as a recorder makes them by the clock."""


def log(path, count):
    """A log of two topics as the recorder writes it, not finished; where it was flushed: (bytes, messages)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flushed = []
    with path.open("wb") as file:
        writer = mcap_writer.Writer(file, chunk_size=1 << 20, compression=mcap_writer.CompressionType.LZ4)
        writer.start(profile="ros2", library="vla_ros")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
        channels = [writer.register_channel(topic, "cdr", schema) for topic in ("/a", "/b")]
        for k in range(count):
            writer.add_message(channels[k % 2], 10**18 + k * 10**7, f"message {k}".encode() * 5, 10**18 + k * 10**7)
            if (k + 1) % FLUSHED == 0:
                writer.flush()
                file.flush()
                flushed.append((file.tell(), k + 1))
    return flushed


def read(path):
    """Messages of a file that is whole: its summary and index are read first."""
    with path.open("rb") as file:
        reader = mcap_reader.make_reader(file)
        assert reader.get_summary() is not None
        return [(channel.topic, message.log_time, message.data) for _, channel, message in reader.iter_messages()]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    record(folder / "data", 3)
    flushed = log(folder / "whole.mcap", 55)
    return folder, (folder / "whole.mcap").read_bytes(), flushed


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.0, 1.0), garbage=st.binary(max_size=40))
def test_a_log_cut_anywhere_is_whole_again_with_all_that_had_been_flushed(sound, share, garbage):
    folder, content, flushed = sound
    end = round(share * len(content))
    path = folder / "data" / "mcap" / "take-0123456789abcdef.mcap"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content[:end] + garbage)
    [found] = recover(folder / "data")
    sure = max((count for position, count in flushed if position <= end), default=0)
    if not sure:
        assert found.path is None or found.messages
        path.unlink(missing_ok=True)
        return
    assert left(folder / "data") == []
    got = read(found.path)
    assert len(got) == found.messages >= sure
    assert got[:sure] == [(f"/{'ab'[k % 2]}", 10**18 + k * 10**7, f"message {k}".encode() * 5) for k in range(sure)]
    assert found.seconds == pytest.approx((len(got) - 1) * 0.01)
    found.path.unlink()


def test_what_is_being_written_is_no_interrupted_take(tmp_path):
    record(tmp_path / "data", 3)
    log(tmp_path / "data" / "mcap" / "take-00.mcap", 20)
    lock = Lock(tmp_path / "data" / layout.SCRATCH)
    with pytest.raises(DatasetError, match="another writer"):
        recover(tmp_path / "data")
    lock.release()
    assert len(left(tmp_path / "data")) == 1


def test_the_command_says_what_it_found(tmp_path, capsys):
    record(tmp_path / "data", 3)
    assert main(["episodes", "recover", str(tmp_path / "data")]) == 0
    assert "no interrupted take" in capsys.readouterr().out
    path = tmp_path / "data" / "mcap" / "take-00.mcap"
    log(path, 25)
    path.with_name("take-01.mcap").write_bytes(b"")
    assert main(["episodes", "list", str(tmp_path / "data")]) == 0
    assert "2 logs of takes that are under way or were interrupted" in capsys.readouterr().out
    assert main(["episodes", "recover", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().out
    assert "20 messages of 2 topics, 0.2 s" in said
    assert "take-01.mcap: no message can be read" in said
    assert main(["episodes", "recover", str(tmp_path / "none")]) == 2
    assert "info.json" in capsys.readouterr().err


def test_messages_of_a_whole_file_are_all_of_it(tmp_path):
    log(tmp_path / "a.mcap", 20)
    assert len(list(messages(tmp_path / "a.mcap"))) == 20
