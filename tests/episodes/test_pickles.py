"""Files that others made may hold arrays and plain values; a program in one is named, and does not run."""

import io
import os
import pickle

import numpy as np
import pytest

from vla_ros import cli
from vla_ros.episodes.calvin import LANGUAGE
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.pickles import unpickled

WORDS = {
    "language": {"ann": ["lift it", "turn"], "task": ["lift", "turn"], "emb": np.arange(6, dtype=np.float32).reshape(2, 1, 3)},
    "info": {"indx": [(np.int64(0), np.int64(3)), (4, 9)], "episodes": set(), "empty": None, "name": np.str_("a")},
}  # fmt: skip


class Program:
    """Unpickling it calls a function."""

    def __init__(self, function, *words):
        self._made = function, words

    def __reduce__(self):
        return self._made


def plant(path, content, protocol):
    """What np.save writes, in a chosen protocol of pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.empty((), dtype=object)
    array[()] = content
    with path.open("wb") as file:
        head = io.BytesIO()
        np.save(head, array, allow_pickle=True)
        length = 10 + int.from_bytes(head.getvalue()[8:10], "little")
        file.write(head.getvalue()[:length] + pickle.dumps(array, protocol=protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_calvin_writes_is_read(tmp_path, protocol):
    plant(tmp_path / "words.npy", WORDS, protocol)
    got = unpickled(tmp_path / "words.npy").item()
    assert got["language"]["ann"] == ["lift it", "turn"]
    assert np.array_equal(got["language"]["emb"], WORDS["language"]["emb"])
    assert got["info"] == WORDS["info"]


def test_a_file_of_the_other_numpy_is_read(tmp_path):
    plant(tmp_path / "words.npy", WORDS, 2)
    data = (tmp_path / "words.npy").read_bytes()
    other = (
        data.replace(b"numpy._core.", b"numpy.core.")
        if hasattr(np, "_core")
        else data.replace(b"numpy.core.", b"numpy._core.")
    )
    assert other != data
    (tmp_path / "words.npy").write_bytes(other)
    assert unpickled(tmp_path / "words.npy").item()["language"]["ann"] == ["lift it", "turn"]


def test_an_array_of_numbers_is_read(tmp_path):
    np.save(tmp_path / "ids.npy", np.arange(4))
    assert unpickled(tmp_path / "ids.npy").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("function", "named"),
    [
        (os.system, r"(posix|nt)\.system"),
        (eval, r"(builtins|__builtin__)\.eval"),
        (getattr, r"(builtins|__builtin__)\.getattr"),
        (np.load, r"numpy\.load"),
        (np.lib.npyio.NpzFile, r"numpy\.\S+NpzFile"),
    ],
)
def test_a_program_is_named_and_does_not_run(tmp_path, protocol, function, named):
    plant(tmp_path / "words.npy", {"language": Program(function, f"touch {tmp_path / 'ran'}")}, protocol)
    with pytest.raises(DatasetError, match=f"holds {named}.*could run a program"):
        unpickled(tmp_path / "words.npy")
    assert not (tmp_path / "ran").exists()


def test_bytes_are_not_unpacked(tmp_path):
    plant(tmp_path / "words.npy", Program(__import__("codecs").encode, "aa", "zip"), 4)
    with pytest.raises(DatasetError, match="bytes in 'zip'"):
        unpickled(tmp_path / "words.npy")


@pytest.mark.parametrize("data", [b"", b"no array", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x09\x00\x00\x00"])
def test_what_is_no_array_is_named(tmp_path, data):
    (tmp_path / "words.npy").write_bytes(data)
    with pytest.raises(DatasetError, match=r"words\.npy cannot be read"):
        unpickled(tmp_path / "words.npy")


def test_half_a_file_is_named(tmp_path):
    plant(tmp_path / "words.npy", WORDS, 5)
    (tmp_path / "words.npy").write_bytes((tmp_path / "words.npy").read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"words\.npy cannot be read"):
        unpickled(tmp_path / "words.npy")


def test_an_import_refuses_a_program_and_makes_no_dataset(tmp_path, capsys):
    plant(tmp_path / "calvin" / LANGUAGE, Program(os.system, f"touch {tmp_path / 'ran'}"), 3)
    words = ["episodes", "import", str(tmp_path / "calvin"), str(tmp_path / "data"), "--format", "calvin"]
    assert cli.main(words) == 2
    assert "system, which is no array" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "data").exists()
