"""What the twin's process and its clients tell each other, as shared blocks in the runtime folder.

| block | writer | content |
|---|---|---|
| arm_command | the servo | the newest twist and gripper position |
| arm_stop_NAME | servo, watchdog, … each its own | a counter: one more is one more stop |
| arm_feedback | twin | the arm's state |
| twin_state | twin | everything that a camera needs to see the scene |
| twin_request | `vla-ros sim` | a counter and what to do |
| twin_task | twin | the episode and how it stands |

Stamps are CLOCK_MONOTONIC ns; poses in the base frame, m and xyzw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.geometry import Array, Pose
from vla_ros.values import JOINTS, ArmState

Record = np.void
"""One value of a block."""
COORDINATES = 64
"""Most numbers of the simulator's configuration (qpos) that a block holds."""
LOOKS = 12
CUBES = 3
TEXT = 256
RESET = 1
"""The only action of a request so far: begin the episode of `seed`."""

COMMAND = np.dtype([("stamp", "i8"), ("twist", "f8", (6,)), ("gripper", "f8")])
STOP = np.dtype([("stamp", "i8"), ("counter", "i8")])
FEEDBACK = np.dtype(
    [
        ("stamp", "i8"),
        ("joints", "f8", (JOINTS,)),
        ("velocities", "f8", (JOINTS,)),
        ("torques", "f8", (JOINTS,)),
        ("position", "f8", (3,)),
        ("quaternion", "f8", (4,)),
        ("gripper", "f8"),
        ("force", "f8", (3,)),
        ("fault", f"S{TEXT}"),
    ]
)
STATE = np.dtype(
    [
        ("stamp", "i8"),
        ("time", "i8"),  # of the physics, ns
        ("episode", "i8"),
        ("coordinates", "f8", (COORDINATES,)),
        ("look", "f8", (LOOKS, 3)),  # tasks.Episode.look
    ]
)
REQUEST = np.dtype([("stamp", "i8"), ("counter", "i8"), ("action", "i4"), ("seed", "i8")])
TASK = np.dtype(
    [
        ("stamp", "i8"),
        ("episode", "i8"),  # counts resets
        ("seed", "i8"),
        ("target", "i4"),
        ("heights", "f8", (CUBES,)),
        ("success", "?"),
        ("wrong_object", "?"),
        ("instruction", f"S{TEXT}"),
        ("skipped", "i8"),  # ns of time that physics did not catch up
        ("answered", "i8"),  # counter of the last request acted upon
    ]
)


def record(dtype: np.dtype[Any], **fields: Any) -> Record:
    """One value of `dtype` with these fields; the others are zero."""
    value: NDArray[Any] = np.zeros(1, dtype)
    for name, field in fields.items():
        value[name] = field
    return value[0]  # type: ignore[no-any-return]


def pack_feedback(state: ArmState, stamp: int) -> Record:
    """The arm's state as a record of FEEDBACK, stamped anew."""
    return record(
        FEEDBACK,
        stamp=stamp,
        joints=state.joints,
        velocities=state.velocities,
        torques=state.torques,
        position=state.tool.position,
        quaternion=state.tool.quaternion,
        gripper=state.gripper,
        force=state.force,
        fault=state.fault.encode()[:TEXT].decode(errors="ignore").encode(),
    )


def unpack_feedback(value: Record) -> ArmState:
    """The arm's state in a record of FEEDBACK."""
    return ArmState(
        int(value["stamp"]),
        value["joints"].copy(),
        value["velocities"].copy(),
        value["torques"].copy(),
        Pose(value["position"].copy(), value["quaternion"].copy()),
        float(value["gripper"]),
        value["force"].copy(),
        value["fault"].decode(),
    )


def pack_state(stamp: int, time: int, episode: int, coordinates: Array, look: Array) -> Record:
    """The scene as a record of STATE: simulator coordinates (nq,) and look (rows, 3)."""
    value: NDArray[Any] = np.zeros(1, STATE)
    value["stamp"], value["time"], value["episode"] = stamp, time, episode
    value["coordinates"][0, : len(coordinates)] = coordinates
    value["look"][0, : len(look)] = look
    return value[0]  # type: ignore[no-any-return]
