"""TensorRT engines of the KosMos family, built ahead of time from a tiny released checkpoint. That its graphs compute what the
checkpoint does is tested elsewhere."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rtx = pytest.importorskip("tensorrt_rtx_bindings", reason="tensorrt-rtx is not installed")
pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from vla_ros.networks import release_export  # noqa: E402
from vla_ros.networks.release_facts import TEMPLATE  # noqa: E402
from vla_ros.policy.engines import EngineError, tensorrt_build  # noqa: E402
from vla_ros.policy.engines.tensorrt_bundle import bundle_engines, check_precision  # noqa: E402
from vla_ros.policy.engines.tensorrt_library import find_library  # noqa: E402
from vla_ros.policy.manifest import load_manifest  # noqa: E402

pytestmark = pytest.mark.slow  # an export takes seconds
TARGETS = ("sm_80", "sm_86", "sm_89", "sm_120")
LIBRARY = find_library("tensorrt_rtx")
RELEASE = Path(__file__).resolve().parent.parent / "networks/kosmos_lstm_w8"


def made(folder: Path, output: Path, *targets: str) -> list[Any]:
    return list(bundle_engines(folder, load_manifest(folder), LIBRARY, targets, output))


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The bundle of a tiny released checkpoint in any precision, made once each."""
    folder = Path(shutil.copytree(RELEASE, tmp_path_factory.mktemp("family") / "release"))
    return lambda precision: _imported(folder, precision)


def _imported(folder: Path, precision: str) -> Path:
    output = folder / precision
    if not output.exists():
        _tokenizer().save(str(folder / "kosmos-2/tokenizer.json"))
        (folder / "facts.yaml").write_text(TEMPLATE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(release_export, "verify", lambda *a, **k: {})
            files = (folder / "checkpoint.pt", folder / "config.json", folder / "kosmos-2", folder / "facts.yaml")
            release_export.import_release(*files, output, precision)
    return output


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    special = ["<s>", "<pad>", "</s>", "<unk>", "<grounding>"]
    words = ["▁An", "▁image", "▁of", "▁a", "▁robot", "▁pick", "▁up", "▁the", "▁red", "▁cube", "▁"]
    tokenizer = Tokenizer(models.Unigram([(w, 0.0) for w in special] + [(w, -2.0) for w in words], unk_id=3))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.add_special_tokens([*special[:4], AddedToken(special[4])])
    return tokenizer


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_family_builds_for_every_target_in_every_precision(family, precision: str, tmp_path: Path) -> None:
    folder = family(precision)
    engines = made(folder, tmp_path, *TARGETS)
    check_precision(load_manifest(folder), precision)
    assert [e.key.precision for e in engines] == [precision, "fp32"]
    assert all(e.key.targets == TARGETS and e.built for e in engines)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_engine_takes_and_gives_what_the_manifest_says(family, precision: str) -> None:
    folder = family(precision)
    manifest = load_manifest(folder)
    for name, graph in manifest.graphs.items():
        network = tensorrt_build._parse(LIBRARY, folder / graph.file, name).network
        inputs = [network.get_input(i) for i in range(network.num_inputs)]
        assert [(t.name, tuple(t.shape), rtx.nptype(t.dtype)) for t in inputs] == [
            (t.name, t.shape, np.dtype(t.dtype).type) for t in graph.inputs
        ]
        assert tuple(network.get_output(i).name for i in range(network.num_outputs)) == graph.outputs
        assert all(network.get_output(i).dtype in (rtx.float32, rtx.int64) for i in range(network.num_outputs))


def test_bf16_is_refused_for_a_gpu_that_has_none(family, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"graphs\.encode computes in bf16, which sm_75 cannot: it begins with sm_80"):
        made(family("bf16"), tmp_path, "sm_75", "sm_89")
