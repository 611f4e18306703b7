"""Every head of the family, from a released checkpoint to the service: LSTM, GPT and MLP, other windows and chunks."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from tests.networks.releases import other_head, write_release  # noqa: E402
from tests.networks.serving import check_service, observation, parts  # noqa: E402
from vla_ros.networks.release_export import import_release  # noqa: E402


@pytest.mark.parametrize(
    ("head", "window", "chunk", "hidden"),
    [("gpt", 4, 10, 32), ("gpt", 3, 5, 64), ("mlp", 1, 7, 48), ("lstm", 8, 10, 64)],
)
def test_the_service_plays_what_the_network_answers(head, window, chunk, hidden, tmp_path):
    release = write_release(tmp_path / "lab")
    if (head, window) != ("lstm", 8):  # that is the recorded checkpoint
        other_head(release, head, window, chunk, hidden)
    manifest = import_release(*parts(release), release / "facts.yaml", tmp_path / "bundle")
    assert (manifest.history.window, manifest.chunk.length, manifest.training["head"]) == (window, chunk, head)
    observations = [observation(step) for step in range(2 * window + 2)]
    check_service(tmp_path / "bundle", release, observations, reset_at=window + 2)
