"""The action codec: from steps in SI units to what a network is trained on, and back. Training and serving use the same object.

A step is 7 numbers (…, 7): dx dy dz in m, three of a rotation in rad, and the gripper. Every stage is a value with `forward` and
`inverse`; a Codec is a row of them. Inverse after forward is the clip that the stages make, or, behind bins, lands within half a bin.

Conventions of the RoboVLMs family: RoboVLMs, data/data_utils.py (normalize_action, regularize_action), action_tokenizer.py (bins),
base_openvla_dataset.py (quantiles). The gripper of this house is 0 open … 1 closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vla_ros.geometry import Array

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

ARM = 6
Change: TypeAlias = Callable[[Array], Array]
Six: TypeAlias = Annotated[tuple[float, ...], Field(min_length=ARM, max_length=ARM)]


class Stage(BaseModel):
    """One step of the codec. `forward` leads towards the network; both take and give (…, 7)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def forward(self, steps: ArrayLike) -> Array:
        """Towards the network."""
        raise NotImplementedError

    def inverse(self, values: ArrayLike) -> Array:
        """Back."""
        raise NotImplementedError


class Euler(Stage):
    """Rotation vectors as the three angles of a rotation: `order` as in scipy, lower case about fixed axes ("xyz": R = Rz·Ry·Rx)."""

    kind: Literal["euler"] = "euler"
    order: Literal["xyz", "zyx", "XYZ", "ZYX"] = "xyz"

    def forward(self, steps: ArrayLike) -> Array:
        """Rotation vectors -> angles, in the order of their axes."""
        from scipy.spatial.transform import Rotation  # half a second, and `vla-ros --help` comes past here

        return _turned(steps, lambda v: Rotation.from_rotvec(v).as_euler(self.order))

    def inverse(self, values: ArrayLike) -> Array:
        """Angles -> rotation vectors."""
        from scipy.spatial.transform import Rotation

        return _turned(values, lambda v: Rotation.from_euler(self.order, v).as_rotvec())


class Scale(Stage):
    """Each number of the arm times a factor, as CALVIN's relative actions have 50 (m) and 20 (rad)."""

    kind: Literal["scale"] = "scale"
    factors: Six

    @model_validator(mode="after")
    def _not_zero(self) -> Scale:
        if any(f == 0 for f in self.factors):
            raise ValueError("scale.factors: a factor of 0 cannot be undone")
        return self

    def forward(self, steps: ArrayLike) -> Array:
        """SI units -> scaled."""
        return _arm(steps, lambda a: a * np.array(self.factors))

    def inverse(self, values: ArrayLike) -> Array:
        """Scaled -> SI units."""
        return _arm(values, lambda a: a / np.array(self.factors))


class Range(Stage):
    """Clipped to low … high and mapped to -1 … 1: the 1st and 99th quantile of the data, or ±0.65 as RoboVLMs has it."""

    kind: Literal["range"] = "range"
    low: Six
    high: Six
    clip: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if any(a >= b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError("range.low is not below range.high in every component")
        return self

    @classmethod
    def symmetric(cls, limit: float) -> Range:
        """From -limit to limit in every component."""
        return cls(low=(-limit,) * ARM, high=(limit,) * ARM)

    @classmethod
    def of(cls, steps: ArrayLike, quantiles: tuple[float, float] = (0.01, 0.99)) -> Range:
        """From these quantiles of the data (n, 7)."""
        low, high = np.quantile(np.asarray(steps, np.float64)[..., :ARM].reshape(-1, ARM), quantiles, axis=0)
        return cls(low=tuple(low.tolist()), high=tuple(high.tolist()))

    def forward(self, steps: ArrayLike) -> Array:
        """Units -> -1 … 1."""
        low, high = np.array(self.low), np.array(self.high)
        return _arm(steps, lambda a: 2 * (self._clipped(a, low, high) - low) / (high - low) - 1)

    def inverse(self, values: ArrayLike) -> Array:
        """-1 … 1 -> units."""
        low, high = np.array(self.low), np.array(self.high)
        return _arm(values, lambda a: low + (self._clipped(a, -1.0, 1.0) + 1) * (high - low) / 2)

    def _clipped(self, values: Array, low: Array | float, high: Array | float) -> Array:
        return np.clip(values, low, high) if self.clip else values


class ZScore(Stage):
    """Mean 0 and standard deviation 1 (RoboVLMs' regular_action)."""

    kind: Literal["zscore"] = "zscore"
    mean: Six
    std: Six
    epsilon: float = Field(1e-6, ge=0)

    @model_validator(mode="after")
    def _spread(self) -> ZScore:
        if any(s + self.epsilon <= 0 for s in self.std):
            raise ValueError("zscore.std: a standard deviation of 0 cannot be undone")
        return self

    def forward(self, steps: ArrayLike) -> Array:
        """Units -> z."""
        return _arm(steps, lambda a: (a - np.array(self.mean)) / (np.array(self.std) + self.epsilon))

    def inverse(self, values: ArrayLike) -> Array:
        """z -> units."""
        return _arm(values, lambda a: a * (np.array(self.std) + self.epsilon) + np.array(self.mean))


class Gripper(Stage):
    """The gripper as the data has it: its value when open and when closed. CALVIN and OXE: 1 open, 0 closed."""

    kind: Literal["gripper"] = "gripper"
    open: float = 1.0
    closed: float = 0.0

    @model_validator(mode="after")
    def _different(self) -> Gripper:
        if self.open == self.closed:
            raise ValueError("gripper.open and gripper.closed are the same")
        return self

    def forward(self, steps: ArrayLike) -> Array:
        """0 open … 1 closed -> the data's."""
        return _grip(steps, lambda g: self.open + g * (self.closed - self.open))

    def inverse(self, values: ArrayLike) -> Array:
        """The data's -> 0 open … 1 closed."""
        return _grip(values, lambda g: (g - self.open) / (self.closed - self.open))


Stages: TypeAlias = Annotated[Euler | Scale | Range | ZScore | Gripper, Field(discriminator="kind")]


class Codec(Stage):
    """Stages one after the other."""

    stages: tuple[Stages, ...] = ()

    def forward(self, steps: ArrayLike) -> Array:
        """SI units -> what the network is trained on."""
        values = np.asarray(steps, np.float64)
        for stage in self.stages:
            values = stage.forward(values)
        return values

    def inverse(self, values: ArrayLike) -> Array:
        """What the network gives -> SI units."""
        steps = np.asarray(values, np.float64)
        for stage in reversed(self.stages):
            steps = stage.inverse(steps)
        return steps


class Bins(BaseModel):
    """Numbers in low … high as one of `count` bins: the discrete policies' tokens.

    Their edges are `count` equidistant points, so that there are count - 1 centres and the topmost value shares the last one
    (RoboVLMs and OpenVLA, action_tokenizer.py).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(256, ge=3)
    low: float = -1.0
    high: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Bins:
        if self.low >= self.high:
            raise ValueError(f"bins.low {self.low:g} is not below bins.high {self.high:g}")
        return self

    @property
    def half(self) -> float:
        """Half the width of a bin: the largest error of a number within low … high."""
        return (self.high - self.low) / (self.count - 1) / 2

    def forward(self, values: ArrayLike) -> NDArray[np.int64]:
        """Numbers of the bins, 1 … count, of any shape; what is outside falls into the outermost."""
        edges = np.linspace(self.low, self.high, self.count, dtype=np.float64)
        return np.asarray(np.digitize(np.clip(np.asarray(values, np.float64), self.low, self.high), edges), np.int64)

    def inverse(self, numbers: ArrayLike) -> Array:
        """The middle of each bin."""
        edges = np.linspace(self.low, self.high, self.count, dtype=np.float64)
        centres = (edges[:-1] + edges[1:]) / 2
        return np.asarray(centres[np.clip(np.asarray(numbers, np.int64) - 1, 0, self.count - 2)])


def to_frame(steps: ArrayLike, rotations: Rotation) -> Array:
    """Steps (n, 7) of the tool given in the base frame, with rotation vectors, in that of the tool before each step."""
    return _rotated(steps, rotations.inv())


def from_frame(steps: ArrayLike, rotations: Rotation) -> Array:
    """Steps (n, 7) given in the tool's frame before each step, in the base frame: the inverse of `to_frame`."""
    return _rotated(steps, rotations)


def _rotated(steps: ArrayLike, rotations: Rotation) -> Array:
    values = np.array(steps, np.float64)
    values[..., :3] = rotations.apply(values[..., :3])
    values[..., 3:ARM] = rotations.apply(values[..., 3:ARM])
    return values


def _arm(steps: ArrayLike, change: Change) -> Array:
    values = np.array(steps, np.float64)
    values[..., :ARM] = change(values[..., :ARM])
    return values


def _grip(steps: ArrayLike, change: Change) -> Array:
    values = np.array(steps, np.float64)
    values[..., ARM:] = change(values[..., ARM:])
    return values


def _turned(steps: ArrayLike, change: Change) -> Array:
    values = np.array(steps, np.float64)
    turns = values[..., 3:ARM].reshape(-1, 3)
    if len(turns):
        values[..., 3:ARM] = change(turns).reshape(values[..., 3:ARM].shape)
    return values


def robovlms(limit: float = 0.65, before: Sequence[Stages] = ()) -> Codec:
    """What the shipped RoboVLMs configurations do (norm_action, norm_min, norm_max), behind what the dataset did `before`."""
    return Codec(stages=(*before, Range.symmetric(limit), Gripper()))
