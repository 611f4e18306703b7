"""Folders that change all at once."""

from pathlib import Path

import pytest

from vla_ros.folders import exchange, replacing

MARK = "manifest.yaml"


def filled(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def told(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_two_folders_change_places(tmp_path):
    a, b = filled(tmp_path / "a", x="of a"), filled(tmp_path / "b", x="of b")
    exchange(a, b)
    assert (told(a), told(b)) == ({"x": "of b"}, {"x": "of a"})


@pytest.mark.parametrize("there", [None, {}, {"manifest_yaml": "old", "graph": "old"}])
def test_the_new_takes_the_place_of_what_was_there(tmp_path, there):
    folder = tmp_path / "models" / "one"
    if there is not None:
        folder.parent.mkdir()
        filled(folder, **there)
    with replacing(folder, MARK) as fresh:
        assert fresh.name == "one"
        (fresh / MARK).write_text("new")
        if there is not None:
            assert told(folder) == {k.replace("_", "."): v for k, v in there.items()}
    assert told(folder) == {MARK: "new"}
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("there", [{}, {"manifest_yaml": "old"}])
def test_an_error_leaves_what_was_there_and_nothing_beside_it(tmp_path, there):
    folder = filled(tmp_path / "one", **there)

    def fail():
        with replacing(folder, MARK) as fresh:
            (fresh / MARK).write_text("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert told(folder) == {k.replace("_", "."): v for k, v in there.items()}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_another_kind_is_not_replaced(tmp_path):
    folder = filled(tmp_path / "home", diary="mine")
    with pytest.raises(FileExistsError, match=r"no manifest\.yaml: name a new folder"), replacing(folder, MARK):
        pytest.fail("nothing may be begun")
    assert told(folder) == {"diary": "mine"}
