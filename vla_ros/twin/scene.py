"""The MuJoCo scene, made from numbers: Gen3, 2F-85, table with the painted workspace, objects, two cameras.

Link poses, masses and inertias are facts of Kinova's URDF (ros2_kortex, BSD-3, see NOTICE). Shells are
primitive shapes; there are no asset files. Inside MJCF quaternions are wxyz.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.config.schema import CameraConfig, Config
from vla_ros.geometry import Array
from vla_ros.twin import board, gripper
from vla_ros.twin.gripper import FINGER_BELOW_TOOL as FINGER_BELOW_TOOL
from vla_ros.twin.shells import ARM_SHELLS, BASE_SHELLS, GRIPPER_SHELLS, Shell, camera_shell

OPTICAL_TO_MUJOCO: Array = np.array([1.0, 0.0, 0.0, 0.0])
"""Half a turn about x: the optical frame has y down and z forward, MuJoCo's camera y up and z backward."""

# mass kg, centre of mass m, inertia about it kg·m² (xx yy zz xy xz yz), effort N·m; from the URDF
_INERTIAL = (
    (1.3773, "-2.3e-05 -0.010364 -0.07336", "0.00457 0.004831 0.001409 1e-06 2e-06 0.000448", 39),
    (1.1636, "-4.4e-05 -0.09958 -0.013278", "0.011088 0.001072 0.011255 5e-06 0 -0.000691", 39),
    (1.1636, "-4.4e-05 -0.006641 -0.117892", "0.010932 0.011127 0.001043 0 -7e-06 0.000606", 39),
    (0.9302, "-1.8e-05 -0.075478 -0.015006", "0.008147 0.000631 0.008316 -1e-06 0 -0.0005", 39),
    (0.6781, "1e-06 -0.009432 -0.063883", "0.001596 0.001607 0.000399 0 0 0.000256", 9),
    (0.6781, "1e-06 -0.045483 -0.00965", "0.001641 0.00041 0.001641 0 0 -0.000278", 9),
    (0.5, "0.000281 0.011402 -0.029798", "0.000587 0.000369 0.000609 3e-06 3e-06 -0.000118", 9),
)
_ARMATURE = (0.1,) * 4 + (0.03,) * 3
_STIFFNESS = (2000.0,) * 4 + (500.0,) * 3
SERVO_LAG = 0.055
"""How far the joints trail their targets, s: damping over stiffness of the servos; the arm has 50-80 ms."""

ARM_MASK = 'contype="1" conaffinity="2"'
WORLD_MASK = 'contype="2" conaffinity="3"'
NO_MASK = 'contype="0" conaffinity="0"'
GRIP_TORQUE = 5.0
GRIP_STIFFNESS = 100.0
"""N·m and N·m/rad on the mean of both driven links: about 40 N between the pads."""


@dataclass(frozen=True)
class ObjectSpec:
    """A loose object; `half` m is half a box's edge or the radius (a cylinder is three halves high)."""

    name: str
    shape: Literal["box", "cylinder", "ball"] = "box"
    half: float = 0.02
    mass: float = 0.05


def build(config: Config, objects: Sequence[ObjectSpec]) -> mujoco.MjModel:
    """The compiled scene; qpos: joints 1-7, the gripper's four, then position and wxyz of each object."""
    model = mujoco.MjModel.from_xml_string(xml(config, objects))
    _widen_bounds(model)
    return model


def _widen_bounds(model: mujoco.MjModel) -> None:
    """Make each body's bounding box hold every geom of the body, and centre it on the body's centre of mass.

    mj_multiRay (3.17) skips a body by the sphere around this box, but forgets to turn the box's centre with
    the body, and the box leaves out geoms that do not collide: fingers would vanish from images. A larger
    box only costs time.
    """
    for body in np.flatnonzero(model.body_bvhadr >= 0):
        box = model.bvh_aabb[model.body_bvhadr[body]]
        geoms = np.flatnonzero(model.geom_bodyid == body)
        reach = np.linalg.norm(model.geom_pos[geoms] - model.body_ipos[body], axis=1) + model.geom_rbound[geoms]
        box[3:] = np.maximum(box[3:] + np.abs(box[:3]), reach.max() / np.sqrt(3))
        box[:3] = 0.0


def xml(config: Config, objects: Sequence[ObjectSpec]) -> str:
    """The scene as MJCF."""
    cameras = {
        parent: "".join(_camera(n, c) for n, c in config.cameras.items() if c.parent == parent)
        for parent in ("base", "tool")
    }
    cameras["tool"] += board.geom(config, "tool")
    return f"""<mujoco model="kinova_gen3_2f85">
<compiler angle="radian" autolimits="true"/>
<option timestep="{config.twin.timestep}" integrator="implicitfast" cone="elliptic" impratio="10"/>
<statistic extent="1" center="0.3 0 0.2"/>
<visual><global offwidth="1920" offheight="1080"/><quality offsamples="0"/><map znear="0.02"/></visual>
<worldbody>
<light name="key" directional="true" pos="0.9 -0.6 1.6" dir="-0.35 0.45 -1" diffuse="0.6 0.6 0.6"
 castshadow="false"/>
<light name="fill" directional="true" pos="0 1 2" dir="0.3 -0.6 -1" diffuse="0.2 0.2 0.2" castshadow="false"/>
{_table(config)}{_shells(BASE_SHELLS, ARM_MASK)}{_arm(_gripper(cameras["tool"]))}{cameras["base"]}{board.geom(config, "base")}
{"".join(_object(o, i) for i, o in enumerate(objects))}
</worldbody>
{_EQUALITIES}
{_actuators()}{board.text(config)}
</mujoco>"""


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{v:.10g}" for v in values)


def _wxyz(xyzw: Array) -> str:
    return _numbers((xyzw[3], xyzw[0], xyzw[1], xyzw[2]))


def _shells(shells: Iterable[Shell], mask: str) -> str:
    return "".join(
        f'<geom {s.attributes} rgba="{_numbers(s.colour)} 1" mass="0" {NO_MASK if s.ornament else mask}/>'
        for s in shells
    )


def _table(config: Config) -> str:
    low, high = np.array(config.workspace.low), np.array(config.workspace.high)
    centre, half = (low + high) / 2, (high - low) / 2
    top = config.workspace.table + config.twin.table_offset
    pose = f'type="box" pos="{centre[0]} {centre[1]} {top}" {NO_MASK}'
    return f"""
<body name="floor" pos="0 0 {top - 0.76}">
<geom name="floor" type="box" size="12 12 0.01" rgba="0.62 0.64 0.66 1" {NO_MASK}/></body>
<geom name="table" type="box" pos="0.25 0 {top - 0.02}" size="0.55 0.5 0.02" rgba="0.72 0.60 0.45 1"
 {WORLD_MASK} {_OBJECT_CONTACT}/>
<geom name="border" {pose} size="{half[0] + 0.004} {half[1] + 0.004} 0.0003" rgba="0.95 0.95 0.93 1"/>
<geom name="mat" {pose} size="{half[0]} {half[1]} 0.0006" rgba="0.42 0.45 0.48 1"/>
"""


_OBJECT_CONTACT = 'friction="1 0.005 0.0001" condim="4" solref="0.01 1" solimp="0.95 0.99 0.001"'


def _object(spec: ObjectSpec, index: int) -> str:
    size = {"box": (spec.half,) * 3, "cylinder": (spec.half, 1.5 * spec.half), "ball": (spec.half,)}[spec.shape]
    kind = "sphere" if spec.shape == "ball" else spec.shape
    return (
        f'<body name="{spec.name}" pos="{0.4 + 0.1 * index} 0.4 0.05"><freejoint/>'
        f'<geom name="{spec.name}" type="{kind}" size="{_numbers(size)}" mass="{spec.mass}" '
        f"{WORLD_MASK} {_OBJECT_CONTACT}/></body>"
    )


def _arm(tip: str) -> str:
    for i in reversed(range(7)):
        mass, centre, inertia, _ = _INERTIAL[i]
        limit = kinematics.POSITION_LIMITS[i]
        bounds = f'range="{-limit} {limit}"' if np.isfinite(limit) else ""
        tip = (
            f'<body name="link_{i + 1}" pos="{_numbers(kinematics.LINK_POSITIONS[i])}" '
            f'quat="{_wxyz(kinematics.LINK_QUATERNIONS[i])}" gravcomp="1">'
            f'<inertial mass="{mass}" pos="{centre}" fullinertia="{inertia}"/>'
            f'<joint name="joint_{i + 1}" axis="0 0 1" armature="{_ARMATURE[i]}" {bounds}/>'
            f"{_shells(ARM_SHELLS[i], ARM_MASK)}{tip}</body>"
        )
    return tip


def _gripper(cameras: str) -> str:
    mount = kinematics.GRIPPER_MOUNT
    return (
        f'<body name="gripper" pos="{_numbers(mount.position)}" '
        f'quat="{_wxyz(mount.quaternion)}" gravcomp="1">'
        '<inertial mass="0.78" pos="0 0 0.04" diaginertia="0.0006 0.0005 0.0005"/>'
        f"{_shells(GRIPPER_SHELLS, ARM_MASK)}{_finger('left', 1)}{_finger('right', -1)}{cameras}"
        f'<site name="tool" pos="0 0 {kinematics.TOOL_OFFSET}" size="0.001" group="5"/></body>'
    )


_STEEL = f'rgba="0.24 0.25 0.27 1" mass="0" {ARM_MASK}'
_PAD_CONTACT = 'friction="1 0.005 0.0001" condim="4" solref="0.004 1" solimp="0.95 0.99 0.001" priority="1"'


def _finger(name: str, side: int) -> str:
    (y, z), (dy, dz), (_, pad_z) = gripper.PIVOT, gripper.LINK, gripper.PAD
    half = gripper.PAD_HALF
    pad_y = gripper.STROKE / 2 - y - dy + half[1]
    pads = "".join(
        f'<geom type="box" size="{_numbers(half)}" pos="0 {side * pad_y} {pad_z + (1 + 2 * k) * half[2]}" '
        f'rgba="0.16 0.16 0.17 1" {_PAD_CONTACT} {ARM_MASK}/>'
        for k in (0, 1)
    )
    inertia = 'diaginertia="1e-5 1e-5 1e-5"'
    back = pad_y + half[1] + 0.0035
    return f"""<body name="{name}_link" pos="0 {side * y} {z}" gravcomp="1">
<inertial mass="0.03" pos="0 {side * dy / 2} {dz / 2}" {inertia}/>
<joint name="{name}_link" axis="{side} 0 0" range="0 {gripper.CLOSED}" armature="0.005" damping="0.1"/>
<geom type="capsule" size="0.009" fromto="0 0 0 0 {side * dy} {dz}" {_STEEL}/>
<body name="{name}_finger" pos="0 {side * dy} {dz}" gravcomp="1">
<inertial mass="0.04" pos="0 0 0.02" {inertia}/>
<joint name="{name}_finger" axis="{side} 0 0" range="{-gripper.CLOSED - 0.1} 0.1" armature="0.002"
 damping="0.02"/>
<geom type="box" size="0.0115 0.0035 0.027" pos="0 {side * back} {pad_z + 0.0095}" {_STEEL}/>
{pads}</body></body>"""


_COUPLING = 'solref="0.005 1" solimp="0.95 0.99 0.001"'
_EQUALITIES = f"""<equality>
<joint joint1="right_link" joint2="left_link" polycoef="0 1 0 0 0" {_COUPLING}/>
<joint joint1="left_finger" joint2="left_link" polycoef="0 -1 0 0 0" {_COUPLING}/>
<joint joint1="right_finger" joint2="right_link" polycoef="0 -1 0 0 0" {_COUPLING}/>
</equality>
<tendon><fixed name="grip">
<joint joint="left_link" coef="0.5"/><joint joint="right_link" coef="0.5"/></fixed></tendon>"""


def _actuators() -> str:
    servos = "".join(
        f'<position joint="joint_{i + 1}" kp="{k}" kv="{k * SERVO_LAG}" '
        f'forcerange="{-_INERTIAL[i][3]} {_INERTIAL[i][3]}"/>'
        for i, k in enumerate(_STIFFNESS)
    )
    grip = f'<position tendon="grip" kp="{GRIP_STIFFNESS}" kv="2" forcerange="{-GRIP_TORQUE} {GRIP_TORQUE}"/>'
    return f"<actuator>{servos}{grip}</actuator>"


def delivered(camera: CameraConfig) -> tuple[float, float, float, float]:
    """Focal lengths and principal point (fx, fy, cx, cy) in delivered pixels (centres at whole numbers).

    A delivered pixel u covers the full-sensor pixels roi.x + binning·u … roi.x + binning·(u + 1) - 1.
    """
    b, (x, y, _, _) = camera.binning, camera.roi
    half = (b - 1) / 2
    return camera.fx / b, camera.fy / b, (camera.cx - x - half) / b, (camera.cy - y - half) / b


def _camera(name: str, camera: CameraConfig) -> str:
    fx, fy, cx, cy = delivered(camera)
    width, height = camera.roi[2] // camera.binning, camera.roi[3] // camera.binning
    position = np.array(camera.position)
    if camera.parent == "tool":
        position[2] += kinematics.TOOL_OFFSET
    quaternion = geometry.normalized(np.array(camera.quaternion))
    turned = geometry.multiply(quaternion, OPTICAL_TO_MUJOCO)
    return (  # MuJoCo counts the principal point from the image's middle and against the pixels
        f'<camera name="{name}" pos="{_numbers(position)}" quat="{_wxyz(turned)}" '
        f'resolution="{width} {height}" '
        f'sensorsize="{width * 1e-5:.10g} {height * 1e-5:.10g}" focalpixel="{fx:.10g} {fy:.10g}" '
        f'principalpixel="{(width - 1) / 2 - cx:.10g} {(height - 1) / 2 - cy:.10g}"/>'
        + _shells(camera_shell(position, quaternion) if camera.parent == "tool" else (), ARM_MASK)
    )


LIGHT_ROW = 3
_LOOK = ("table", "mat", "floor")


def paint(model: mujoco.MjModel, look: Array, names: Sequence[str]) -> None:
    """Give table, mat, floor, light and the objects `names` the colours of `look` (tasks.Episode.look)."""
    for row, geom in zip(look, (*_LOOK, None, *names), strict=True):
        if geom is not None:
            model.geom_rgba[model.geom(geom).id, :3] = row
    light = look[LIGHT_ROW]
    model.light_dir[0] = light / np.linalg.norm(light)


def update(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Bring everything that is rendered in line with the coordinates: poses of geoms, cameras and lights."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
