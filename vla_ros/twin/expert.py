"""An expert that lifts a cube: a pure function of the simulator's state, so that any state can be labelled.

It rolls an ideal tool forward from the measured pose. Every decision is a smooth function of where tool,
fingers and cube are, so that a few millimetres of noise do not make it change its mind. Metres, radians,
seconds; base frame, table at z = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from vla_ros import geometry
from vla_ros.geometry import Array, Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.twin.gripper import FINGER_BELOW_TOOL

HOVER = 0.10
"""Tool height to travel at: open fingers pass 5 cm above the cubes."""
GRASP = FINGER_BELOW_TOOL + 0.005
"""Tool height to close at: wherever they are on their stroke, the fingers stay 5 mm above the table."""
TOUCH = FINGER_BELOW_TOOL + 0.05
"""Tool height at which the fingers are 1 cm above a cube that they may land on: from here on slowly."""
LIFT = 0.16
CRUISE = 0.14
SLOW = 0.05
"""m/s allowed near the table."""
DECELERATION = 0.4
APPROACH_GAIN = 6.0
"""1/s: in the last millimetres the speed is this times the distance."""
TURN_SPEED, TURN_GAIN = math.radians(20), 4.0
GRIPPER_SPEED = 1 / 0.6
STALL = 0.55
"""Gripper position where the pads meet a 4 cm cube."""
GRASPED = (0.40, 0.64)
"""Measured gripper positions that mean a cube, when the fingers stand still."""
STILL = 0.25
"""1/s: fingers slower than this stand still."""
_SUBSTEP = 0.02


@dataclass(frozen=True)
class State:
    """What the expert looks at: tool pose, gripper as measured (0 open … 1 closed) with its speed 1/s, the
    position it was last told, and the centre (3,) m of the cube it is after."""

    tool: Pose
    gripper: float
    gripper_speed: float
    gripper_command: float
    cube: Array


def plan(state: State, steps: int = 10, step: float = 0.1, speed: float = CRUISE) -> tuple[Array, Array, Array]:
    """Absolute targets: positions (n, 3), quaternions (n, 4) xyzw, grippers (n,).

    Target k holds (k + 1)·step s from now.
    """
    targets = []
    substeps = max(1, round(step / _SUBSTEP))
    for _ in range(steps):
        for _ in range(substeps):
            state = advance(state, step / substeps, speed)
        targets.append(state)
    positions = np.array([s.tool.position for s in targets])
    quaternions = np.array([s.tool.quaternion for s in targets])
    return positions, quaternions, np.array([s.gripper_command for s in targets])


def advance(state: State, duration: float, speed: float = CRUISE) -> State:
    """The state `duration` s later, when the expert's tool is ideal and nothing slips."""
    goal, gripper = decide(state)
    away = goal - state.tool.position
    distance = math.sqrt(float(away @ away))
    pace = min(_pace(float(state.tool.position[2]), distance, speed), distance / duration)
    move = away * (pace * duration / distance) if distance > 1e-9 else np.zeros(3)
    tool = Pose(state.tool.position + move, _levelled(state.tool.quaternion, duration))
    cube = state.cube + move if _holds(state) else state.cube
    fingers = _moved_fingers(state, gripper, duration)
    return State(tool, fingers, (fingers - state.gripper) / duration, gripper, cube)


def decide(state: State) -> tuple[Array, float]:
    """Where the tool should go now (3,), and what the gripper should do (0 open, 1 close)."""
    x, y, z = state.tool.position.tolist()
    if _holds(state):
        return np.array([x, y, max(LIFT, z)]), 1.0
    if _between(state):
        return np.array([x, y, GRASP if z < HOVER else z]), 1.0
    return _towards(state, x, y, z), 0.0


def _towards(state: State, x: float, y: float, z: float) -> Array:
    """Up when low and off the cube, then above it, then down on it: no switch that could chatter."""
    dx, dy = (state.cube[:2] - state.tool.position[:2]).tolist()
    off = math.hypot(dx, dy)
    centred = 1.0 - _smooth(off, 0.006, 0.016)
    opened = 1.0 - _smooth(state.gripper, 0.10, 0.25)
    clear = _smooth(z, 0.060, 0.080) if opened > 0.5 else _smooth(z, HOVER - 0.02, HOVER)
    share = max(clear, centred)
    height = HOVER + centred * opened * (GRASP - HOVER)
    return np.array([x + share * dx, y + share * dy, height])


def _between(state: State) -> bool:
    """Whether the cube is between the fingers: a wider answer once the gripper was told to close."""
    away = state.cube - state.tool.position
    off = math.hypot(float(away[0]), float(away[1]))
    above = float(state.tool.position[2]) - max(GRASP, float(state.cube[2]) + GRASP - 0.02)
    closing = state.gripper_command > 0.5
    return off < (0.018 if closing else 0.010) and abs(above) < (0.014 if closing else 0.005)


def _holds(state: State) -> bool:
    """Whether the fingers were stopped by the cube."""
    low, high = GRASPED
    told = state.gripper_command > 0.5 and _between(state)
    return told and low < state.gripper < high and abs(state.gripper_speed) < STILL


def _pace(height: float, distance: float, speed: float) -> float:
    """Speed m/s: braking in time for the goal, slow where the fingers may touch a cube or the table."""
    near_table = SLOW + (speed - SLOW) * _smooth(height, TOUCH, TOUCH + 0.04)
    return min(speed, near_table, math.sqrt(2 * DECELERATION * distance), APPROACH_GAIN * distance)


def _levelled(quaternion: Array, duration: float) -> Array:
    """Orientation after turning towards straight down for `duration` s."""
    turn = geometry.difference(TOOL_DOWN, quaternion)
    angle = math.sqrt(float(turn @ turn))
    if angle < 1e-6:
        return TOOL_DOWN
    share = min(TURN_SPEED / angle, TURN_GAIN) * duration
    return geometry.normalized(geometry.multiply(geometry.exp(min(share, 1.0) * turn), quaternion))


def _moved_fingers(state: State, wanted: float, duration: float) -> float:
    """Gripper position after `duration` s; a cube between the fingers stops them."""
    end = min(wanted, max(STALL, state.gripper)) if _between(replace(state, gripper_command=1.0)) else wanted
    reach = GRIPPER_SPEED * duration
    return state.gripper + min(max(end - state.gripper, -reach), reach)


def _smooth(value: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)
