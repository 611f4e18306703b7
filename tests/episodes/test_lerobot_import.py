"""Datasets of others become ours: under our names, whole, and only where they mean the same."""

import json

import numpy as np
import pytest

from vla_ros import cli
from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.lerobot_import import Wishes, imported
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.rows import ACTION_NAMES, STATE_NAMES
from vla_ros.episodes.scribe import NOTES

from .bars import coded, decoded

TOP, HAND = "observation.images.top", "observation.images.hand"
STATIC, WRIST = "observation.images.static", "observation.images.wrist"
THEIRS = {
    TOP: ("video", (60, 80, 3), None, "yuv420p"),
    HAND: ("video", (60, 80, 3), None, "yuv420p"),
    "observation.state": ("float32", (8,), STATE_NAMES),
    "action": ("float32", (7,), ACTION_NAMES),
    "effort": ("float32", (6,)),
}
NAMES = {TOP: STATIC, HAND: WRIST}
WISHES = Wishes(NAMES)


def written(path, *lengths, features=THEIRS, fps=10, robot="gen3"):
    """Pictures say the number of their frame, and so do all values."""
    number = 0
    with DatasetWriter(path, features, fps, robot) as writer:
        for length in lengths:
            writer.begin(f"task of {length}")
            for _ in range(length):
                images = {n: coded(number, f[1]) for n, f in features.items() if f[0] == "video"}
                values = {n: np.full(f[1], number, f[0]) for n, f in features.items() if f[0] != "video"}
                writer.add(images, values)
                number += 1
            writer.commit()
    return path


def change_info(path, **changes):
    info = json.loads((path / layout.INFO).read_text())
    (path / layout.INFO).write_text(json.dumps(info | changes))


def change_feature(path, name, **changes):
    info = json.loads((path / layout.INFO).read_text())
    info["features"][name] |= changes
    (path / layout.INFO).write_text(json.dumps(info))


def test_a_new_dataset_has_their_episodes_under_our_names(tmp_path):
    theirs = written(tmp_path / "theirs", 4, 3)
    (theirs / NOTES.format(1)).parent.mkdir()
    (theirs / NOTES.format(1)).write_text("of 1")
    assert imported(theirs, tmp_path / "ours", WISHES) == (2, ())
    ours = DatasetReader(tmp_path / "ours")
    assert [(e.length, e.task) for e in ours.episodes] == [(4, "task of 4"), (3, "task of 3")]
    assert ours.cameras == [STATIC, WRIST]
    assert [decoded(image) for k in (0, 1) for image in ours.video(k, WRIST)] == list(range(7))
    assert ours.column("effort").tolist() == [[k] * 6 for k in range(7)]
    assert ours.video_file(1, STATIC).read_bytes() == DatasetReader(theirs).video_file(1, TOP).read_bytes()
    assert (tmp_path / "ours" / NOTES.format(1)).read_text() == "of 1"
    assert ours.info["robot_type"] == "gen3"


def test_a_dataset_that_is_there_gets_its_columns_and_its_form_of_videos(tmp_path):
    kept = {STATIC: ("video", (60, 80, 3)), "action": THEIRS["action"]}
    written(tmp_path / "ours", 2, features=kept, robot="kinova")
    theirs = written(tmp_path / "theirs", 4)
    done = imported(theirs, tmp_path / "ours", Wishes({TOP: STATIC}, robot="kinova"))
    assert done == (1, ("effort", HAND, "observation.state"))
    ours = DatasetReader(tmp_path / "ours")
    assert [e.length for e in ours.episodes] == [2, 4]
    assert [decoded(image) for image in ours.video(1, STATIC)] == list(range(4))
    assert ours.info["features"][STATIC]["info"]["video.pix_fmt"] == "yuv444p"
    written(tmp_path / "ours", 1, features=kept, robot="kinova")
    assert len(DatasetReader(tmp_path / "ours").episodes) == 3


def test_names_as_lerobot_may_have_them_are_understood(tmp_path):
    theirs = written(tmp_path / "theirs", 3)
    change_feature(theirs, "action", names={"motors": list(ACTION_NAMES)})
    change_feature(theirs, "observation.state", names=None)
    imported(theirs, tmp_path / "ours", WISHES)
    features = DatasetReader(tmp_path / "ours").info["features"]
    assert features["action"]["names"] == list(ACTION_NAMES)
    assert features["observation.state"]["names"] == list(STATE_NAMES)


@pytest.mark.parametrize(
    ("damage", "wishes", "says"),
    [
        (lambda path: None, Wishes({"observation.images.left": STATIC}), "no column 'observation.images.left' to rename: it has obs"),
        (lambda path: None, Wishes({TOP: STATIC, HAND: STATIC}), "two columns .* would be 'observation.images.static'"),
        (lambda path: change_feature(path, "action", names=list("abcdefg")), WISHES, "holds a, b, .*--trust-names; .*action=their"),
        (lambda path: change_feature(path, TOP, dtype="image"), WISHES, "stored as single pictures.*convert_image_to_video"),
        (lambda path: change_info(path, robot_type=None), WISHES, "--robot"),
        (lambda path: change_info(path, fps=29.97), WISHES, "no whole number"),
        (lambda path: change_info(path, codebase_version="v2.1"), WISHES, "v3.0 is needed"),
    ],
)  # fmt: skip
def test_what_cannot_be_ours_is_refused_with_what_to_do(tmp_path, damage, wishes, says):
    theirs = written(tmp_path / "theirs", 3)
    damage(theirs)
    with pytest.raises(DatasetError, match=says):
        imported(theirs, tmp_path / "ours", wishes)
    assert not (tmp_path / "ours").exists()


def test_a_state_of_other_numbers_is_kept_under_another_name(tmp_path):
    features = THEIRS | {"observation.state": ("float32", (6,), tuple("abcdef"))}
    theirs = written(tmp_path / "theirs", 3, features=features)
    with pytest.raises(
        DatasetError, match=r"has 6 numbers, and ours are x, y, .*--column observation.state=their.state"
    ):
        imported(theirs, tmp_path / "ours", WISHES)
    imported(theirs, tmp_path / "ours", Wishes(NAMES | {"observation.state": "their.state"}))
    assert DatasetReader(tmp_path / "ours").column("their.state").shape == (3, 6)


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({"fps": 30}, "10 frames a second and .* has 30: .*Import into a dataset of its own"),
        ({"robot": "ur5"}, "is of the robot 'gen3' and .* of 'ur5': .*--robot ur5"),
        ({"features": THEIRS}, "lacks observation.images.top, observation.images.hand, .* rename with --camera"),
        ({"features": {STATIC: ("video", (60, 90, 3))} | {k: THEIRS[k] for k in ("action",)}}, r"\(60, 80, 3\), and .* \(60, 90, 3\)"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_the_dataset_that_is_there_is_refused(tmp_path, there, says):
    given = {"features": {NAMES.get(name, name): feature for name, feature in THEIRS.items()}} | there
    ours = written(tmp_path / "ours", 2, **given)
    before = {path: path.read_bytes() for path in ours.rglob("*") if path.is_file()}
    with pytest.raises(DatasetError, match=says):
        imported(written(tmp_path / "theirs", 3), ours, WISHES)
    assert {path: path.read_bytes() for path in ours.rglob("*") if path.is_file()} == before


def test_a_number_that_is_none_stops_the_import_before_its_episode(tmp_path):
    theirs = tmp_path / "theirs"
    written(theirs, 4, 3)
    reader = DatasetReader(theirs)
    whole = reader.column("effort").copy()
    whole[5] = np.nan
    _replace(theirs / "data/chunk-000/file-001.parquet", "effort", whole[4:])
    with pytest.raises(DatasetError, match="'effort' is not finite at frame 1"):
        imported(theirs, tmp_path / "ours", WISHES)
    assert [e.length for e in DatasetReader(tmp_path / "ours").episodes] == [4]


def _replace(path, name, values):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)


def test_the_command(tmp_path, capsys):
    theirs = str(written(tmp_path / "theirs", 3))
    words = ["episodes", "import", theirs, str(tmp_path / "ours"), "--format", "lerobot"]
    assert cli.main([*words, "--camera", "top"]) == 2
    assert "--camera top: give their name and ours" in capsys.readouterr().err
    words += ["--camera", f"{TOP}=static", "--camera", f"{HAND}={WRIST}", "--column", "effort=observation.effort"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'ours'}: 1 episodes appended\n"
    assert DatasetReader(tmp_path / "ours").cameras == [STATIC, WRIST]
    assert "observation.effort" in DatasetReader(tmp_path / "ours").info["features"]
    assert cli.main([*words, "--split", "val"]) == 2
    assert "--split is not for --format lerobot" in capsys.readouterr().err
