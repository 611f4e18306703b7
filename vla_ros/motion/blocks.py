"""What the arm node and the servo tell each other, as shared blocks; the servo itself speaks no ROS.

`request` and `chunk` are written by the arm node, `status` by the servo. Stamps are CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_ros.geometry import Pose
from vla_ros.motion.player import Seam
from vla_ros.values import ActionChunk, ArmState, Command, Mode, Verdict

TARGETS = 64
"""Targets of a chunk that a block holds; a longer chunk is cut: no more than these are ever played."""
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
    ]
)
REQUEST = np.dtype(
    [
        ("cameras", "i8", (CAMERAS,)),  # stamp of the newest frame, in the order of the configuration
        ("policy", "i8"),
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
        ("chunk_stamp", "i8"),
        ("chunk_sequence", "i8"),
        ("seam_position", "f8"),
        ("seam_velocity", "f8"),
        ("seam_rotation", "f8"),
        ("seam_consumed", "i4"),
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


def _cut(text: str) -> bytes:
    """UTF-8 of the text, cut to what a field holds without splitting a character."""
    return text.encode()[:TEXT].decode(errors="ignore").encode()


def pack_chunk(chunk: ActionChunk) -> np.void:
    """The chunk as a record of `CHUNK`."""
    n = min(len(chunk), TARGETS)
    record = np.zeros(1, CHUNK)
    record["stamp"], record["step"], record["execute"] = chunk.stamp, chunk.step, chunk.execute
    record["count"], record["sequence"] = n, chunk.sequence
    record["positions"][0, :n] = chunk.positions[:n]
    record["quaternions"][0, :n] = chunk.quaternions[:n]
    record["grippers"][0, :n] = chunk.grippers[:n]
    record["policy"], record["instruction"] = _cut(chunk.policy), _cut(chunk.instruction)
    return record[0]  # type: ignore[no-any-return]


def unpack_chunk(record: np.void) -> ActionChunk:
    """The chunk in a record of `CHUNK`."""
    n = min(max(0, int(record["count"])), TARGETS)
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
    )


def pack_status(
    command: Command,
    arm: ArmState | None,
    playing: ActionChunk | None,
    seam: Seam | None,
    answered: int,
    obstacles: str,
    cycles: int,
    missed: int,
    late: int,
) -> np.void:
    """What the servo did and saw in one cycle as a record of `STATUS`."""
    fields: dict[str, Any] = {
        "beat": command.stamp,
        "mode": command.mode.name,
        "verdict": command.verdict.name,
        "twist": command.twist,
        "gripper_target": command.gripper,
        "answered": answered,
        "obstacles": _cut(obstacles),
        "cycles": cycles,
        "missed": missed,
        "late": late,
    }
    if playing is not None and seam is not None:
        fields |= {"chunk_stamp": playing.stamp, "chunk_sequence": playing.sequence}
        fields |= {"seam_position": seam.position, "seam_velocity": seam.velocity}
        fields |= {"seam_rotation": seam.rotation, "seam_consumed": seam.consumed}
    if arm is not None:
        fields |= {"arm_stamp": arm.stamp, "joints": arm.joints, "velocities": arm.velocities}
        fields |= {"torques": arm.torques, "position": arm.tool.position, "quaternion": arm.tool.quaternion}
        fields |= {"gripper": arm.gripper, "force": arm.force, "fault": _cut(arm.fault)}
    return _record(STATUS, **fields)


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
