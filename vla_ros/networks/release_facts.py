"""What a released checkpoint does not say about itself, and somebody has to: a YAML file of facts beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vla_ros.networks.release_file import ReleaseError
from vla_ros.networks.released import Release
from vla_ros.policy.codec import Codec, Gripper, Range, Stages
from vla_ros.policy.manifest import Robot

TEMPLATE = """\
# What the checkpoint does not say. Every value must be that of its training data, not a guess.
cameras:            # in the order of training: the static one, then the wrist's; names of the service's cameras
  - name: static
    sensor: [1280, 720]         # pixels of the full sensor
    roi: [0, 0, 1280, 720]      # what of it the training images showed; it is stretched to the network's size
  - name: wrist
    sensor: [640, 480]
    roi: [0, 0, 640, 480]
stride_ms: 100.0    # between two frames of the data: the head sees consecutive ones
step_ms: 100.0      # between two actions of a chunk
execute: 5          # actions of a chunk that may be played before the next one must have come
action:
  frame: base       # what the deltas are given in: base, or tool (tcp_rel)
  before: []        # what the dataset did to steps in SI units before norm_min … norm_max, first thing first, such as
                    #   - {kind: euler, order: xyz}
                    #   - {kind: scale, factors: [50, 50, 50, 20, 20, 20]}
                    #   - {kind: range, low: [6 numbers, the 1st quantile], high: [6 numbers, the 99th]}
  gripper: {open: 1.0, closed: 0.0}   # what the labels say
  label: achieved   # whether labels are what the arm did (achieved) or was told (commanded)
  sequential: true  # whether each action starts where the one before ended
on_instruction: reset
robot: {name: kinova_gen3_2f85, control_rate: 100.0}
text_length: 40     # longest prompt, in pieces of the tokenizer, the action token included
"""


class Part(BaseModel):
    """A part of the facts: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraFacts(Part):
    """One camera of the training data."""

    name: str
    sensor: tuple[int, int]
    roi: tuple[int, int, int, int]

    @model_validator(mode="after")
    def _within(self) -> CameraFacts:
        (x, y, width, height), sensor = self.roi, self.sensor
        if min(x, y) < 0 or min(width, height) < 1 or x + width > sensor[0] or y + height > sensor[1]:
            raise ValueError(f"roi {list(self.roi)} (x, y, width, height) is not within the sensor {list(sensor)}")
        return self


class ActionFacts(Part):
    """What the numbers of an action were."""

    frame: Literal["base", "tool"]
    before: tuple[Stages, ...]
    gripper: Gripper = Gripper()
    label: Literal["achieved", "commanded"]
    sequential: bool


class ReleaseFacts(Part):
    """Everything that the manifest needs beside the training configuration."""

    cameras: tuple[CameraFacts, ...] = Field(min_length=1, max_length=2)
    stride_ms: float = Field(gt=0)
    step_ms: float = Field(gt=0)
    execute: int = Field(ge=1)
    action: ActionFacts
    on_instruction: Literal["reset", "keep"] = "reset"
    robot: Robot
    text_length: int = Field(40, ge=8, le=512)

    @model_validator(mode="after")
    def _named_once(self) -> ReleaseFacts:
        names = [camera.name for camera in self.cameras]
        if len(set(names)) < len(names):
            raise ValueError(f"cameras: two of them are called {names[0]}")
        return self

    def codec(self, release: Release) -> Codec:
        """From steps in SI units to the network's actions: the dataset's own stages, then the configuration's range."""
        return Codec(stages=(*self.action.before, norm_range(release), self.action.gripper))


def norm_range(release: Release) -> Range:
    """norm_min … norm_max of the training configuration. Raises ReleaseError where it has none."""
    low, high = (release.settings.get(key) for key in ("norm_min", "norm_max"))
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
        raise ReleaseError(f"the configuration's norm_min {low!r} and norm_max {high!r} are no range")
    return Range(low=(float(low),) * 6, high=(float(high),) * 6)


def read_facts(path: Path | None, release: Release) -> ReleaseFacts:
    """The facts in a YAML file, fitting the configuration. Raises ReleaseError, with what is wanted where there is no file."""
    if path is None:
        raise ReleaseError(
            f"what the checkpoint does not say must be said by hand. Write it into a file and give it with --facts:\n\n{TEMPLATE}"
        )
    try:
        facts = ReleaseFacts.model_validate(_yaml(path))
    except ValidationError as error:
        lines = "\n  ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ReleaseError(
            f"{path} does not say all, or says it wrongly:\n  {lines}\nA whole file:\n\n{TEMPLATE}"
        ) from None
    if len(facts.cameras) != release.cameras:
        raise ReleaseError(
            f"{path}: {len(facts.cameras)} cameras; the configuration's use_hand_rgb says {release.cameras}"
        )
    if release.settings.get("tcp_rel") is True and facts.action.frame != "tool":
        raise ReleaseError(f"{path}: action.frame is {facts.action.frame}; the configuration's tcp_rel says tool")
    if facts.execute > release.chunk:
        raise ReleaseError(f"{path}: execute is {facts.execute}, a chunk of this policy has {release.chunk} actions")
    return facts


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ReleaseError(f"{path} is not YAML: {error}") from None
