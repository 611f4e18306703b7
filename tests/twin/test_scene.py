"""The scene is the same arm as vla_ros.kinematics, and its cameras are the configured pinholes."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from vla_ros import geometry, kinematics
from vla_ros.config import CameraConfig, load
from vla_ros.geometry import Pose
from vla_ros.twin import gripper, scene
from vla_ros.twin.render import GlRenderer, RayRenderer, RenderError, make_renderer

CONFIG = load()
BALL = scene.ObjectSpec("ball", "ball", half=0.03)
PLACES = {
    "static": ((0.40, -0.15, 0.03), (0.55, 0.1, 0.03), (0.47, 0.2, 0.06), (0.52, -0.2, 0.10)),
    "wrist": ((0.45, 0.0, 0.05), (0.46, 0.05, 0.02), (0.44, 0.06, 0.02), (0.47, -0.06, 0.03)),
}


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build(CONFIG, [BALL])


def settled(model: mujoco.MjModel, ball: tuple[float, float, float] = (0.5, 0.0, 0.03)) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:7] = kinematics.HOME
    data.qpos[11:18] = [*ball, 1, 0, 0, 0]
    scene.update(model, data)
    return data


def projected(camera: CameraConfig, point: np.ndarray) -> np.ndarray:
    """Delivered pixel of a point in the base frame, written as OpenCV does it."""
    mount = Pose(np.array(camera.position), geometry.normalized(np.array(camera.quaternion)))
    if camera.parent == "tool":
        mount = geometry.compose(kinematics.forward(kinematics.HOME), mount)
    x, y, z = geometry.compose(geometry.inverse(mount), Pose(point, geometry.IDENTITY_QUATERNION)).position
    full = np.array([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])
    return (full - camera.roi[:2] - (camera.binning - 1) / 2) / camera.binning


def test_forward_kinematics_is_the_same_as_mujocos(model: mujoco.MjModel) -> None:
    data, site = mujoco.MjData(model), model.site("tool").id
    for joints in np.random.default_rng(0).uniform(-3, 3, (50, 7)):
        data.qpos[:7] = joints
        mujoco.mj_kinematics(model, data)
        tool = kinematics.forward(joints)
        np.testing.assert_allclose(data.site_xpos[site], tool.position, atol=1e-6)
        np.testing.assert_allclose(data.site_xmat[site].reshape(3, 3), geometry.matrix(tool.quaternion), atol=1e-6)


@pytest.mark.parametrize("name", ["static", "wrist"])
def test_a_ball_appears_where_the_pinhole_puts_it(model: mujoco.MjModel, name: str) -> None:
    renderer = RayRenderer(model, CONFIG.cameras[name], name)
    for place in PLACES[name]:
        rows, columns = np.nonzero(renderer.segment(settled(model, place)) == model.geom("ball").id)
        assert rows.min() > 0
        assert rows.max() < renderer.shape[0] - 1
        expected = projected(CONFIG.cameras[name], np.array(place))
        np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=0.3)


@pytest.mark.parametrize("name", ["static", "wrist"])
def test_no_ray_loses_a_geom(model: mujoco.MjModel, name: str) -> None:
    """mj_multiRay culls whole bodies; mj_ray does not. Both must see the same."""
    renderer, data = RayRenderer(model, CONFIG.cameras[name], name), settled(model)
    seen = renderer.segment(data).ravel()
    camera = model.camera(name).id
    rays = renderer.directions @ data.cam_xmat[camera].reshape(3, 3).T
    geom, groups = np.zeros(1, np.int32), np.array([1, 1, 1, 0, 0, 0], np.uint8)
    for i in range(0, len(rays), 3):
        mujoco.mj_ray(model, data, data.cam_xpos[camera], rays[i], groups, 1, -1, geom, None)
        assert geom[0] == seen[i]


def test_images_have_the_delivered_shape_and_the_colours_of_the_scene(model: mujoco.MjModel) -> None:
    look = np.full((5, 3), 0.5)
    look[scene.LIGHT_ROW], look[4] = (0, 0, -1), (1, 0, 0)
    scene.paint(model, look, ["ball"])
    image = make_renderer(model, CONFIG.cameras["static"], "static").render(settled(model, (0.5, 0.1, 0.03)))
    assert image.shape == (80, 120, 3)
    assert image.dtype == np.uint8
    column, row = projected(CONFIG.cameras["static"], np.array([0.5, 0.1, 0.03])).round().astype(int)
    red, green, blue = image[row, column].astype(int)
    assert red > 150
    assert max(green, blue) < 10


@pytest.mark.filterwarnings("ignore")
def test_opengl_sees_the_same_as_the_rays(model: mujoco.MjModel) -> None:
    camera, place = CONFIG.cameras["static"], (0.5, 0.1, 0.03)
    try:
        renderer = GlRenderer(model, camera, "static")
    except RenderError as error:
        pytest.skip(str(error))
    model.geom_rgba[model.geom("ball").id] = (1, 0, 0, 1)
    image = renderer.render(settled(model, place)).astype(int)
    renderer.close()
    rows, columns = np.nonzero((image[..., 0] > 60) & (image[..., 1:].max(axis=2) < image[..., 0] // 3))
    np.testing.assert_allclose([columns.mean(), rows.mean()], projected(camera, np.array(place)), atol=0.5)


def test_the_finger_tips_reach_as_far_as_the_ground_floor_says(model: mujoco.MjModel) -> None:
    positions = np.linspace(0, 1, 101)
    assert max(map(gripper.below_tool, positions)) == pytest.approx(scene.FINGER_BELOW_TOOL, abs=1e-5)
    assert pytest.approx(scene.FINGER_BELOW_TOOL, abs=1e-4) == kinematics.FINGER_BELOW_TOOL


@pytest.mark.parametrize("position", [0.0, 0.5, 1.0])
def test_the_mechanism_is_where_its_formulas_say(model: mujoco.MjModel, position: float) -> None:
    data = settled(model)
    angle = position * gripper.CLOSED
    data.qpos[7:11] = [angle, -angle, angle, -angle]
    scene.update(model, data)
    pads = [g for g in range(model.ngeom) if model.body(model.geom_bodyid[g]).name.endswith("_finger")]
    pads = [g for g in pads if model.geom_priority[g] == 1]
    tool, down = data.site("tool").xpos, data.site("tool").xmat.reshape(3, 3)
    local = np.array([(data.geom_xpos[g] - tool) @ down for g in pads])
    lowest = local[:, 2].max() + gripper.PAD_HALF[2]
    gap = 2 * (np.abs(local[:, 1]).min() - gripper.PAD_HALF[1])
    assert lowest == pytest.approx(gripper.below_tool(position), abs=1e-6)
    assert gap == pytest.approx(gripper.opening(position), abs=1e-6)
