"""Calibrations as files that ROS knows; `vla_ros.config.calibration` reads them as settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from vla_ros.calibration.bundle import Parent
from vla_ros.calibration.lens import Lens
from vla_ros.config.calibration import BOARD_FRAME, POSE, TWIN, TYPES, frames
from vla_ros.geometry import Pose


class _Flow(list[float]):
    """A list that is written in one line."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that knows _Flow, and writes numbers in full."""


_Dumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)


def write_intrinsics(folder: Path, name: str, lens: Lens, serial: str = "", remarks: Iterable[str] = ()) -> Path:
    """NAME.yaml, as camera_calibration_parsers writes it, with remarks as comments; returns its path."""
    k = lens.matrix.ravel().tolist()
    content: dict[str, Any] = {
        "image_width": lens.width,
        "image_height": lens.height,
        "camera_name": name,
        "camera_matrix": _matrix(3, 3, k),
        "distortion_model": lens.model,
        "distortion_coefficients": _matrix(1, len(lens.coefficients), lens.coefficients.tolist()),
        "rectification_matrix": _matrix(3, 3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
        "projection_matrix": _matrix(3, 4, [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]),
    }
    if serial:
        content["serial"] = serial
    return _write(folder / f"{name}.yaml", content, remarks)


def write_pose(
    folder: Path, name: str, parent: Parent, camera: Pose, serial: str = "", remarks: Iterable[str] = ()
) -> Path:
    """NAME_pose.yaml, the optical frame in the tool's or the base's, in the structure of easy_handeye2; returns its path."""
    x, y, z = camera.position.tolist()
    kind = next(kind for kind, where in TYPES.items() if where == parent)
    content = {
        "parameters": {
            "name": f"{name} {serial}".strip(),
            "calibration_type": kind,
            **frames(name),
            "tracking_marker_frame": BOARD_FRAME,
        },
        "transform": {
            "translation": {"x": x, "y": y, "z": z},
            "rotation": dict(zip("xyzw", camera.quaternion.tolist(), strict=True)),
        },
    }
    own = frames(name)
    above = own["robot_effector_frame" if parent == "tool" else "robot_base_frame"]
    numbers = [f"--{key} {value:.9g}" for key, value in zip("xyz", (x, y, z), strict=True)]
    numbers += [f"--q{key} {value:.9g}" for key, value in zip("xyzw", camera.quaternion.tolist(), strict=True)]
    publish = f"ros2 run tf2_ros static_transform_publisher {' '.join(numbers)} --frame-id {above}"
    lines = [*remarks, f"{publish} --child-frame-id {own['tracking_base_frame']}"]
    return _write(folder / f"{name}{POSE}.yaml", content, lines)


def write_table(folder: Path, height: float, remarks: Iterable[str] = (), twin: bool = False) -> Path:
    """table.yaml, configuration, and whether it is of the twin's table; returns its path."""
    content = {"measured": TWIN} if twin else {}
    return _write(folder / "table.yaml", content | {"workspace": {"table": round(height, 5)}}, remarks)


def _matrix(rows: int, columns: int, data: list[float]) -> dict[str, Any]:
    return {"rows": rows, "cols": columns, "data": _Flow(data)}


def _write(path: Path, content: dict[str, Any], remarks: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    comment = "".join(f"# {line}".rstrip() + "\n" for line in remarks)
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)
    path.write_text(comment + text, encoding="utf-8")
    return path
