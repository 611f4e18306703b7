"""What the arm node and the servo tell each other, as shared blocks; the servo itself speaks no ROS.

`request` and `chunk` are written by the arm node, `status` by the servo. Stamps are CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.geometry import Pose
from vla_ros.motion.player import Seam
from vla_ros.values import ActionChunk, ArmState, Command, Mode, Trace, Verdict

TARGETS = 64
"""Targets of a chunk that a block holds; a longer chunk is refused before it gets here (`vla_ros.motion.admission.LONGEST`)."""
CAMERAS = 8
TEXT = 512

CHUNK = np.dtype(
    [
        ("stamp", "i8"),
        ("step", "i8"),
        ("execute", "i4"),
        ("count", "i4"),
        ("sequence", "i8"),
        ("positions", "f8", (TARGETS, 3)),
        ("quaternions", "f8", (TARGETS, 4)),
        ("grippers", "f8", (TARGETS,)),
        ("policy", f"S{TEXT}"),
        ("instruction", f"S{TEXT}"),
        ("instance", "S64"),
        ("frames", "i8", (CAMERAS,)),  # sequence number of each camera's frame, in the order of the configuration
        ("received", "i8"),
        ("encoded", "i8"),
        ("decided", "i8"),
    ]
)
REQUEST = np.dtype(
    [
        ("beat", "i8"),  # when the arm node was last at work
        ("cameras", "i8", (CAMERAS,)),  # stamp of the newest frame, in the order of the configuration
        ("changed", "i8", (CAMERAS,)),  # exposure of the frame whose content last differed from the one before it
        ("policy", "i8"),
        ("instruction", f"S{TEXT}"),  # what the policy follows by its newest word; counts where `instructed` is not 0
        ("instructed", "i8"),  # when that was heard
        ("distrusted", "i8"),  # until when stamps are not believed, after a clock stepped
        ("refused", "u8"),  # chunks that did not get past the node, and why the last one did not
        ("refusal", "S32"),
        ("teleop_stamp", "i8"),  # 0: nobody has ever held a clutch
        ("teleop_twist", "f8", (6,)),
        ("teleop_gripper", "f8"),  # NaN: leave it
        ("teleop_in_tool", "i1"),
        ("fault", "u8"),  # counter of faults asked for, and the last one
        ("fault_target", "S32"),
        ("fault_kind", "S16"),
        ("fault_seconds", "f8"),
        ("fault_amount", "f8"),
        ("enable", "u8"),  # counters: one more is one more request
        ("disable", "u8"),
        ("stop", "u8"),
        ("reset", "u8"),
    ]
)
STATUS = np.dtype(
    [
        ("beat", "i8"),
        ("mode", "S16"),
        ("verdict", "S32"),
        ("twist", "f8", (6,)),
        ("gripper_target", "f8"),
        ("answered", "u8"),  # requests of any kind read so far, whatever became of them
        ("obstacles", f"S{TEXT}"),  # why the last enable or reset was refused
        ("refused", "u8"),  # chunks refused since the servo began, and why the last one was
        ("refusal", "S32"),
        ("source", "S8"),  # whose wish this command follows: policy, teleop, or nothing
        ("chunk_stamp", "i8"),  # exposure of the frame behind the command
        ("chunk_sequence", "i8"),
        ("chunk_instruction", f"S{TEXT}"),
        ("chunk_frames", "i8", (CAMERAS,)),
        ("chunk_received", "i8"),
        ("chunk_encoded", "i8"),
        ("chunk_decided", "i8"),
        ("chunk_began", "i8"),  # moment of the first command of that chunk
        ("seam_consumed", "i4"),
        ("seam_gap", "f8", (3,)),  # by what chunk and motion under way disagreed: m, m/s, rad
        ("seam_jump", "f8", (4,)),  # by what the reference jumped: m, m/s, m/s², m/s³
        ("seam_turn_jump", "f8", (4,)),  # rad, rad/s, rad/s², rad/s³
        ("seams", "u8"),  # how many there were
        ("cycles", "u8"),
        ("missed", "u8"),
        ("late", "i8"),  # ns, of this cycle
        ("arm_stamp", "i8"),
        ("joints", "f8", (7,)),
        ("velocities", "f8", (7,)),
        ("torques", "f8", (7,)),
        ("position", "f8", (3,)),
        ("quaternion", "f8", (4,)),
        ("gripper", "f8"),
        ("force", "f8", (3,)),
        ("fault", f"S{TEXT}"),
    ]
)


def _record(dtype: np.dtype[Any], **fields: Any) -> np.void:
    record = np.zeros(1, dtype)
    for name, value in fields.items():
        record[name] = value
    return record[0]  # type: ignore[no-any-return]


def cut(text: str) -> bytes:
    """UTF-8 of the text, cut to what a field holds without splitting a character."""
    return text.encode()[:TEXT].decode(errors="ignore").encode()


def pack_chunk(chunk: ActionChunk, cameras: Sequence[str] = ()) -> np.void:
    """The chunk as a record of `CHUNK`; `cameras` in the order of the configuration. Raises ValueError over TARGETS targets."""
    n, trace = len(chunk), chunk.trace
    if n > TARGETS:
        raise ValueError(f"a chunk of {n} targets: a block holds {TARGETS}")
    record = np.zeros(1, CHUNK)
    record["stamp"], record["step"], record["execute"] = chunk.stamp, chunk.step, chunk.execute
    record["count"], record["sequence"] = n, chunk.sequence
    record["positions"][0, :n] = chunk.positions[:n]
    record["quaternions"][0, :n] = chunk.quaternions[:n]
    record["grippers"][0, :n] = chunk.grippers[:n]
    record["policy"], record["instruction"] = cut(chunk.policy), cut(chunk.instruction)
    record["instance"], record["frames"] = trace.instance.encode(), frame_numbers(trace.frames, cameras)
    record["received"], record["encoded"], record["decided"] = trace.received, trace.encoded, trace.decided
    return record[0]  # type: ignore[no-any-return]


def unpack_chunk(record: np.void, cameras: Sequence[str] = ()) -> ActionChunk:
    """The chunk in a record of `CHUNK`."""
    n = min(max(0, int(record["count"])), TARGETS)
    trace = Trace(
        record["instance"].decode(errors="replace"),
        dict(zip(cameras, map(int, record["frames"]), strict=False)),
        *(int(record[name]) for name in ("received", "encoded", "decided")),
    )
    return ActionChunk(
        int(record["stamp"]),
        int(record["step"]),
        record["positions"][:n].copy(),
        record["quaternions"][:n].copy(),
        record["grippers"][:n].copy(),
        int(record["execute"]),
        record["policy"].decode(errors="replace"),
        record["instruction"].decode(errors="replace"),
        int(record["sequence"]),
        trace,
    )


def frame_numbers(frames: Mapping[str, int], cameras: Sequence[str]) -> list[int]:
    """The frames' sequence numbers in the order of the cameras, CAMERAS of them; 0 where there is none."""
    numbers = [int(frames.get(name, 0)) for name in cameras[:CAMERAS]]
    return numbers + [0] * (CAMERAS - len(numbers))


@dataclass(frozen=True)
class Report:
    """One cycle of the servo: what it commanded, saw and counted. `began` is the moment of the first command of `chunk`."""

    command: Command
    arm: ArmState | None = None
    chunk: ActionChunk | None = None
    began: int = 0
    seam: Seam | None = None
    seams: int = 0
    refused: int = 0
    refusal: Verdict = Verdict.OK
    answered: int = 0
    obstacles: str = ""
    cycles: int = 0
    missed: int = 0
    late: int = 0


def pack_status(report: Report, cameras: Sequence[str] = ()) -> np.void:
    """The report as a record of `STATUS`; `cameras` in the order of the configuration."""
    command = report.command
    fields: dict[str, Any] = {
        "beat": command.stamp,
        "mode": command.mode.name,
        "verdict": command.verdict.name,
        "twist": command.twist,
        "gripper_target": command.gripper,
        "refusal": report.refusal.name,
        "obstacles": cut(report.obstacles),
        "source": _SOURCES.get(command.mode, b""),
    }
    fields |= {name: getattr(report, name) for name in ("seams", "refused", "answered", "cycles", "missed", "late")}
    for part in (_chunk_fields(report, cameras), _seam_fields(report.seam), _arm_fields(report.arm)):
        fields |= part
    return _record(STATUS, **fields)


_SOURCES = {Mode.ACTIVE: b"policy", Mode.TELEOP: b"teleop"}


def _chunk_fields(report: Report, cameras: Sequence[str]) -> dict[str, Any]:
    chunk = report.chunk
    if chunk is None:
        return {}
    fields = {"stamp": chunk.stamp, "sequence": chunk.sequence, "instruction": cut(chunk.instruction)}
    fields |= {name: getattr(chunk.trace, name) for name in ("received", "encoded", "decided")}
    fields |= {"frames": frame_numbers(chunk.trace.frames, cameras), "began": report.began}
    return {f"chunk_{name}": value for name, value in fields.items()}


def _seam_fields(seam: Seam | None) -> dict[str, Any]:
    if seam is None:
        return {}
    gap = (seam.gap_position, seam.gap_velocity, seam.gap_rotation)
    return {
        "seam_consumed": seam.consumed, "seam_gap": gap, "seam_jump": seam.jump, "seam_turn_jump": seam.turn_jump,
    }  # fmt: skip


def _arm_fields(arm: ArmState | None) -> dict[str, Any]:
    if arm is None:
        return {}
    fields = {name: getattr(arm, name) for name in ("joints", "velocities", "torques", "gripper", "force")}
    fields |= {"arm_stamp": arm.stamp, "position": arm.tool.position, "quaternion": arm.tool.quaternion}
    return fields | {"fault": cut(arm.fault)}


def arm_state(status: np.void) -> ArmState | None:
    """The arm's feedback in a record of `STATUS`; None before the first."""
    if not status["arm_stamp"]:
        return None
    return ArmState(
        int(status["arm_stamp"]),
        status["joints"].copy(),
        status["velocities"].copy(),
        status["torques"].copy(),
        Pose(status["position"].copy(), status["quaternion"].copy()),
        float(status["gripper"]),
        status["force"].copy(),
        status["fault"].decode(errors="replace"),
    )


def mode(status: np.void) -> Mode:
    """Mode in a record of `STATUS`."""
    return Mode[status["mode"].decode()]


def verdict(status: np.void) -> Verdict:
    """Verdict in a record of `STATUS`."""
    return Verdict[status["verdict"].decode()]


def refusal(record: np.void) -> Verdict:
    """Why a chunk was refused, in a record of `STATUS` or `REQUEST`."""
    return Verdict[record["refusal"].decode() or Verdict.OK.name]
