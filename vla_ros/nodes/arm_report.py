"""What the arm node says of one cycle of the servo: ages, seams, counts, and where the command came from. No ROS in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vla_ros.clock import MILLISECOND
from vla_ros.motion import blocks
from vla_ros.motion.grasp import Grasp
from vla_ros.nodes.servo_link import age


def figures(status: np.void, now: int, grasp: Grasp = Grasp.MOVING) -> dict[str, Any]:
    """Ages, the last seam, refusals and the cycle counts of a record of `STATUS`, and what the gripper holds."""
    gap, jump, turn = status["seam_gap"].tolist(), status["seam_jump"].tolist(), status["seam_turn_jump"].tolist()
    return {
        "chunk_sequence": int(status["chunk_sequence"]),
        "chunk_age_ms": age(int(status["chunk_stamp"]), now),
        "feedback_age_ms": age(int(status["arm_stamp"]), now),
        "grasp": grasp.value,
        "fault": status["fault"].decode(errors="replace"),
        "refused": int(status["refused"]),
        "refusal": blocks.refusal(status).name,
        "seams": int(status["seams"]),
        "seam_consumed": int(status["seam_consumed"]),
        "seam_gap_mm": gap[0] * 1e3,
        "seam_gap_mm_per_s": gap[1] * 1e3,
        "seam_gap_rad": gap[2],
        **{f"seam_jump_{unit}": value for unit, value in zip(("m", "m_s", "m_s2", "m_s3"), jump, strict=True)},
        **{f"seam_jump_{unit}": value for unit, value in zip(("rad", "rad_s", "rad_s2", "rad_s3"), turn, strict=True)},
        "cycles": int(status["cycles"]),
        "missed": int(status["missed"]),
        **{f"force_{axis}_n": float(n) for axis, n in zip("xyz", status["force"], strict=True)},
    }


def origin(status: np.void, cameras: Sequence[str], to_ros: Callable[[int], int]) -> dict[str, Any]:
    """Whose wish the command follows, and the frames, chunk and instruction behind it; moments in ms since exposure."""
    exposure = int(status["chunk_stamp"])
    found: dict[str, Any] = {"source": status["source"].decode() or "nobody"}
    if not exposure:
        return found
    found |= {"instruction": status["chunk_instruction"].decode(errors="replace"), "chunk_stamp_ns": to_ros(exposure)}
    found |= {f"frame_{name}": int(n) for name, n in zip(cameras, status["chunk_frames"], strict=False)}
    moments = {name: int(status[f"chunk_{name}"]) for name in ("received", "encoded", "decided")}
    moments["command"] = int(status["chunk_began"])
    return found | {f"{name}_ms": (moment - exposure) / MILLISECOND for name, moment in moments.items() if moment}
