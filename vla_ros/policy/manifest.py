"""What a policy bundle promises: `manifest.yaml` as values, and the check that this robot keeps to it.

A bundle is a folder with the manifest, its graphs, `tokenizer.json` and `text.safetensors`. Nothing about a policy is assumed:
what the manifest does not say is refused, and so is what it says about another robot.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vla_ros.config import CameraConfig, Config
from vla_ros.policy.codec import Codec, Range, Six

MANIFEST = "manifest.yaml"
GRAPHS = ("encode", "decide")
TOOL = "robotiq_2f85_fingertips"
"""The point between the finger tips, which `ArmState.tool` is."""

STATE_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper", "gripper_command")
"""The robot state: tool position in the base frame, m; rotation vector in the base frame that turns TOOL_DOWN into the tool's
orientation, rad; gripper as measured and as last commanded, 0 open … 1 closed."""


class BundleError(Exception):
    """A bundle that cannot be used. The text names the file or field, what is wrong with it, and what to do."""


class Part(BaseModel):
    """A part of the manifest: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tensor(Part):
    """One input of a graph. `camera` only for images; text_mask is 1 for a word and 0 for padding; text_end is where the text ends."""

    name: str
    role: Literal["image", "text", "text_mask", "text_end", "robot_state", "feature", "memory", "noise", "prefix"]
    shape: tuple[int, ...]
    dtype: Literal["uint8", "float16", "float32", "int64", "bool"] = "float32"
    camera: str | None = None


class Graph(Part):
    """One ONNX file, and beside it, where its weights are too large for one, the `data` they are in, with its hash.

    A memory input `x` comes back as the output `x_next`. `precision` is what it computes in; inputs and outputs keep their own types.
    """

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    data: dict[str, str] = {}
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]


class Camera(Part):
    """What the policy wants to see, in pixels of the full sensor as in sensor_msgs/CameraInfo.

    The image is (roi height / binning, roi width / binning), or, where `size` (width, height) is given, that stretched to it
    (bicubic, antialiased); the graph itself takes uint8 and applies `mean` and `std` (of pixels in 0 … 1).
    """

    name: str
    sensor: tuple[int, int] = Field(description="full width and height")
    roi: tuple[int, int, int, int]
    binning: int = Field(ge=1)
    size: tuple[int, int] | None = None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the image that the graph takes."""
        return (self.size[1], self.size[0]) if self.size else self.cut_shape

    @property
    def cut_shape(self) -> tuple[int, int]:
        """(height, width) of what is cut from a frame."""
        return self.roi[3] // self.binning, self.roi[2] // self.binning


class Words(Part):
    """How an instruction becomes the text input: the rows of its words, zeros behind them.

    `words`: a small vocabulary, whose unknown words are refused. `tail`: the pieces of a language model behind a `prompt`, scaled and
    with positions, and the action token right behind them (vla_ros.policy.tail).
    """

    kind: Literal["words", "tail"] = "words"
    prompt: str = "{}"
    tokenizer: str = "tokenizer.json"
    rows: str = "text.safetensors"
    sha256: dict[str, str] = Field(description="of both files, by name")
    length: int = Field(gt=0, description="longest text, in words or pieces")
    unknown_words: Literal["refuse"] = "refuse"

    @model_validator(mode="after")
    def _prompt_takes_the_instruction(self) -> Words:
        if self.prompt.count("{}") != 1:
            raise ValueError(f"words.prompt {self.prompt!r} has no single place {{}} for the instruction")
        return self


class History(Part):
    """Frames that the policy looks back on, the newest included, and their distance."""

    window: int = Field(ge=1)
    stride_ms: float = Field(gt=0)


class Action(Part):
    """What the 7 numbers of a step mean: dx dy dz, droll dpitch dyaw as a rotation vector, gripper.

    `low` and `high` (6,), in SI units, are what -1 and 1 stand for; with `clip` nothing leaves them. `quantiles` says which
    quantiles of the training labels they are, or nothing if they were set by hand. A policy of another convention names its `codec`
    in their place. `frame` is what the steps are given in: the base, or the tool as it is before each step. Sequential steps add up;
    steps from the anchor do not. `label` is what training aimed at.
    """

    frame: Literal["base", "tool"] = "base"
    units: tuple[str, str, str] = ("m", "rad", "0 open .. 1 closed")
    rotation: Literal["rotation_vector"] = "rotation_vector"
    low: Six | None = None
    high: Six | None = None
    codec: Codec | None = None
    quantiles: tuple[float, float] | None = None
    clip: bool = True
    sequential: bool = True
    label: Literal["achieved", "commanded"]
    anchor: Literal["measured", "commanded"]
    gripper_threshold: float = Field(0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_convention(self) -> Action:
        if (self.codec is None) == (self.low is None) or (self.low is None) != (self.high is None):
            raise ValueError("action: name either low and high, or a codec")
        if self.low is not None and self.high is not None:
            Range(low=self.low, high=self.high)
        return self

    @property
    def stages(self) -> Codec:
        """From steps in SI units to what the network is trained on."""
        if self.codec is not None:
            return self.codec
        assert self.low is not None
        assert self.high is not None
        return Codec(stages=(Range(low=self.low, high=self.high, clip=self.clip),))


class Chunk(Part):
    """Steps per chunk, their length, and how many may be played before the next chunk must have come."""

    length: int = Field(ge=1)
    step_ms: float = Field(gt=0)
    execute: int = Field(ge=1)

    @model_validator(mode="after")
    def _long_enough(self) -> Chunk:
        if self.execute > self.length:
            raise ValueError(f"chunk.execute {self.execute} is more than chunk.length {self.length}")
        return self


class Robot(Part):
    """The robot that the policy was trained for."""

    name: str
    tool: str = TOOL
    control_rate: float = Field(gt=0, description="cycles per second of the servo in training")


class Manifest(Part):
    """Everything a policy is, beside its weights."""

    format: Literal[1] = 1
    name: str
    graphs: dict[str, Graph]
    cameras: tuple[Camera, ...] = Field(min_length=1)
    robot_state: tuple[str, ...]
    words: Words
    history: History
    action: Action
    chunk: Chunk
    on_instruction: Literal["reset", "keep"]
    robot: Robot
    training: dict[str, Any]
    verification: dict[str, Any]

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        missing = [name for name in GRAPHS if name not in self.graphs]
        if missing:
            raise ValueError(f"graphs: {missing[0]} is missing; a policy has the graphs {' and '.join(GRAPHS)}")
        encode, decide = self.graphs["encode"], self.graphs["decide"]
        images = [(t.camera, t.shape) for t in encode.inputs if t.role == "image"]
        named = [(camera.name, (1, *camera.image_shape, 3)) for camera in self.cameras]
        if images != named:
            raise ValueError(f"cameras {named} are not those of encode's image inputs, in their order: {images}")
        _require("encode", encode, [t.name for t in decide.inputs if t.role == "feature"])
        _require("decide", decide, ["chunk", *(f"{t.name}_next" for t in decide.inputs if t.role == "memory")])
        return self


def _require(name: str, graph: Graph, outputs: list[str]) -> None:
    missing = [output for output in outputs if output not in graph.outputs]
    if missing:
        raise ValueError(f"graphs.{name}.outputs: {missing[0]} is missing")


def load_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in `folder`, whose files are all there and have the right hashes. Raises BundleError."""
    path = folder / MANIFEST
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}. Name a folder that holds a bundle.") from None
    except yaml.YAMLError as error:
        raise BundleError(f"{path} is not YAML: {error}. Export the policy again.") from None
    manifest = _validated(values, path)
    for name, digest in _files(manifest).items():
        _check_file(folder / name, digest)
    return manifest


def save_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.yaml` into `folder`, whole or not at all."""
    text = yaml.safe_dump(
        manifest.model_dump(mode="json", exclude_none=True), sort_keys=False, default_flow_style=None, width=110
    )
    temporary = folder / f".{MANIFEST}.tmp"
    temporary.write_text(text)
    os.replace(temporary, folder / MANIFEST)


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _validated(values: Any, path: Path) -> Manifest:
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'manifest'}: {e['msg']}" for e in error.errors()]
        text = "\n  ".join(lines)
        raise BundleError(f"{path} is no manifest of format 1:\n  {text}\nExport the policy again.") from None


def _files(manifest: Manifest) -> dict[str, str]:
    files = {graph.file: graph.sha256 for graph in manifest.graphs.values()}
    for graph in manifest.graphs.values():
        files |= graph.data
    for name in (manifest.words.tokenizer, manifest.words.rows):
        files[name] = manifest.words.sha256.get(name, "")
    return files


def _check_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path} is missing, but the manifest names it. Copy the whole bundle again.")
    if sha256(path) != digest:
        raise BundleError(
            f"{path} is not the file that the manifest was written for: its sha256 differs. Copy the bundle again."
        )


def check(manifest: Manifest, config: Config) -> None:
    """Raise BundleError unless the policy was verified, and the robot and the cameras of `config` are what it was trained with."""
    if not manifest.verification and not config.policy.unverified:
        raise BundleError(
            f"policy {manifest.name} was never verified: export or import it again, which does it, "
            "or serve it all the same with --unverified (policy.unverified=true)"
        )
    _same("robot.name", manifest.robot.name, "robot", config.robot, "Choose a policy trained for this robot.")
    _same("robot.tool", manifest.robot.tool, "the tool", TOOL, "Choose a policy trained for this tool.")
    if manifest.robot_state:  # a policy may do without
        _same("robot_state", manifest.robot_state, "the service", STATE_NAMES, "Export the policy again.")
    remedy = "Only SI units are served: export the policy again."
    _same("action.units", manifest.action.units, "the service", Action.model_fields["units"].default, remedy)
    if manifest.action.anchor != "measured":
        raise BundleError("action.anchor: commanded is not served yet. Train the policy with anchor: measured.")
    for graph in manifest.graphs.values():
        for tensor in graph.inputs:
            if tensor.role in ("noise", "prefix"):
                raise BundleError(
                    f"input {tensor.name}: the role {tensor.role} is not served yet. Choose another policy."
                )
    for camera in manifest.cameras:
        if camera.name not in config.cameras:
            known = ", ".join(sorted(config.cameras))
            raise BundleError(
                f"cameras: the policy sees with {camera.name!r}, the configuration has only {known}. Add cameras.{camera.name}."
            )
        _check_camera(camera, config.cameras[camera.name])


def _same(field: str, wanted: object, owner: str, given: object, remedy: str) -> None:
    if wanted != given:
        raise BundleError(f"{field}: the policy says {wanted!r}, {owner} is {given!r}. {remedy}")


def _check_camera(wanted: Camera, given: CameraConfig) -> None:
    field = f"cameras.{wanted.name}"
    remedy = f"Set {field} in the configuration so that it delivers roi {list(wanted.roi)} at binning {wanted.binning} or finer."
    _same(f"{field}.sensor", wanted.sensor, field, (given.width, given.height), remedy)
    x, y, width, height = wanted.roi
    gx, gy, gwidth, gheight = given.roi
    inside = gx <= x and gy <= y and x + width <= gx + gwidth and y + height <= gy + gheight
    aligned = (x - gx) % given.binning == 0 and (y - gy) % given.binning == 0
    if not inside or not aligned or wanted.binning % given.binning:
        raise BundleError(
            f"{field}: the policy wants roi {list(wanted.roi)} at binning {wanted.binning}, the camera delivers roi "
            f"{list(given.roi)} at binning {given.binning}. {remedy}"
        )
