"""What the arm looks like: primitive shapes per link that resemble a Gen3 and collide; ornaments do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros import geometry
from vla_ros.geometry import Array

Colour = tuple[float, float, float]
WHITE: Colour = (0.90, 0.91, 0.92)
GREY: Colour = (0.55, 0.57, 0.60)
DARK: Colour = (0.20, 0.21, 0.23)
BLACK: Colour = (0.11, 0.11, 0.12)


@dataclass(frozen=True)
class Shell:
    """One shape, as MJCF attributes in the frame of its link."""

    attributes: str
    colour: Colour
    ornament: bool = False


def _tube(kind: str, radius: float, ends: str, colour: Colour, ornament: bool = False) -> Shell:
    return Shell(f'type="{kind}" size="{radius}" fromto="{ends}"', colour, ornament)


BASE_SHELLS = (
    _tube("cylinder", 0.075, "0 0 0.0005 0 0 0.012", GREY, True),
    _tube("cylinder", 0.047, "0 0 0.012 0 0 0.128", WHITE),
)
ARM_SHELLS: tuple[tuple[Shell, ...], ...] = (
    (
        _tube("cylinder", 0.046, "0 0 0.026 0 0 -0.115", WHITE),
        _tube("cylinder", 0.0475, "0 0 0.032 0 0 0.024", DARK, True),
        _tube("cylinder", 0.046, "0 -0.047 -0.12838 0 0.047 -0.12838", WHITE),
        _tube("cylinder", 0.038, "0 -0.050 -0.12838 0 0.050 -0.12838", DARK, True),
    ),
    (
        _tube("capsule", 0.040, "0 -0.02 0 0 -0.165 -0.003", WHITE),
        _tube("cylinder", 0.0445, "0 -0.196 -0.006 0 -0.206 -0.006", DARK, True),
    ),
    (
        _tube("cylinder", 0.043, "0 0 0 0 0 -0.165", WHITE),
        _tube("cylinder", 0.043, "0 -0.043 -0.21038 0 0.043 -0.21038", WHITE),
        _tube("cylinder", 0.036, "0 -0.046 -0.21038 0 0.046 -0.21038", DARK, True),
    ),
    (
        _tube("capsule", 0.038, "0 -0.02 0 0 -0.15 -0.004", WHITE),
        _tube("cylinder", 0.0415, "0 -0.194 -0.006 0 -0.204 -0.006", DARK, True),
    ),
    (
        _tube("cylinder", 0.036, "0 0 0 0 0 -0.07", WHITE),
        _tube("cylinder", 0.036, "0 -0.037 -0.10593 0 0.037 -0.10593", WHITE),
        _tube("cylinder", 0.030, "0 -0.040 -0.10593 0 0.040 -0.10593", DARK, True),
    ),
    (
        _tube("capsule", 0.034, "0 -0.02 0 0 -0.07 0", WHITE),
        _tube("cylinder", 0.0365, "0 -0.060 0 0 -0.098 0", WHITE),
    ),
    (
        _tube("cylinder", 0.036, "0 0 0 0 0 -0.0585", WHITE),
        _tube("cylinder", 0.0375, "0 0 -0.055 0 0 -0.0615", DARK, True),
        Shell('type="box" size="0.045 0.014 0.018" pos="0 -0.045 -0.040"', WHITE),
        Shell('type="box" size="0.040 0.002 0.013" pos="0 -0.058 -0.041"', BLACK, True),
    ),
)
GRIPPER_SHELLS = (
    _tube("cylinder", 0.0375, "0 0 0 0 0 0.014", GREY),
    Shell('type="box" size="0.0205 0.034 0.023" pos="0 0 0.036"', BLACK),
    Shell('type="box" size="0.0140 0.042 0.010" pos="0 0 0.052"', DARK, True),
)


def camera_shell(position: Array, quaternion: Array) -> tuple[Shell, ...]:
    """The housing of a D435i, wholly behind its optical centre; position (3,) m, quaternion (4,) xyzw."""
    half = (0.045, 0.0125, 0.010)
    centre = position - geometry.rotate(quaternion, np.array([0.0, 0.0, half[2] + 0.003]))
    x, y, z, w = quaternion
    attributes = (
        f'type="box" size="{half[0]} {half[1]} {half[2]}" '
        f'pos="{centre[0]:.6g} {centre[1]:.6g} {centre[2]:.6g}" '
        f'quat="{w:.8g} {x:.8g} {y:.8g} {z:.8g}"'
    )
    return (Shell(attributes, GREY, True),)
