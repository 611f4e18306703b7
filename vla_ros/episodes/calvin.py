"""To and from the folders of CALVIN (Mees et al. 2022, dataset/README.md of mees/calvin): an npz for each step, and language beside.

    episode_0000123.npz    rgb_static 200×200, rgb_gripper 84×84, actions (7,), rel_actions (7,), robot_obs (15,), scene_obs (24,)
    ep_start_end_ids.npy   first and last step of each episode, (n, 2)
    lang_annotations/auto_lang_ann.npy   {language: {ann, task}, info: {indx}}

Euler angles are xyz about fixed axes, rad; the gripper is +1 open, -1 closed. rel_actions are the way to the next step, 50 per m and
20 per rad, clipped to ±1. `robot_obs` is pose, opening width, joints, gripper action. What a recording does not know is left out:
language embeddings (`emb`); `scene_obs` is zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from vla_ros import geometry
from vla_ros.episodes.layout import DatasetError, Feature
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.new_folder import new_folder
from vla_ros.episodes.pickles import unpickled
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.replay import track
from vla_ros.episodes.rows import ACTION_NAMES, IMAGES, STATE_NAMES, achieved
from vla_ros.geometry import Array, Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.values import Image

STEP, IDS, LANGUAGE = "episode_{:07d}.npz", "ep_start_end_ids.npy", "lang_annotations/auto_lang_ann.npy"
SIZES = {"rgb_static": (200, 200), "rgb_gripper": (84, 84)}
CAMERAS = {"rgb_static": "static", "rgb_gripper": "wrist"}
POSITION, ORIENTATION = 50.0, 20.0
"""Of rel_actions, per m and per rad."""
WIDTH = 0.08
"""m between the Panda's fingers when open, of robot_obs[6]."""
JOINTS, SCENE = 7, 24
FPS = 30
"""CALVIN's own rate."""


def export(source: str | Path, output: str | Path) -> int:
    """Write a recorded dataset as CALVIN's folder. Pictures are brought to its sizes, wholly. Returns the number of steps.

    Raises DatasetError where the cameras or tool poses are missing, or `output` is there already.
    """
    reader, output = DatasetReader(source), Path(output)
    missing = [name for name in CAMERAS.values() if f"{IMAGES}{name}" not in reader.cameras]
    if missing:
        raise DatasetError(f"{reader.path} has no camera {' and '.join(missing)}, which CALVIN wants")
    spans = [(e.start, e.start + e.length - 1) for e in reader.episodes]
    with new_folder(output) as folder:
        (folder / LANGUAGE).parent.mkdir()
        for episode in reader.episodes:
            for k, step in enumerate(_steps(reader, episode.index)):
                np.savez_compressed(folder / STEP.format(episode.start + k), **step)
        np.save(folder / IDS, np.array(spans, dtype=np.int64).reshape(-1, 2))
        texts = [episode.task for episode in reader.episodes]
        words = {
            "language": {"ann": texts, "task": [text.replace(" ", "_") for text in texts]},
            "info": {"indx": spans},
        }
        np.save(folder / LANGUAGE, np.array(words, dtype=object), allow_pickle=True)
    return int(reader.info["total_frames"])


def _steps(reader: DatasetReader, index: int) -> Iterator[dict[str, Any]]:
    way, episode = track(reader, index), reader.episodes[index]
    films = zip(*(reader.frames(index, f"{IMAGES}{name}") for name in CAMERAS.values()), strict=True)
    span = slice(episode.start, episode.start + episode.length)
    measured = reader.column("observation.state")[span, 6]
    known = "observation.joints" in reader.info["features"]
    joints = reader.column("observation.joints")[span] if known else np.zeros((episode.length, JOINTS))
    angles = euler(way.quaternions)
    for k, seen in enumerate(films):
        after = min(k + 1, episode.length - 1)
        told, gripper = (1.0 if way.grippers[i] < 0.5 else -1.0 for i in (k, after))
        here, there = (Pose(way.positions[i], way.quaternions[i]) for i in (k, after))
        pictures: dict[str, Any] = {key: resized(image, SIZES[key]) for key, image in zip(CAMERAS, seen, strict=True)}
        width = WIDTH * (1.0 - float(measured[k]))
        yield pictures | {
            "actions": np.array([*there.position, *angles[after], gripper]),
            "rel_actions": relative(here, there, gripper),
            "robot_obs": np.array([*here.position, *angles[k], width, *joints[k], told]),
            "scene_obs": np.zeros(SCENE),
        }


def relative(here: Pose, there: Pose, gripper: float) -> Array:
    """rel_actions (7,): the way and the turn to the next step, scaled and clipped."""
    way = POSITION * (there.position - here.position)
    turn = ORIENTATION * (euler(there.quaternion[None])[0] - euler(here.quaternion[None])[0])
    turn = (turn / ORIENTATION + np.pi) % (2 * np.pi) - np.pi
    return np.array([*np.clip(way, -1.0, 1.0), *np.clip(ORIENTATION * turn, -1.0, 1.0), gripper])


def euler(quaternions: Array) -> Array:
    """Angles (n, 3) about the fixed axes x, y, z of unit quaternions (n, 4) xyzw, rad."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_quat(quaternions).as_euler("xyz"))


def resized(image: Image, size: tuple[int, int]) -> Image:
    """The whole picture at another size (height, width)."""
    return np.asarray(Picture.fromarray(image).resize((size[1], size[0]), Picture.Resampling.BILINEAR))


def features() -> dict[str, Feature]:
    """Columns of a dataset that was imported."""
    videos = {f"{IMAGES}{CAMERAS[key]}": Feature("video", (*size, 3)) for key, size in SIZES.items()}
    return videos | {
        "observation.state": Feature("float32", (8,), STATE_NAMES),
        "observation.joints": Feature("float32", (JOINTS,)),
        "action": Feature("float32", (7,), ACTION_NAMES),
    }


def imported(source: str | Path, output: str | Path, fps: int = FPS) -> int:
    """Append CALVIN's annotated segments to a dataset of the robot "panda". Returns their number.

    Raises DatasetError where the source has no annotations, or lacks a step.
    """
    source = Path(source)
    texts, spans = _language(source)
    with DatasetWriter(output, features(), fps, "panda") as writer:
        for text, (first, last) in zip(texts, spans, strict=True):
            steps = [_read(source / STEP.format(number)) for number in range(int(first), int(last) + 1)]
            writer.begin(text)
            for here, there in zip(steps, [*steps[1:], steps[-1]], strict=True):
                writer.add(*_row(here, there))
            writer.commit()
    return len(texts)


def _language(source: Path) -> tuple[list[str], list[tuple[int, int]]]:
    if not (source / LANGUAGE).is_file():
        raise DatasetError(f"{source} has no {LANGUAGE}; is it a folder of CALVIN?")
    try:
        words = unpickled(source / LANGUAGE).item()
        return list(words["language"]["ann"]), list(words["info"]["indx"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{source / LANGUAGE} is not of CALVIN: {error!r}") from error


def _read(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as step:
            return {name: step[name] for name in (*SIZES, "robot_obs")}
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{path} cannot be read: {error!r}") from error


def _row(here: dict[str, Array], there: dict[str, Array]) -> tuple[dict[str, Image], dict[str, Any]]:
    images = {f"{IMAGES}{CAMERAS[key]}": here[key].astype(np.uint8) for key in SIZES}
    pose, robot = _pose(here["robot_obs"]), here["robot_obs"]
    closed = float(np.clip(1.0 - robot[6] / WIDTH, 0.0, 1.0))
    command = float(robot[14] < 0)
    off = geometry.difference(pose.quaternion, TOOL_DOWN)
    state = np.array([*pose.position, *off, closed, command])
    action = achieved(pose, _pose(there["robot_obs"]), float(there["robot_obs"][14] < 0))
    return images, {"observation.state": state, "observation.joints": robot[7:14], "action": action}


def _pose(robot: Array) -> Pose:
    from scipy.spatial.transform import Rotation

    return Pose(np.asarray(robot[:3], np.float64), np.asarray(Rotation.from_euler("xyz", robot[3:6]).as_quat()))
