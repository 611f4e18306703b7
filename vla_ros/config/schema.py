"""Every setting of the service, with its unit, bounds and default. SI units, radians, seconds unless the name says otherwise.

Poses are `position` (m) and `quaternion` (xyzw). The same schema is read from YAML, from the command line and as ROS parameters.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Vector3: TypeAlias = tuple[float, float, float]
Quaternion: TypeAlias = tuple[float, float, float, float]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
CameraName: TypeAlias = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]

WORKSPACE_X = (0.35, 0.59)
WORKSPACE_Y = (-0.275, 0.275)
"""The table area of 24 × 55 cm in the base frame, m."""


FINGERS = 0.022
"""How far the fingers reach beyond the tool point, m (`vla_ros.kinematics.FINGER_BELOW_TOOL`, rounded up)."""


class Section(BaseModel):
    """A part of the configuration: unknown keys and NaN are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CameraConfig(Section):
    """One camera: pinhole intrinsics in pixels of the full sensor, the part of it that is delivered, and where it stands.

    `roi` is (x, y, width, height) in pixels of the full sensor and `binning` how many of them make one delivered pixel, both as in
    sensor_msgs/CameraInfo. The pose is of the optical frame (x right, y down, z forward) in `parent`.
    """

    driver: Literal["twin", "topic", "realsense", "azure_kinect"] = Field(
        "twin", description="what gives the frames; topic: another node, that publishes them itself"
    )
    topic: str = Field(description="base name of its topics: <topic>/<image> and <topic>/<info>")
    image: str = Field("color/image_raw", description="rest of the name of the topic with its images")
    info: str = Field("color/camera_info", description="rest of the name of the topic with its CameraInfo")
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    fx: Positive
    fy: Positive
    cx: float
    cy: float
    roi: tuple[int, int, int, int]
    binning: int = Field(1, ge=1, le=16)
    rate: float = Field(30.0, gt=0, le=120, description="frames per second")
    parent: Literal["base", "tool"] = "base"
    position: Vector3 = (0.0, 0.0, 0.0)
    quaternion: Quaternion = (0.0, 0.0, 0.0, 1.0)
    latency: float = Field(
        0.0, ge=-0.5, lt=0.5, description="s by which its stamps are later than mid-exposure; taken off them"
    )
    serial: str = Field("", description="which of several connected cameras; empty: the only one")
    exposure: float = Field(0.0, ge=0, le=1, description="s, locked; 0: the camera chooses it, frame by frame")
    gain: int = Field(0, ge=0, le=1000, description="of the sensor, in the camera's own scale; 0: the camera's choice")
    white_balance: int = Field(0, ge=0, le=10000, description="K, locked; 0: the camera chooses it, frame by frame")
    depth: bool = Field(False, description="whether depth is delivered too, as seen by the colour camera")
    playback: str = Field("", description="path of a recording that is played in place of the device, again and again")
    python: str = Field(
        "",
        description="interpreter of its process, where the SDK needs an environment of its own; empty: the service's",
    )
    distortion: tuple[float, ...] = Field(
        (),
        max_length=8,
        description="k1 k2 p1 p2 k3 (plumb_bob) or k1 k2 p1 p2 k3 k4 k5 k6 (rational_polynomial); none: a pinhole",
    )

    @field_validator("distortion")
    @classmethod
    def _distortion_is_a_model(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) not in (0, 5, 8):
            raise ValueError(f"{len(value)} coefficients: 5 (plumb_bob), 8 (rational_polynomial) or none")
        return value

    @field_validator("serial", mode="before")
    @classmethod
    def _serial_is_text(cls, value: object) -> object:
        if isinstance(
            value, int
        ):  # too late to tell 034 from 28: YAML has read it as a number, with a leading 0 as an octal one
            raise ValueError(
                "a serial number of digits needs quotes, or it is read as a number: serial: '034422070213'"
            )
        return value

    @model_validator(mode="after")
    def _exposure_is_possible(self) -> CameraConfig:
        if self.exposure > 1 / self.rate:
            raise ValueError(
                f"exposure of {self.exposure:g} s is longer than a frame at rate {self.rate:g} is ({1 / self.rate:.4f} s)"
            )
        if self.gain and not self.exposure:
            raise ValueError(
                f"gain {self.gain} without exposure: a camera that chooses the one chooses the other; lock both"
            )
        return self

    @property
    def image_topic(self) -> str:
        """The topic of its images."""
        return f"{self.topic}/{self.image}"

    @property
    def depth_topic(self) -> str:
        """The topic of its depth, as seen by the colour camera."""
        return f"{self.topic}/aligned_depth_to_color/image_raw"

    @property
    def info_topic(self) -> str:
        """The topic of its CameraInfo."""
        return f"{self.topic}/{self.info}"

    @model_validator(mode="after")
    def _roi_inside_sensor(self) -> CameraConfig:
        x, y, width, height = self.roi
        if min(x, y) < 0 or min(width, height) <= 0 or x + width > self.width or y + height > self.height:
            raise ValueError(f"roi {self.roi} leaves the sensor of {self.width}×{self.height} pixels")
        if width % self.binning or height % self.binning:
            raise ValueError(f"roi {width}×{height} is no multiple of binning {self.binning}")
        return self

    @model_validator(mode="after")
    def _unit_quaternion(self) -> CameraConfig:
        length = math.sqrt(sum(q * q for q in self.quaternion))
        if abs(length - 1.0) > 1e-3:
            raise ValueError(f"quaternion {self.quaternion} is of length {length:.4f}: a rotation's is 1")
        return self


class Limits(Section):
    """Caps of the tool's motion and of the joints'."""

    speed: float = Field(0.15, gt=0, le=0.25, description="m/s")
    acceleration: float = Field(0.5, gt=0, le=2.0, description="m/s²")
    jerk: float = Field(5.0, gt=0, le=50.0, description="m/s³")
    turn_speed: float = Field(math.radians(30), gt=0, le=math.radians(60), description="rad/s")
    turn_acceleration: float = Field(math.radians(90), gt=0, le=math.radians(360), description="rad/s²")
    turn_jerk: float = Field(math.radians(900), gt=0, le=math.radians(3600), description="rad/s³")
    stop_acceleration: float = Field(2.0, gt=0, le=5.0, description="m/s², of a Stop")
    stop_jerk: float = Field(40.0, gt=0, le=200.0, description="m/s³, of a Stop")
    joint_margin: float = Field(
        math.radians(10), gt=0, le=math.radians(45), description="rad before a joint limit where slowing begins"
    )
    manipulability: float = Field(0.03, gt=0, le=0.06, description="Yoshikawa's measure below which the tool is slowed")
    self_distance: float = Field(
        0.02,
        gt=0,
        le=0.1,
        description="m that parts of the arm keep from each other; nearer, only motion apart is let through",
    )
    force_retreat: Positive = Field(20.0, description="N; the pushing component is removed")
    force_stop: Positive = Field(35.0, description="N; latched Stop")

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        for low, high in (
            ("acceleration", "stop_acceleration"),
            ("jerk", "stop_jerk"),
            ("force_retreat", "force_stop"),
        ):
            if getattr(self, low) > getattr(self, high):
                values = f"{getattr(self, low):g} and {getattr(self, high):g}"
                raise ValueError(f"limits.{low} must not be larger than limits.{high} ({values})")
        return self


class Workspace(Section):
    """The box that the tool stays in, in the base frame, and the clearance of the fingers above the table."""

    low: Vector3 = (WORKSPACE_X[0], WORKSPACE_Y[0], 0.0)
    high: Vector3 = (WORKSPACE_X[1], WORKSPACE_Y[1], 0.40)
    table: float = Field(0.0, description="height of the table in the base frame, m")
    transit_clearance: Positive = Field(
        0.010, description="m of air under the lowest point of the fingers when moving fast"
    )
    grasp_clearance: Positive = Field(0.003, description="m of air under the fingers at grasp_speed or less")
    grasp_speed: Positive = Field(0.05, description="m/s")

    @model_validator(mode="after")
    def _ordered(self) -> Workspace:
        if any(a >= b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"workspace.low {self.low} is not below workspace.high {self.high} on every axis")
        if self.grasp_clearance > self.transit_clearance:
            raise ValueError("workspace.grasp_clearance is larger than workspace.transit_clearance")
        if self.table + self.transit_clearance + FINGERS >= self.high[2]:
            raise ValueError(
                f"workspace.high {self.high} leaves no room for the fingers above workspace.table {self.table}"
            )
        return self


class Deadlines(Section):
    """How old things may be, in seconds."""

    observation: Positive = Field(0.300, description="an observation behind a chunk; older: the chunk is refused")
    chunk_hold: Positive = Field(0.150, description="nothing to play in mid-task: ramp to zero and hold")
    chunk_disarm: Positive = Field(2.0, description="nothing to play in mid-task: disarm")
    camera_hold: Positive = Field(0.200, description="a camera silent for this long, or three periods: hold")
    camera_disarm: Positive = Field(1.0, description="a camera silent: disarm")
    feedback_hold: Positive = Field(0.050, description="no arm feedback: hold")
    feedback_stop: Positive = Field(0.150, description="no arm feedback: latched Stop")
    servo_silent: Positive = Field(0.100, description="no heartbeat of the servo: the watchdog stops the arm")
    arm_node: Positive = Field(
        0.500, description="no heartbeat of the arm node, through which a Stop would come: disarm"
    )
    connection: Positive = Field(0.500, description="no command from the motion session: the arm stops by itself")
    teleop: Positive = Field(0.150, description="no word from the teleop device: the clutch counts as released")
    skew: Positive = Field(0.050, description="largest difference of exposure between the cameras of one observation")

    @model_validator(mode="after")
    def _ordered(self) -> Deadlines:
        for low, high in (
            ("chunk_hold", "chunk_disarm"),
            ("camera_hold", "camera_disarm"),
            ("feedback_hold", "feedback_stop"),
            ("servo_silent", "connection"),
        ):
            if getattr(self, low) >= getattr(self, high):
                values = f"{getattr(self, low):g} s and {getattr(self, high):g} s"
                raise ValueError(f"deadlines.{low} must be shorter than deadlines.{high} ({values})")
        return self


class ServoConfig(Section):
    """The loop that joins player, tracker and governor to the arm."""

    rate: float = Field(100.0, ge=100, le=250, description="cycles per second")
    delay: float = Field(0.080, gt=0, le=0.2, description="from a command to the motion it makes in feedback, s")
    gain: float = Field(4.0, gt=0, description="1/s on the pose error; at most 1/(e·delay)")
    merge: Literal["blend", "replace", "ensemble"] = Field(
        "blend", description="how a new chunk takes over: by a smooth curve, at once, or averaged with those before it"
    )
    blend: Positive = Field(0.060, description="s over which a new chunk takes over from the motion under way")
    ensemble_decay: float = Field(
        0.01, ge=0, le=5, description="m of the weights exp(-m·i) of `ensemble`, i = 0 the oldest (ACT: 0.01)"
    )
    gripper_delay: float = Field(
        0.0, ge=0, le=0.5, description="from a gripper command to its motion, s: it is sent so much earlier"
    )
    gripper_rate: float = Field(10.0, gt=0, le=10.0, description="gripper messages per second at most")
    gripper_deadband: float = Field(0.02, gt=0, lt=1, description="change of target that is sent")
    priority: int = Field(
        60, ge=0, le=99, description="SCHED_FIFO priority where permitted: watchdog +10, arm node -20; 0: none"
    )

    @model_validator(mode="after")
    def _stable(self) -> ServoConfig:
        bound = 1 / (math.e * self.delay)
        if self.gain > bound:
            raise ValueError(f"servo.gain {self.gain} oscillates with a delay of {self.delay} s: at most {bound:.2f}")
        return self


class ArmConfig(Section):
    """The arm and how it is reached. The settings behind `command_rate` are of the Kortex driver."""

    driver: Literal["twin", "kortex"] = "twin"
    command_rate: float = Field(
        40.0, ge=10, le=250, description="commands per second to the arm: the Gen3 takes up 40 in high-level servoing"
    )
    address: str = "192.168.1.10"
    port: int = Field(10000, ge=1, le=65535, description="TCP, of commands")
    feedback_port: int = Field(10001, ge=1, le=65535, description="UDP, of cyclic feedback")
    user: str = "admin"
    password: str = "admin"
    feedback_rate: float = Field(100.0, ge=100, le=500, description="readings of the arm per second")
    call_timeout: float = Field(0.05, ge=0.02, le=0.1, description="s that a periodic call may take")
    setup_timeout: float = Field(2.0, ge=0.5, le=10, description="s that a call at start may take, off the loop")
    session: float = Field(60.0, ge=5, le=600, description="s of silence after which the arm closes a session")
    soft_speed: float = Field(0.25, gt=0, le=0.5, description="m/s, the arm's own limit of tool speed, set at start")
    soft_turn_speed: float = Field(math.radians(60), gt=0, le=math.radians(100), description="rad/s, likewise")
    soft_joint_speed: float = Field(math.radians(40), gt=0, le=math.radians(70), description="rad/s, likewise")
    protection_zones: bool = Field(True, description="whether table and box are set in the arm as its protection zones")
    tool_mass: float = Field(0.997, gt=0, le=4, description="kg: 2F-85 0.925, D435i 0.072")
    tool_centre: Vector3 = Field((0.0, 0.0, 0.06), description="centre of that mass in the flange's frame, m")
    home_speed: float = Field(math.radians(15), gt=0, le=math.radians(30), description="rad/s per joint, of homing")
    home: tuple[float, ...] = Field((-0.0015, 0.318, 3.148, -1.663, -0.002, -1.160, 1.576), min_length=7, max_length=7)


class BoardConfig(Section):
    """The ChArUco board of the calibration, as it was measured on the print."""

    columns: int = Field(7, ge=4, le=40, description="squares across")
    rows: int = Field(5, ge=4, le=40, description="squares down")
    square: float = Field(0.030, gt=0.004, le=0.2, description="m, side of a square")
    marker: float = Field(0.022, gt=0.003, le=0.2, description="m, side of a marker")
    dictionary: str = Field("DICT_5X5_100", description="OpenCV's name of the markers")

    @model_validator(mode="after")
    def _marker_fits(self) -> BoardConfig:
        if self.marker >= self.square:
            raise ValueError(f"marker {self.marker:g} m is not smaller than square {self.square:g} m")
        return self


class PolicyConfig(Section):
    """Which policy thinks, and on what."""

    bundle: str = Field(
        "demo",
        description="a bundle's folder, the name of one in models/, constant:x,y,z, or replay:DATASET#EPISODE",
    )
    engine: Literal["onnxruntime", "tensorrt", "torch"] = "onnxruntime"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(1, ge=1, le=64)
    unverified: bool = Field(False, description="serve a bundle whose manifest has no record of verification")
    instruction_limit: int = Field(512, ge=16, description="characters; a longer instruction is refused")


class DashboardConfig(Section):
    """The page on which people see, instruct and stop the robot: `vla_ros.dashboard`."""

    host: str = Field("127.0.0.1", description="address that it listens at; others than loopback need `tokens`")
    port: int = Field(0, ge=0, le=65535, description="of HTTP; 0: no dashboard")
    tokens: str = Field("", description="file of tokens, mode 600, a line each: TOKEN watch|drive|record|admin …")
    origins: tuple[str, ...] = Field(
        (), max_length=16, description="further pages that may speak to it, as https://robot.example:8443"
    )
    certificate: str = Field("", description="PEM file of its certificate chain, for TLS; empty: plain HTTP")
    key: str = Field("", description="PEM file of the certificate's key")

    @property
    def address(self) -> str:
        """The URL to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}/"

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> DashboardConfig:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("dashboard.certificate and dashboard.key: TLS needs both")
        return self

    @model_validator(mode="after")
    def _any_address_names_its_origins(self) -> DashboardConfig:
        if self.host in ("0.0.0.0", "::") and not self.origins:
            raise ValueError(f"dashboard.host {self.host} is every address: name the page's as dashboard.origins")
        return self


class FaultConfig(Section):
    """A fault played around a device from the configuration: `after` s from the start of its process, for `seconds`."""

    target: str = Field(description="camera.NAME, arm.feedback, arm.command or policy")
    kind: Literal["delay", "jitter", "drop", "freeze", "corrupt", "reorder", "disconnect"]
    after: float = Field(0.0, ge=0)
    seconds: float = Field(1e9, gt=0)
    amount: float = Field(
        1.0, ge=0, le=10, description="delay and jitter: s; drop, corrupt and reorder: share of the items"
    )


class TwinConfig(Section):
    """The simulated robot. `delays` are what its devices are late by without saying so in their stamps, as real ones are:

    by the name of a camera, or `command`, `feedback`, `gripper`, in s. `vla-ros calibrate latency` finds them.
    """

    seed: int = Field(0, ge=0)
    renderer: Literal["auto", "ray", "gl"] = "auto"
    timestep: float = Field(0.002, gt=0, le=0.004)
    speed: float = Field(1.0, gt=0, description="seconds of simulation per second")
    noise: float = Field(1.0, ge=0, le=20, description="sensor noise of its cameras, standard deviation in grey levels")
    delays: dict[str, Annotated[float, Field(ge=0, le=0.3)]] = {}
    kortex: bool = Field(
        False,
        description="whether the arm is met as the real one is: by the Kortex protocol at arm.address and its ports",
    )
    gripper_cancelled: bool = Field(
        False, description="whether streamed motion cancels a gripper command, as firmware 2.5 does; Kortex only"
    )
    table_offset: float = Field(
        0.0, ge=-0.05, le=0.05, description="m by which its table really is higher than workspace.table says"
    )
    cleared: bool = Field(False, description="whether the cubes stand at the edge of the table, in nobody's way")
    board: Literal["", "base", "tool"] = Field(
        "", description="frame that a calibration board is fixed to; empty: none"
    )
    board_position: Vector3 = Field((0.47, 0.0, 0.01), description="of the middle of the board in that frame, m")
    board_quaternion: Quaternion = Field(
        (0.0, 0.0, 0.0, 1.0), description="of the board, whose z leaves its face, xyzw"
    )


class TeleopConfig(Section):
    """A person's hand on the arm. Whatever it asks for goes through the same governor as a policy's wishes."""

    device: Literal["keyboard", "gamepad", "spacemouse", "joy"] = Field(
        "keyboard", description="joy: the topic /joy of game_controller_node; the others are read by the node itself"
    )
    path: str = Field("", description="of the gamepad, as /dev/input/event7; empty: the first one")
    rate: float = Field(50.0, ge=20, le=250, description="words to the arm per second")
    speed: float = Field(0.10, gt=0, le=0.25, description="m/s at full deflection and full scale")
    turn_speed: float = Field(0.4, gt=0, le=math.radians(60), description="rad/s, likewise")
    gripper_speed: float = Field(1.0, gt=0, le=5, description="strokes per second at full deflection")
    deadzone: float = Field(0.1, ge=0, le=0.5, description="share of the deflection that does nothing")
    curve: float = Field(2.0, ge=1, le=5, description="power of the deflection beyond it: small ones are fine")


class RecordConfig(Section):
    """The recorder of demonstrations: it runs where `output` names a dataset."""

    output: str = Field("", description="folder of the dataset that is made or appended to; empty: no recorder")
    tasks: tuple[str, ...] = Field((), max_length=1000, description="instructions, recorded in turn")
    longest: float = Field(120.0, ge=1, le=3600, description="s of an episode, which then ends by itself")
    memory: float = Field(30.0, ge=0, le=120, description="s that can be saved afterwards; 0: none")
    memory_size: int = Field(256, ge=16, le=8192, description="MB that they may take; more than that: fewer seconds")
    park: bool = Field(True, description="whether the arm goes back to `park_position` between episodes")
    park_position: Vector3 = Field((0.45, 0.0, 0.25), description="of the tool, pointing down, in the base frame, m")
    park_speed: float = Field(0.10, gt=0, le=0.25, description="m/s")
    log: bool = Field(True, description="whether all topics but images are written to an MCAP file beside each episode")
    log_images: bool = Field(False, description="images too, uncompressed: 28 MB/s for a camera of 640×480 at 30 Hz")
    depth: bool = Field(
        False, description="whether depth is recorded too, of the cameras that deliver it (cameras.NAME.depth)"
    )
    rate_tolerance: float = Field(
        0.2, gt=0, lt=1, description="share by which a camera may be slower than configured and still be recorded"
    )


class Config(Section):
    """The whole service. `runtime` is the folder of the shared blocks; empty: one per ROS domain under /dev/shm."""

    robot: str = "kinova_gen3_2f85"
    runtime: str = ""
    arm: ArmConfig = ArmConfig()
    cameras: dict[CameraName, CameraConfig] = Field(max_length=8)
    reference_camera: str = "static"
    limits: Limits = Limits()
    workspace: Workspace = Workspace()
    board: BoardConfig = BoardConfig()
    deadlines: Deadlines = Deadlines()
    servo: ServoConfig = ServoConfig()
    policy: PolicyConfig = PolicyConfig()
    teleop: TeleopConfig = TeleopConfig()
    record: RecordConfig = RecordConfig()
    twin: TwinConfig = TwinConfig()
    dashboard: DashboardConfig = DashboardConfig()
    faults: dict[CameraName, FaultConfig] = Field({}, max_length=32, description="faults to be played, by any name")
    faults_allowed: bool = Field(
        True, description="whether faults may be asked for while running, by the parameter `fault` of a node"
    )

    @property
    def depth_cameras(self) -> tuple[str, ...]:
        """Those whose depth is recorded."""
        return tuple(name for name, camera in self.cameras.items() if camera.depth and self.record.depth)

    @model_validator(mode="after")
    def _depth_comes_from_somewhere(self) -> Config:
        if self.record.depth and not self.depth_cameras:
            raise ValueError("record.depth: no camera delivers depth: set cameras.NAME.depth of one that can")
        return self

    @model_validator(mode="after")
    def _faults_have_targets(self) -> Config:
        known = [*(f"camera.{name}" for name in self.cameras), "arm.feedback", "arm.command", "policy"]
        for name, fault in self.faults.items():
            if fault.target not in known:
                raise ValueError(f"faults.{name}.target {fault.target!r} is none of {', '.join(known)}")
            if fault.kind in ("drop", "corrupt", "reorder") and fault.amount > 1:
                raise ValueError(f"faults.{name}.amount of {fault.kind} is a share of at most 1, got {fault.amount:g}")
        return self

    @model_validator(mode="after")
    def _delays_have_devices(self) -> Config:
        known = {*self.cameras, "command", "feedback", "gripper"}
        for name in self.twin.delays:
            if name not in known:
                raise ValueError(f"twin.delays.{name}: no such device; known are {', '.join(sorted(known))}")
        return self

    @model_validator(mode="after")
    def _arm_limits_above_ours(self) -> Config:
        for theirs, ours in (("soft_speed", "speed"), ("soft_turn_speed", "turn_speed")):
            if getattr(self.arm, theirs) < getattr(self.limits, ours):
                raise ValueError(
                    f"arm.{theirs} {getattr(self.arm, theirs):g} is below limits.{ours} {getattr(self.limits, ours):g}: "
                    "the arm would not follow; it is the guard behind ours"
                )
        return self

    @model_validator(mode="after")
    def _twin_is_met_on_this_host(self) -> Config:
        if self.twin.kortex and self.arm.driver != "kortex":
            raise ValueError("twin.kortex: the twin speaks Kortex only to arm.driver=kortex")
        if self.twin.kortex and not self.arm.address.startswith("127."):
            raise ValueError(f"twin.kortex: arm.address {self.arm.address} is not this host's: use 127.0.0.1")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.reference_camera not in self.cameras:
            raise ValueError(f"reference_camera {self.reference_camera!r} is none of cameras {sorted(self.cameras)}")
        topics = [camera.image_topic for camera in self.cameras.values()]
        if len(set(topics)) != len(topics):
            raise ValueError(f"two cameras share a topic: {topics}")
        if self.limits.speed / self.limits.acceleration > self.deadlines.chunk_disarm:
            raise ValueError("limits: braking from limits.speed takes longer than deadlines.chunk_disarm")
        if self.arm.command_rate > self.servo.rate:
            raise ValueError("arm.command_rate is higher than servo.rate: there is nothing new to send so often")
        if 1 / self.arm.command_rate >= self.deadlines.connection / 2:
            raise ValueError(
                "arm.command_rate is too low for deadlines.connection: at least two commands must fall into it"
            )
        for name in ("feedback_hold", "servo_silent", "chunk_hold", "teleop", "arm_node"):
            if getattr(self.deadlines, name) < 2 / self.servo.rate:
                raise ValueError(f"deadlines.{name} is shorter than two periods of servo.rate {self.servo.rate:g}")
        return self
