"""Depth beside the videos: kept to the millimetre, row by row, and with its episode whatever becomes of that."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from vla_ros import cli
from vla_ros.clock import SECOND
from vla_ros.config import ConfigError, load
from vla_ros.episodes import layout, rows
from vla_ros.episodes.check import check
from vla_ros.episodes.depth import from_metres
from vla_ros.episodes.edit import cut, rewrite, select
from vla_ros.episodes.ffv1 import DepthEncoder, Packer, pictures
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.memory import Memory
from vla_ros.episodes.merge import merge
from vla_ros.episodes.parts import Part
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.recorder import Begin, Commit, Discard, End, Keep
from vla_ros.episodes.scribe import Scribe

from .bars import decoded
from .test_kills import dies_at, killed
from .test_scribe import FPS, sample

CONFIG = load("twin", overrides=["cameras.wrist.depth=true", "record.depth=true"])
SHAPE = rows.features(CONFIG)["observation.depth.wrist"].shape
KEY = "observation.depth.wrist"


def surface(number):
    """Depth that names its number in every pixel, with the whole range of 16 bits in it and holes."""
    depth = (np.arange(SHAPE[0] * SHAPE[1], dtype=np.int64).reshape(SHAPE) * 7919 + number * 31) % 65536
    depth[::7, ::5] = 0
    return depth.astype(np.uint16)


def seen(number, **given):
    """A sample with the depth of its number, 2 ms older than its colour."""
    one = sample(number, **given)
    stamps = {"wrist": one.stamps["wrist"] - 2_000_000}
    return rows.Sample(**{**vars(one), "depths": {"wrist": surface(number)}, "depth_stamps": stamps})


@pytest.fixture
def desk(tmp_path):
    """A scribe of a dataset with depth, driven in this thread."""
    writer = DatasetWriter(tmp_path / "data", rows.features(CONFIG), FPS, CONFIG.robot)
    made = Scribe(writer, tmp_path / "data", FPS, Memory(30 * SECOND, 10**8))
    yield made
    made.close()


def record(desk, numbers, last=Commit(True)):
    desk.do(Begin("pick up the red cube"))
    for number in numbers:
        desk.put(seen(number))
    desk.do(End())
    desk.do(last)


def shown(reader, episode):
    """Which numbers the rows of an episode show: in colour, which is coded with loss, and in depth, which must be exact."""
    colour = [decoded(image) for image in reader.frames(episode, "observation.images.wrist")]
    assert all(
        np.array_equal(depth, surface(number)) for number, depth in zip(colour, reader.depth(episode, KEY), strict=True)
    )
    return colour


@given(st.floats(allow_nan=True, allow_infinity=True, width=32))
def test_metres_become_whole_millimetres_or_unknown(metres):
    got = int(from_metres(np.full((1, 1), metres, np.float32))[0, 0])
    if 0.0006 < metres < 65.535:
        assert abs(got - np.float32(metres) * 1000.0) <= 0.5 + 1e-3
    elif not 0.0004 < metres < 65.536:
        assert got == 0


def test_a_film_of_depth_is_exact(tmp_path):
    noise = np.random.default_rng(5).integers(0, 65536, (9, 48, 64)).astype(np.uint16)
    encoder = DepthEncoder(tmp_path / "depth.mkv", (48, 64), 30)
    for depth in noise:
        encoder.add(depth)
    encoder.close()
    assert np.array_equal(np.stack(list(pictures(tmp_path / "depth.mkv"))), noise)


def test_single_pictures_are_packed_exactly_and_in_any_order():
    packer, noise = Packer((48, 64)), np.random.default_rng(5).integers(0, 65536, (4, 48, 64)).astype(np.uint16)
    kept = [packer.pack(depth) for depth in noise]
    assert all(np.array_equal(packer.unpack(kept[k]), noise[k]) for k in (2, 0, 3, 1, 2))


def test_depth_goes_with_its_row_also_where_frames_are_missing(desk, tmp_path):
    record(desk, [0, 1, 2, 5, 6])
    reader = DatasetReader(tmp_path / "data")
    assert reader.depths == {KEY: SHAPE}
    assert shown(reader, 0) == [0, 1, 2, 2, 2, 5, 6]
    stamps = reader.column("observation.stamp_ns.depth.wrist")[:, 0]
    assert np.array_equal(stamps, reader.column("observation.stamp_ns.wrist")[:, 0] - 2_000_000)
    ages = reader.column("observation.age_ms.depth.wrist") - reader.column("observation.age_ms.wrist")
    np.testing.assert_allclose(ages, 2.0, atol=1e-3)
    assert reader.depth_file(0, KEY) == tmp_path / "data/depth" / KEY / "chunk-000/file-000.mkv"
    assert check(reader) == [f for f in check(reader) if "depth" not in f.text]


def test_what_is_remembered_keeps_its_depth(desk, tmp_path):
    for number in range(8):
        desk.put(seen(number))
    desk.do(Keep("it went well", 0))
    desk.do(Commit(True))
    assert shown(DatasetReader(tmp_path / "data"), 0) == list(range(8))


def test_depth_is_part_of_what_memory_may_take():
    with_depth, without = Memory(30 * SECOND, 10**8), Memory(30 * SECOND, 10**8)
    with_depth.put(seen(1))
    without.put(sample(1))
    assert with_depth.bytes > without.bytes + SHAPE[0] * SHAPE[1] / 2


def test_a_discarded_take_leaves_no_depth(desk, tmp_path):
    record(desk, range(3), last=Discard())
    record(desk, range(10, 14))
    assert shown(DatasetReader(tmp_path / "data"), 0) == [10, 11, 12, 13]
    assert len(list(tmp_path.glob("data/**/*.mkv"))) == 1


def test_depth_of_a_commit_that_did_not_reach_info_is_pruned(desk, tmp_path):
    record(desk, range(4))
    before = (tmp_path / "data" / layout.INFO).read_bytes()
    record(desk, range(20, 25))
    (tmp_path / "data" / layout.INFO).write_bytes(before)
    desk.close()
    with DatasetWriter(tmp_path / "data", rows.features(CONFIG), FPS, CONFIG.robot):
        assert [path.name for path in tmp_path.glob("data/**/*.mkv")] == ["file-000.mkv"]


def test_a_kill_at_any_step_of_a_commit_costs_at_most_its_episode_and_its_depth(tmp_path, monkeypatch):
    data, episodes, step = tmp_path / "data", 0, 0

    def append(first):
        writer = DatasetWriter(data, rows.features(CONFIG), FPS, CONFIG.robot)
        made = Scribe(writer, data, FPS, Memory(0, 1))
        record(made, range(10 * first, 10 * first + 3))
        made.close()

    while True:

        def dying(at=step, first=episodes):
            dies_at(at, monkeypatch, data)
            append(first)

        if not killed(dying):
            break
        step += 1
        if (data / layout.INFO).exists():
            episodes = len(DatasetReader(data).episodes)
    reader = DatasetReader(data)
    assert step > 15
    assert len(reader.episodes) == episodes + 1
    assert [shown(reader, k) for k in range(episodes + 1)] == [
        [10 * k, 10 * k + 1, 10 * k + 2] for k in range(episodes + 1)
    ]
    assert len(list(data.glob("**/*.mkv"))) == episodes + 1, "what the killed ones left is gone"


def test_trim_delete_and_merge_take_depth_along(desk, tmp_path):
    for first, count in ((0, 6), (100, 8), (200, 5)):
        record(desk, range(first, first + count))
    desk.close()
    data = tmp_path / "data"
    rewrite(data, cut(DatasetReader(data), 1, 2, 6))
    assert [shown(DatasetReader(data), k) for k in (0, 1)] == [list(range(6)), [102, 103, 104, 105]]
    select(data, tmp_path / "less", [Part(2, 0, 5), Part(1, 0, 4)])
    merge([tmp_path / "less", data], tmp_path / "all")
    both = DatasetReader(tmp_path / "all")
    assert [shown(both, k)[0] for k in range(5)] == [200, 102, 0, 102, 200]
    assert [len(shown(both, k)) for k in range(5)] == [5, 4, 6, 4, 5]


def test_datasets_with_and_without_depth_are_kept_apart(desk, tmp_path):
    record(desk, range(3))
    desk.close()
    plain = load("twin")
    with pytest.raises(DatasetError, match=r"features differ: observation\.age_ms\.depth\.wrist"):
        DatasetWriter(tmp_path / "data", rows.features(plain), FPS, plain.robot)
    without = {name: feature for name, feature in rows.features(CONFIG).items() if not feature.is_depth}
    with pytest.raises(DatasetError, match=r"observation\.depth\.wrist is 80×60 there and missing here"):
        DatasetWriter(tmp_path / "data", without, FPS, CONFIG.robot)
    DatasetWriter(tmp_path / "other", without, FPS, CONFIG.robot).close()
    with pytest.raises(DatasetError, match="is missing there and 80×60 here"):
        DatasetWriter(tmp_path / "other", rows.features(CONFIG), FPS, CONFIG.robot)


def test_depth_of_another_form_is_refused(tmp_path):
    with DatasetWriter(tmp_path, {"d": ("depth", (4, 6)), "x": ("float32", (1,))}, 10, "robot") as writer:
        writer.begin("look")
        with pytest.raises(DatasetError, match=r"'d' is uint8 \(4, 6\) and should be uint16 \(4, 6\)"):
            writer.add({"d": np.zeros((4, 6), np.uint8)}, {"x": 0})


def test_damage_is_found(desk, tmp_path):
    record(desk, range(4))
    record(desk, range(4))
    reader = DatasetReader(tmp_path / "data")
    reader.depth_file(0, KEY).unlink()
    with pytest.raises(DatasetError, match=r"file-000\.mkv cannot be read"):
        list(reader.depth(0, KEY))
    path = reader.depth_file(1, KEY)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"file-001\.mkv (has|cannot be read)"):
        list(reader.depth(1, KEY))
    found = [finding for finding in check(reader) if finding.bad and ".mkv" in finding.text]
    assert [finding.episode for finding in found] == [0, 1]
    with pytest.raises(DatasetError, match="has no depth 'wrist', only"):
        next(reader.depth(0, "wrist"))
    (tmp_path / "data" / layout.DEPTH).write_text("{")
    with pytest.raises(DatasetError, match=r"depth\.json cannot be read"):
        _ = DatasetReader(tmp_path / "data").depths


def test_depth_is_on_the_contact_sheet(desk, tmp_path, capsys):
    record(desk, range(4))
    folder = tmp_path / "seen"
    assert cli.main(["episodes", "show", str(tmp_path / "data"), "0", "--output", str(folder)]) == 0
    sheet = np.asarray(Picture.open(capsys.readouterr().out.split()[0]))
    colour, depth = (band.std(axis=2).mean() for band in (sheet[-282:-147], sheet[-141:-6]))
    assert depth > 5 * colour, "the pictures of the test are grey, and depth is coloured"


def test_an_interrupted_beginning_is_begun_again(tmp_path):
    data = tmp_path / "data"
    layout.write_depth(data, {"observation.depth.left": (4, 4)})
    DatasetWriter(data, rows.features(CONFIG), FPS, CONFIG.robot).close()
    assert json.loads((data / layout.DEPTH).read_text())["cameras"] == {KEY: {"height": SHAPE[0], "width": SHAPE[1]}}


def test_depth_that_no_camera_delivers_is_refused():
    with pytest.raises(ConfigError, match=r"record\.depth: no camera delivers depth"):
        load("twin", overrides=["record.depth=true"])
    assert load("twin", overrides=["cameras.wrist.depth=true"]).depth_cameras == ()
