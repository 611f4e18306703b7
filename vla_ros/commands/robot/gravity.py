"""`gravity`: at rest no force is felt at the tool, whichever way it points; and the torques have the sign of what holds the arm up."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.commands.robot.cell import TURN, Cell, along, move
from vla_ros.commands.robot.verdict import Judge, Verdict
from vla_ros.config import Config
from vla_ros.geometry import Array
from vla_ros.values import JOINTS, ArmState

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Operator

GRAVITY = Judge("gravity")
MASSES: Array = np.array([1.3773, 1.1636, 1.1636, 0.9302, 0.6781, 0.6781, 0.5])
"""kg of links 1 to 7, the last with its interface module (Kinova's URDF, as in `vla_ros.twin.scene`)."""
CENTRES: Array = np.array(
    [
        [-2.3e-05, -0.010364, -0.07336],
        [-4.4e-05, -0.09958, -0.013278],
        [-4.4e-05, -0.006641, -0.117892],
        [-1.8e-05, -0.075478, -0.015006],
        [1e-06, -0.009432, -0.063883],
        [1e-06, -0.045483, -0.00965],
        [0.000281, 0.011402, -0.029798],
    ]
)
"""Their centres of mass in the links' frames, m (likewise)."""
STANDARD_GRAVITY = 9.81
FELT = 5.0
"""N at rest: more is another payload than the tool that is configured. The governor takes the force at enabling for zero."""
TURNED = 20.0
"""Degrees that the tool is turned about x and y, each way."""
SETTLING, SAMPLES, APART = 0.5, 25, 0.02
ALIKE = 0.9
"""Cosine between measured and modelled torques: above it the sign is right, below its negative it is the other."""
LEAST = 1.0
"""N·m of modelled torque below which a joint tells nothing."""


@dataclass(frozen=True)
class AtRest:
    """What was felt at one orientation: mean force (3,) N on the tool, mean torques (7,) N·m, and those that gravity asks for."""

    force: Array
    torques: Array
    modelled: Array


def gravity(cell: Cell) -> Verdict:
    """Feel at rest, then turned by 20° about x and y, each way, and back."""
    felt = []
    with cell.arm() as operator:
        felt.append(at_rest(operator, cell.config))
        for axis, way in ((3, 1), (3, -1), (4, 1), (4, -1)):
            cell.say(f"turning {way * TURNED:+.0f}° about {'xy'[axis - 3]}, and back")
            twist, seconds = along(axis, way * TURN), math.radians(TURNED) / TURN
            move(cell, operator, twist, seconds)
            felt.append(at_rest(operator, cell.config))
            move(cell, operator, -twist, seconds)
    return judge_gravity(felt)


def at_rest(operator: Operator, config: Config) -> AtRest:
    """Feedback once the arm has settled, averaged."""
    states: list[ArmState] = []
    time.sleep(SETTLING)
    for _ in range(SAMPLES):
        states.append(operator.feedback())
        time.sleep(APART)
    force = np.mean([s.force for s in states], axis=0)
    torques = np.mean([s.torques for s in states], axis=0)
    return AtRest(
        force, torques, holding_torques(states[-1].joints, config.arm.tool_mass, np.array(config.arm.tool_centre))
    )


def holding_torques(joints: Array, tool_mass: float, tool_centre: Array) -> Array:
    """(7,) N·m that hold the arm at `joints` (7,) rad, with a tool of that mass, kg, and centre in the flange's frame, m.

    Joint i holds, about its axis, the moments of the weights behind it (Craig, Introduction to Robotics, §6.3 at rest).
    """
    frames = kinematics.link_frames(joints)
    flange = kinematics.GRIPPER_MOUNT.position + geometry.rotate(kinematics.GRIPPER_MOUNT.quaternion, tool_centre)
    points = [frames[k + 1] @ np.append(CENTRES[k], 1) for k in range(JOINTS)] + [frames[JOINTS] @ np.append(flange, 1)]
    places, masses = np.array(points)[:, :3], np.append(MASSES, tool_mass)
    weights = np.outer(masses, [0.0, 0.0, -STANDARD_GRAVITY])
    torques = np.empty(JOINTS)
    for i in range(JOINTS):
        axis, origin = frames[i + 1, :3, 2], frames[i + 1, :3, 3]
        moment = np.cross(places[i:] - origin, weights[i:]).sum(axis=0)
        torques[i] = -axis @ moment
    return torques


def judge_gravity(felt: Sequence[AtRest]) -> Verdict:
    """Little force everywhere; torques along those that gravity asks for."""
    force = max(float(np.linalg.norm(at.force)) for at in felt)
    cosine = likeness(felt)
    figures = {"force_n": force, "torque_cosine": cosine}
    text = f"at most {force:.1f} N felt at {len(felt)} orientations; torques and gravity agree by {cosine:+.2f}"
    if cosine < -ALIKE:
        remedy = "do not run the service: the torques' sign in the driver is not this arm's; write to the authors with --json"
        return GRAVITY.failed(f"{text}: the sign is the other", remedy, **figures)
    if force > FELT:
        remedy = "weigh the tool with its camera and cable: arm.tool_mass, arm.tool_centre; zero the torque sensors in the Web App"
        return GRAVITY.failed(f"{text}: another payload than configured", remedy, **figures)
    if cosine < ALIKE:
        return GRAVITY.unsure(
            text,
            "something leans on the arm, or its torque sensors are off: zero them in the Web App, then again",
            **figures,
        )
    return GRAVITY.passed(text, **figures)


def likeness(felt: Sequence[AtRest]) -> float:
    """Cosine between measured and modelled torques over the joints that carry something; 0 where none does."""
    measured, modelled = np.concatenate([at.torques for at in felt]), np.concatenate([at.modelled for at in felt])
    carrying = np.abs(modelled) > LEAST
    a, b = measured[carrying], modelled[carrying]
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale else 0.0
