"""Recorded observations become the inputs that the service would make of them."""

import numpy as np
import pytest

pytest.importorskip("mujoco")
pytest.importorskip("av")

from tests.episodes.recordings import STATIC, table
from tests.networks.datasets import dataset
from vla_ros.config import load
from vla_ros.episodes.layout import DatasetError
from vla_ros.networks.recorded import (
    CLIP,
    Observer,
    from_dataset,
    from_twin,
    joined,
    part,
    spread,
    twin_config,
)
from vla_ros.policy.manifest import BundleError, load_manifest
from vla_ros.policy.policy import find_bundle

DEMO = find_bundle("demo")
MANIFEST = load_manifest(DEMO)


@pytest.fixture
def observer():
    return Observer(DEMO, MANIFEST, load())


def test_clips_are_spread_over_a_dataset(tmp_path, observer):
    recorded = from_dataset(dataset(tmp_path / "demos", [6, 7, 8, 9]), observer, 6)
    assert len(recorded) == 6
    states = [frame["robot_state"][0, 0] for _, frame in joined(recorded)]
    assert states == [0, 1, 2, 205, 206, 207]  # the beginning of the first, the end of the third
    assert [begins for begins, _ in joined(recorded)] == [True, False, False, True, False, False]
    frame = recorded.clips[1].frames[0]
    wanted = {tensor.name: tensor for tensor in MANIFEST.graphs["encode"].inputs}
    assert set(frame) == set(wanted)
    for name, values in frame.items():
        assert values.shape == wanted[name].shape
        assert values.dtype == wanted[name].dtype
    error = np.abs(frame["static"][0].astype(int) - table(STATIC, 5)[0]).mean()
    assert error < 3  # a video's loss
    assert frame["text_mask"].sum() == 5
    assert recorded.source == "demos, episodes 0, 2"


def test_a_faster_recording_is_taken_at_the_stride_of_training(tmp_path, observer):
    recorded = from_dataset(dataset(tmp_path / "fast", [12], fps=20), observer, 8)
    states = [frame["robot_state"][0, 0] for frame in recorded.clips[0].frames]
    assert states == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": "abcdefgh"}, "observation.state has"),
        ({"task": "juggle the red cube"}, "does not know 'juggle'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, observer, changes, said):
    with pytest.raises((DatasetError, BundleError), match=said) as raised:
        from_dataset(dataset(tmp_path / "other", [4, 4], **changes), observer, 4)
    assert str(tmp_path / "other") in str(raised.value)


def test_images_of_other_cameras_are_refused(tmp_path):
    config = load(overrides=["cameras.static.binning=2"])
    with pytest.raises(BundleError, match=r"episode 0: camera static"):
        from_dataset(dataset(tmp_path / "small", [4, 4]), Observer(DEMO, MANIFEST, config), 4)


def test_a_camera_that_is_not_there_is_named():
    config = load()
    with pytest.raises(BundleError, match=r"cameras\.static"):
        Observer(DEMO, MANIFEST, config.model_copy(update={"cameras": {"wrist": config.cameras["wrist"]}}))


def test_the_twin_shows_what_the_policy_wants_to_see():
    config = twin_config(load(overrides=["cameras.static.binning=2"]), MANIFEST)
    recorded = from_twin(Observer(DEMO, MANIFEST, config), config, 4)
    assert [len(clip.frames) for clip in recorded.clips] == [2, 2]
    first, second = (clip.frames[0] for clip in recorded.clips)
    assert first["static"].shape == (1, 80, 120, 3)
    assert np.abs(first["static"].astype(int) - second["static"]).mean() > 1  # another scene
    assert recorded.clips[0].frames[0]["robot_state"][0, 2] > 0  # above the table


def test_lengths_and_places():
    assert spread(40) == [20, 20]
    assert spread(3) == [2, 1]
    assert sum(spread(101)) == 101
    assert max(spread(101)) <= CLIP
    with pytest.raises(ValueError, match="at least 2"):
        spread(1)
    assert part(range(10), 4, 0, 3) == range(4)
    assert part(range(10), 4, 1, 3) == range(3, 7)
    assert part(range(10), 4, 2, 3) == range(6, 10)
    assert part(range(3), 4, 1, 3) == range(3)
