"""Statistics of columns and of pixels, alone and joined."""

import numpy as np
import pytest

from vla_ros.episodes import statistics
from vla_ros.episodes.statistics import QUANTILES, ImageStats


def test_of_column():
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    stats = statistics.of_column(values)
    np.testing.assert_allclose(stats["mean"], values.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["std"], values.std(0), atol=1e-6)
    np.testing.assert_allclose(stats["q90"], np.quantile(values, 0.9, axis=0), atol=1e-6)
    assert stats["count"].tolist() == [50]


def test_of_a_column_of_booleans():
    stats = statistics.of_column(np.array([True, False, True, True]))
    assert (stats["min"][0], stats["max"][0], stats["mean"][0]) == (0.0, 1.0, 0.75)


def test_images_are_counted_as_if_all_pixels_were_kept():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (21, 6, 8, 3), dtype=np.uint8)
    images[..., 2] = 7
    counted = ImageStats()
    for image in images:
        counted.add(image)
    stats = counted.result()
    pixels = images[::10].reshape(-1, 3) / 255
    for name, expected in {"min": pixels.min(0), "max": pixels.max(0), "mean": pixels.mean(0)}.items():
        np.testing.assert_allclose(stats[name][:, 0, 0], expected)
    np.testing.assert_allclose(stats["std"][:, 0, 0], pixels.std(0), atol=1e-9)
    for name, q in QUANTILES.items():
        expected = np.quantile(pixels, q, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(stats[name][:, 0, 0], expected)
    assert stats["count"].tolist() == [3]


@pytest.mark.parametrize("split", [1, 10, 49])
def test_merging_is_exact_but_for_quantiles(split: int):
    values = np.random.default_rng(2).normal(size=(50, 4))
    a, b = (statistics.of_column(part) for part in (values[:split], values[split:]))
    merged, whole = statistics.merged(a, b), statistics.of_column(values)
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(merged[name], whole[name], atol=1e-12)


def test_lists_and_back():
    stats = {"x": statistics.of_column(np.arange(6.0).reshape(3, 2))}
    back = statistics.from_lists(statistics.to_lists(stats))
    for name, value in stats["x"].items():
        np.testing.assert_array_equal(back["x"][name], value)
