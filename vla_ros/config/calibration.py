"""A folder of calibrations as settings: intrinsics, camera poses, the table, latencies. What is of another camera is refused by name.

| file | what it is |
|---|---|
| NAME.yaml | camera_info, as ROS's camera_calibration_parsers writes and reads it; `serial` is ours |
| NAME_pose.yaml | the structure of easy_handeye2; `parameters.name` is the camera, and its serial behind a blank where it has one |
| table.yaml, latency.yaml | configuration, and nothing but what their commands write |

What was measured in the twin says so (a serial number `twin`, `measured: twin` in table.yaml), and is refused for anything real.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

POSE = "_pose"
TWIN = "twin"
"""Serial number of a simulated camera, and what `measured` of a table is that was touched in the twin."""
TYPES = {"eye_in_hand": "tool", "eye_on_base": "base"}
"""What easy_handeye2 calls a camera on the tool and one that stands, and the parent that they have here."""
BASE_FRAME, TOOL_FRAME, BOARD_FRAME = "base_link", "tool", "board"
MODELS = {"plumb_bob": 5, "rational_polynomial": 8}
_OURS = {
    "table": ("workspace.table",),
    "latency": ("cameras.*.latency", "servo.delay", "servo.gripper_delay", "servo.gain"),
}
"""Files that are configuration, and the settings that they may hold."""


class CalibrationFileError(Exception):
    """A calibration that cannot be used. The text names the file, what is wrong with it, and what to do."""


def optical_frame(name: str) -> str:
    """Frame id of a camera's optical frame."""
    return f"{name}_camera_optical_frame"


def overlay(folder: str | Path, cameras: Mapping[str, Any], twin: bool = False) -> dict[str, Any]:
    """The settings that the files of a folder amount to, nested as in a configuration; `cameras` are those of the configuration,
    `twin` tells whether its arm is the simulated one.

    Raises CalibrationFileError for a file that is damaged, unknown, of another camera, or of the twin where the cell is real.
    """
    path = Path(folder)
    if not path.is_dir():
        raise CalibrationFileError(f"--calibration {path} is no folder: name the one that `vla-ros calibrate` wrote")
    values: dict[str, Any] = {"cameras": {}}
    for file in sorted(path.glob("*.yaml")):
        _put(values, _settings(file, cameras, twin))
    return values if values["cameras"] else {k: v for k, v in values.items() if k != "cameras"}


def _put(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            _put(values.setdefault(key, {}), value)
        else:
            values[key] = value


def _settings(file: Path, cameras: Mapping[str, Any], twin: bool) -> dict[str, Any]:
    content = read(file)
    if file.stem in _OURS:
        if content.pop("measured", None) == TWIN and not twin:
            raise CalibrationFileError(
                f"{file} was measured in the twin, and this arm is a real one: calibrate this cell"
            )
        return _checked(file, content, _OURS[file.stem])
    name, reader = _reader(file.stem)
    if name not in cameras:
        known = ", ".join(cameras)
        raise CalibrationFileError(
            f"{file} is of camera {name!r}, the configuration has {known}: take the file away, or name the camera so"
        )
    return {"cameras": {name: reader(file, name, content, cameras[name])}}


def _reader(stem: str) -> tuple[str, Callable[[Path, str, Any, Mapping[str, Any]], dict[str, Any]]]:
    if stem.endswith(POSE):
        return stem.removesuffix(POSE), _pose
    return stem, _intrinsics


def read(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises CalibrationFileError."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationFileError(f"cannot read {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CalibrationFileError(f"{file} is damaged, it is not YAML: {error}; calibrate again") from None
    if not isinstance(content, dict):
        raise CalibrationFileError(f"{file} is damaged, it holds no mapping: calibrate again")
    return content


def _checked(file: Path, content: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """A piece of configuration that holds these settings only."""
    from fnmatch import fnmatchcase

    def leaves(values: Mapping[str, Any], prefix: str) -> list[str]:
        nested = [(f"{prefix}{k}", v) for k, v in values.items()]
        return [x for k, v in nested for x in (leaves(v, f"{k}.") if isinstance(v, Mapping) else [k])]

    for name in leaves(content, ""):
        if not any(fnmatchcase(name, pattern) for pattern in allowed):
            raise CalibrationFileError(
                f"{file} sets {name}: it may hold {', '.join(allowed)} only; use --config for others"
            )
    return dict(content)


def _intrinsics(file: Path, name: str, content: Any, camera: Mapping[str, Any]) -> dict[str, Any]:
    """fx, fy, cx, cy and distortion of a camera_info."""
    _same(file, "camera_name", content.get("camera_name"), name)
    _same_serial(file, content.get("serial"), camera)
    for key, ours in (("image_width", "width"), ("image_height", "height")):
        if content.get(key) != camera.get(ours):
            raise CalibrationFileError(
                f"{file}: {key} is {content.get(key)}, the configured camera {name!r} has {camera.get(ours)}: it is of another "
                "camera or another resolution; calibrate this one"
            )
    k = _matrix(file, content, "camera_matrix", 9)
    if min(k[0], k[4]) <= 0:
        raise CalibrationFileError(f"{file} is damaged: camera_matrix has focal lengths {k[0]:g} and {k[4]:g}")
    model = content.get("distortion_model")
    if model not in MODELS:
        raise CalibrationFileError(f"{file}: distortion_model {model!r} is none of {', '.join(MODELS)}")
    bent = _matrix(file, content, "distortion_coefficients", MODELS[model])
    return {"fx": k[0], "fy": k[4], "cx": k[2], "cy": k[5], "distortion": bent if any(bent) else []}


def _pose(file: Path, name: str, content: Any, camera: Mapping[str, Any]) -> dict[str, Any]:
    """position and quaternion of the optical frame."""
    said = _part(file, content, "parameters")
    own, _, serial = str(said.get("name", "")).partition(" ")
    _same(file, "parameters.name", own, name)
    _same_serial(file, serial, camera)
    kind = said.get("calibration_type")
    if TYPES.get(str(kind)) != camera.get("parent", "base"):
        raise CalibrationFileError(
            f"{file}: calibration_type is {kind!r}, the configured camera {name!r} is fixed to the {camera.get('parent', 'base')}: "
            f"known are {', '.join(TYPES)}; calibrate this one"
        )
    for key, frame in frames(name).items():
        _same(file, f"parameters.{key}", said.get(key), frame)
    transform = _part(file, content, "transform")
    position = _numbers(file, _part(file, transform, "translation"), "xyz")
    quaternion = _numbers(file, _part(file, transform, "rotation"), "xyzw")
    length = math.sqrt(sum(q * q for q in quaternion))
    if abs(length - 1) > 1e-3:
        raise CalibrationFileError(f"{file} is damaged: its rotation is of length {length:.4f}, a rotation's is 1")
    return {"position": position, "quaternion": [q / length for q in quaternion]}


def frames(name: str) -> dict[str, str]:
    """The frames that the pose of a camera is about, by easy_handeye2's names."""
    return {
        "robot_base_frame": BASE_FRAME,
        "robot_effector_frame": TOOL_FRAME,
        "tracking_base_frame": optical_frame(name),
    }


def _same(file: Path, key: str, said: Any, wanted: str) -> None:
    if said != wanted:
        raise CalibrationFileError(
            f"{file}: {key} is {said!r}, wanted is {wanted!r}: it is not of this camera on this robot"
        )


def _same_serial(file: Path, said: Any, camera: Mapping[str, Any]) -> None:
    """Where both are known they must be the same; a simulated camera is no real one."""
    wanted = str(camera.get("serial") or "")
    if said == TWIN and camera.get("driver", TWIN) != TWIN:
        raise CalibrationFileError(
            f"{file} was measured in the twin, and this camera's driver is {camera['driver']}: calibrate this one"
        )
    if said and wanted and str(said) != wanted:
        raise CalibrationFileError(
            f"{file} is of the camera with serial number {said}, the configuration names {wanted}: calibrate this one"
        )


def _part(file: Path, content: Mapping[str, Any], key: str) -> dict[str, Any]:
    part = content.get(key)
    if not isinstance(part, dict):
        raise CalibrationFileError(f"{file} is damaged: it has no {key}; calibrate again")
    return part


def _matrix(file: Path, content: Mapping[str, Any], key: str, count: int) -> list[float]:
    data = _part(file, content, key).get("data")
    if not isinstance(data, list) or len(data) != count or not all(map(_is_number, data)):
        raise CalibrationFileError(f"{file} is damaged: {key}.data must be {count} numbers, it is {str(data)[:80]}")
    return [float(x) for x in data]


def _numbers(file: Path, part: Mapping[str, Any], keys: str) -> list[float]:
    found = [part.get(key) for key in keys]
    if not all(map(_is_number, found)):
        raise CalibrationFileError(f"{file} is damaged: {', '.join(keys)} must be numbers, they are {found}")
    return [float(x) for x in found]  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
