"""Pictures for people have what they promise: size, a shadow, a sky."""

from __future__ import annotations

import numpy as np

from vla_ros.config import load
from vla_ros.twin.physics import Twin
from vla_ros.twin.picture import PictureRenderer, View


def test_a_picture_has_its_size_and_a_shadow_only_darkens() -> None:
    twin = Twin(load())
    plain = PictureRenderer(twin.model, (90, 160), samples=1, shadows=0).render(twin.data).astype(int)
    shaded = PictureRenderer(twin.model, (90, 160), samples=1, shadows=4).render(twin.data).astype(int)
    assert plain.shape == (90, 160, 3)
    assert (shaded <= plain).all()
    assert (shaded < plain - 20).any(axis=2).sum() > 100


def test_the_view_looks_at_its_point() -> None:
    view = View()
    forward = -view.rotation()[:, 2]
    towards = np.array(view.at) - np.array(view.eye)
    np.testing.assert_allclose(forward, towards / np.linalg.norm(towards))
    np.testing.assert_allclose(view.rotation().T @ view.rotation(), np.eye(3), atol=1e-12)
