"""A policy turns observations into chunks of targets; what it remembers between two of them lies here, not in its graphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_ros import paths
from vla_ros.clock import MILLISECOND, Clock, MonotonicClock
from vla_ros.config import CameraConfig, Config
from vla_ros.policy.actions import ARM, compose_chunk
from vla_ros.policy.engines import Engine, open_engine
from vla_ros.policy.history import History
from vla_ros.policy.language import Language, Text, open_language
from vla_ros.policy.manifest import MANIFEST, BundleError, Manifest, Tensor, check, load_manifest
from vla_ros.policy.preprocess import preprocess, robot_state
from vla_ros.policy.words import InstructionError
from vla_ros.values import ActionChunk, Intrinsics, Observation

__all__ = ["BundlePolicy", "InstructionError", "Policy", "Timings", "load_policy"]

Tensors = dict[str, NDArray[Any]]


class Policy(Protocol):
    """Anything that drives the arm by what it sees."""

    def reset(self) -> None:
        """Forget what was seen; the instruction stays."""

    def set_instruction(self, text: str) -> None:
        """What to do from now on; empty means idle. Raises InstructionError and keeps the former one."""

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk | None:
        """The chunk for an observation; None when idle, and for an observation between two strides of the history.

        `gripper_command` is the last position sent to the gripper, 0 open … 1 closed. Offer every observation as it comes: the
        policy picks those that are due.
        """


@dataclass(frozen=True)
class Timings:
    """How long the last chunk took, ms, and how many strides before it had no observation."""

    preprocess_ms: float = 0.0
    encode_ms: float = 0.0
    decide_ms: float = 0.0
    missed: int = 0


class BundlePolicy:
    """The policy of a bundle: its graphs, run one frame at a time around an explicit memory. To be used by one thread."""

    def __init__(self, manifest: Manifest, engine: Engine, words: Language, config: Config, clock: Clock) -> None:
        self.manifest = manifest
        self.timings = Timings()
        self.missed = 0  # strides without an observation since the start
        self._engine, self._words, self._clock = engine, words, clock
        self._limit, self._codec = config.policy.instruction_limit, manifest.action.stages
        self._delivered = {c.name: intrinsics(config.cameras[c.name]) for c in manifest.cameras}
        self._instruction = ""
        self._text: Text | None = None
        self._sequence = 0
        self.reset()
        self._check_shapes()

    @property
    def vocabulary(self) -> list[str]:
        """The words that an instruction may have; empty where any may."""
        return self._words.vocabulary

    def reset(self) -> None:
        """Forget what was seen; the instruction stays."""
        self._history = History(round(self.manifest.history.stride_ms * MILLISECOND), self.manifest.history.window)
        self._memory = self._fresh()
        self._features: Tensors = {}

    def set_instruction(self, text: str) -> None:
        """Follow `text` from now on; empty means idle. Raises InstructionError and keeps the former one."""
        text = text.strip()
        if text == self._instruction:
            return
        if len(text) > self._limit:
            raise InstructionError(f"an instruction of {len(text)} characters: at most {self._limit} are taken")
        self._text = self._words.text(text) if text else None
        self._instruction = text
        if self.manifest.on_instruction == "reset" or not text:
            self.reset()

    def due(self, stamp: int) -> bool:
        """Whether `act` would make a chunk of an observation at `stamp`."""
        return self._text is not None and self._history.due(stamp)

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk | None:
        """The chunk for an observation; None when idle, and for an observation between two strides of the history."""
        if self._text is None or not self._history.due(observation.stamp):
            return None
        started = self._clock.now()
        inputs = self._inputs(observation, gripper_command, self._text)
        prepared = self._clock.now()
        features = self._engine.run("encode", inputs)
        encoded = self._clock.now()
        missed = self._advance(observation.stamp)
        self._features = features
        normalised = self._decide()
        self._time(missed, started, prepared, encoded, self._clock.now())
        return self._chunk(observation, normalised)

    def _check_shapes(self) -> None:
        """What the manifest cannot show about its graphs: they agree with it and with each other. Raises BundleError."""
        for tensor in self.manifest.graphs["encode"].inputs:
            if tensor.role == "text" and tensor.shape != self._words.shape:
                raise BundleError(
                    f"input {tensor.name}: the graph takes {tensor.shape}, the words give {self._words.shape}"
                )
        zeros = {t.name: _zeros(t) for t in self.manifest.graphs["decide"].inputs}
        chunk = self._engine.run("decide", zeros)["chunk"]
        wanted = (1, self.manifest.chunk.length, ARM + 1)
        if chunk.shape != wanted:
            raise BundleError(f"chunk.length: the graph gives chunks {chunk.shape}, the manifest says {wanted}")

    def _inputs(self, observation: Observation, gripper_command: float, text: Text) -> Tensors:
        by_role: dict[str, Any] = {
            **text.inputs,
            "robot_state": robot_state(observation.arm, gripper_command)[None],
        }
        images = iter(self._images(observation))
        inputs = self.manifest.graphs["encode"].inputs
        return {t.name: next(images) if t.role == "image" else by_role[t.role] for t in inputs}

    def _images(self, observation: Observation) -> Iterator[NDArray[np.uint8]]:
        for camera in self.manifest.cameras:
            frame = observation.frames.get(camera.name)
            if frame is None:
                raise ValueError(f"an observation without camera {camera.name!r}, which the policy sees with")
            yield preprocess(frame.image, self._delivered[camera.name], camera)[None]

    def _advance(self, stamp: int) -> int:
        """Bring the memory to the stride of `stamp`; returns how many strides were missed on the way."""
        self._history, entry = self._history.enter(stamp)
        if entry.reset:
            self._memory = self._fresh()
        for _ in range(entry.missed):  # what was not seen is taken to look like what was seen last
            self._decide()
        self.missed += entry.missed
        return entry.missed

    def _decide(self) -> NDArray[np.float32]:
        """The normalised chunk (n, 7) for the newest features; the memory moves on by one stride."""
        outputs = self._engine.run("decide", self._memory | self._pick_features())
        self._memory = {name: outputs[f"{name}_next"] for name in self._memory}
        chunk: NDArray[np.float32] = outputs["chunk"][0]
        return chunk

    def _pick_features(self) -> Tensors:
        wanted = self.manifest.graphs["decide"].inputs
        return {t.name: self._features[t.name] for t in wanted if t.role == "feature"}

    def _fresh(self) -> Tensors:
        wanted = self.manifest.graphs["decide"].inputs
        return {t.name: _zeros(t) for t in wanted if t.role == "memory"}

    def _chunk(self, observation: Observation, normalised: NDArray[np.float32]) -> ActionChunk:
        action, chunk = self.manifest.action, self.manifest.chunk
        steps = self._codec.inverse(normalised)
        in_tool = action.frame == "tool"
        targets = compose_chunk(observation.arm.tool, steps, action.sequential, action.gripper_threshold, in_tool)
        self._sequence += 1
        return ActionChunk(
            observation.stamp,
            round(chunk.step_ms * MILLISECOND),
            *targets,
            chunk.execute,
            self.manifest.name,
            self._instruction,
            self._sequence,
        )

    def _time(self, missed: int, *moments: int) -> None:
        prepare, encode, decide = ((b - a) / MILLISECOND for a, b in pairwise(moments))
        self.timings = Timings(prepare, encode, decide, missed)


def _zeros(tensor: Tensor) -> NDArray[Any]:
    return np.zeros(tensor.shape, tensor.dtype)


def intrinsics(camera: CameraConfig) -> Intrinsics:
    """What the configuration says a camera delivers."""
    return Intrinsics(
        camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, camera.roi, camera.binning
    )


def load_policy(spec: str, config: Config, clock: Clock | None = None) -> Policy:
    """The policy that `spec` names, checked against `config` and warmed up.

    spec: the folder of a bundle, the name of one in models/, `constant:x,y,z` for the policy that drives straight there, or
    `replay:DATASET#EPISODE` for a recorded episode. Raises BundleError.
    """
    if not is_bundle(spec):
        return _without_network(spec, config)
    folder = find_bundle(spec)
    manifest = load_manifest(folder)
    check(manifest, config)
    words = open_language(folder, manifest.words)
    engine = open_engine(folder, manifest, config.policy)
    return BundlePolicy(manifest, engine, words, config, clock or MonotonicClock())


def is_bundle(spec: str) -> bool:
    """Whether `spec` means the files of a bundle, and not one of the policies without a network."""
    return not spec.startswith(("constant:", "replay:"))


def check_spec(spec: str, config: Config) -> str:
    """Why there is no such policy, as far as its files tell; empty: there is."""
    try:
        if is_bundle(spec):
            find_bundle(spec)
        else:
            _without_network(spec, config)
    except BundleError as error:
        return str(error)
    return ""


def _without_network(spec: str, config: Config) -> Policy:
    if spec.startswith("constant:"):
        from vla_ros.policy.constant import parse_constant

        return parse_constant(spec)
    try:
        from vla_ros.policy.replay import parse_replay
    except ModuleNotFoundError as error:
        raise BundleError(f"{spec}: needs {error.name}: pip install 'vla_ros[record]'") from None
    return parse_replay(spec, config)


def find_bundle(spec: str) -> Path:
    """The folder of a bundle, given as a path or as a name in models/. Raises BundleError."""
    if (Path(spec) / MANIFEST).is_file():
        return Path(spec)
    try:
        return paths.share("models", spec)
    except FileNotFoundError as error:
        raise BundleError(f"no policy bundle {spec!r}: no folder of that name has a {MANIFEST}, and {error}") from None
