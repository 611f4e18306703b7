"""`vla-ros policy verify` and `vla-ros policy quantise`, as a user gives them."""
# ruff: noqa: E402 (what needs torch is imported once it is known to be there)

import dataclasses
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("mujoco")
pytest.importorskip("av")

from tests.networks.datasets import dataset
from tests.networks.releases import write_release
from vla_ros.cli import main
from vla_ros.networks.agreement import Agreement, cosine, play, worst
from vla_ros.networks.export import export
from vla_ros.networks.recorded import Clip, Recorded
from vla_ros.networks.success import fell, line
from vla_ros.policy.manifest import load_manifest, save_manifest

COUNTED = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 50}


@pytest.fixture(scope="module")
def made(checkpoint, tmp_path_factory):
    """A checkpoint's file, its bundle and a dataset."""
    folder = tmp_path_factory.mktemp("proof")
    checkpoint.save(folder / "checkpoint.pt")
    export(checkpoint, folder / "small")
    dataset(folder / "demos", [8, 8])
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made / "small", tmp_path / "small")
    return tmp_path


def verify(made, folder, *more):
    given = ["--checkpoint", str(made / "checkpoint.pt"), "--dataset", str(made / "demos"), "--frames", "8"]
    return main(["policy", "verify", str(folder / "small"), *given, *more])


def unverified(folder):
    manifest = load_manifest(folder / "small")
    save_manifest(manifest.model_copy(update={"verification": {}}), folder / "small")


def test_a_proof_is_shown_and_recorded(made, folder, capsys):
    unverified(folder)
    assert verify(made, folder) == 0
    assert capsys.readouterr().out.count("agrees") == 4
    manifest = load_manifest(folder / "small")
    record = manifest.verification["recorded"]
    assert record["source"] == "demos, episodes 0, 1"
    assert (record["frames"], record["resets"], record["against"]) == (8, 2, "torch")
    assert set(record["onnxruntime"]) == {"feature", "chunk", "memory_next", "valid_next"}
    assert record["onnxruntime"]["chunk"]["largest"] <= 1e-4
    assert record["onnxruntime"]["chunk"]["cosine"] > 0.9999
    assert not list((folder / "small").glob(".*"))


def test_other_weights_do_not_pass(made, folder, checkpoint, capsys):
    weights = {name: value * (1.02 if "head" in name else 1.0) for name, value in checkpoint.weights.items()}
    dataclasses.replace(checkpoint, weights=weights).save(folder / "checkpoint.pt")
    before = (folder / "small/manifest.yaml").read_text()
    assert verify(made, folder, "--checkpoint", str(folder / "checkpoint.pt")) == 1
    output = capsys.readouterr()
    assert "does not agree" in output.out
    assert "chunk by onnxruntime" in output.err
    assert (folder / "small/manifest.yaml").read_text() == before


def test_a_damaged_file_is_named(made, folder, capsys):
    content = bytearray((folder / "small/decide.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "small/decide.onnx").write_bytes(content)
    assert verify(made, folder) == 2
    assert "decide.onnx" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_or_another_ones(made, folder, capsys):
    (folder / "text.pt").write_text("no checkpoint")
    assert verify(made, folder, "--checkpoint", str(folder / "text.pt")) == 2
    assert "text.pt is no checkpoint" in capsys.readouterr().err
    assert main(["policy", "verify", "demo", "--checkpoint", str(made / "checkpoint.pt"), "--frames", "2"]) == 2
    assert "Name the checkpoint that the bundle was exported from" in capsys.readouterr().err


def test_what_was_never_compared_does_not_become_verified(made, folder, capsys):
    given = [str(folder / "small"), "--dataset", str(made / "demos"), "--frames", "4"]
    assert main(["policy", "verify", *given]) == 0  # its export compared it
    unverified(folder)
    assert main(["policy", "verify", *given]) == 1
    assert "--checkpoint or --release" in capsys.readouterr().err
    assert load_manifest(folder / "small").verification == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it may be there")
def test_an_engine_that_is_not_there_is_not_replaced(made, folder, capsys):
    assert verify(made, folder, "--engine", "torch") == 2
    assert "Set policy.engine: onnxruntime or tensorrt" in capsys.readouterr().err


def test_too_few_frames(made, folder, capsys):
    assert verify(made, folder, "--frames", "1") == 2
    assert "at least 2" in capsys.readouterr().err


def test_int8_by_hand(made, folder, capsys):
    """Whether it gains depends on the machine; what is said and what is written must agree in either case."""
    given = ["--dataset", str(made / "demos"), "--frames", "6"]
    status = main(["policy", "quantise", str(folder / "small"), str(folder / "int8"), *given])
    output = capsys.readouterr()
    if status:
        assert status == 1
        assert not (folder / "int8").exists()
        assert "int8" in output.err
        return
    assert "kept" in output.out
    assert main(["policy", "verify", str(folder / "int8"), "--checkpoint", str(made / "checkpoint.pt"), *given]) == 0
    verification = load_manifest(folder / "int8").verification
    assert verification["int8"]["kept"].keys() == {"encode", "decide"}
    assert verification["recorded"]["against"] == "torch"
    assert main(["policy", "quantise", str(folder / "int8"), str(folder / "again"), *given]) == 2
    assert "int8" in capsys.readouterr().err


def test_a_release_is_verified_against_itself_only(tmp_path, capsys):
    pytest.importorskip("transformers")
    lab = write_release(tmp_path / "lab")
    parts = [str(lab / "checkpoint.pt"), str(lab / "config.json"), "--backbone", str(lab / "kosmos-2")]
    output = str(tmp_path / "kosmos")
    assert main(["policy", "import-robovlms", *parts, "--output", output, "--facts", str(lab / "facts.yaml")]) == 0
    given = ["policy", "verify", output, "--release", str(lab), "--frames", "2"]
    # the training images show all of the sensor; rendering a part of them is enough here
    narrow = narrowed(tmp_path / "kosmos")
    assert main(given) == 0
    assert load_manifest(narrow).verification["recorded"]["source"].startswith("the twin")
    content = torch.load(lab / "checkpoint.pt", weights_only=True)
    content["state_dict"]["model.action_token"] += 0.1
    torch.save(content, lab / "checkpoint.pt")
    capsys.readouterr()
    assert main(given) == 2
    assert "training.checkpoint_sha256" in capsys.readouterr().err


def narrowed(folder):
    manifest = load_manifest(folder)
    cameras = tuple(c.model_copy(update={"binning": 8, "roi": (0, 0, c.roi[2], c.roi[3])}) for c in manifest.cameras)
    save_manifest(manifest.model_copy(update={"cameras": cameras}), folder)
    return folder


def test_agreement_is_of_every_frame():
    a = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert cosine(a, a) == pytest.approx(1.0)
    assert cosine(a, np.array([[1.0, 0.0], [2.0, 0.0]])) == 0.0
    assert cosine(np.zeros((1, 2)), np.zeros((1, 2))) == 1.0
    assert cosine(np.zeros((1, 2)), np.ones((1, 2))) == 0.0
    assert Agreement("chunk", 0.99999, 1e-5, 1e-4).agrees
    assert not Agreement("chunk", 0.9, 1e-5, 1e-4).agrees
    assert not Agreement("chunk", 1.0, float("nan"), 1e-4).agrees
    assert not Agreement("memory_next", float("nan"), float("nan"), float("inf")).agrees
    bad, nan = Agreement("a", 1.0, 1e-3, 1e-4), Agreement("b", float("nan"), float("nan"), 1e-4)
    assert worst([bad, Agreement("c", 1.0, 1e-5, 1e-4)]) is bad
    assert worst([bad, nan]) is nan


def test_every_clip_begins_with_a_fresh_memory(made):
    manifest = load_manifest(made / "small")
    shapes = {t.name: t for t in manifest.graphs["encode"].inputs}
    frame = {name: np.zeros(t.shape, t.dtype) for name, t in shapes.items()}
    seen = []

    def run(name, inputs):
        if name == "encode":
            return {"feature": np.ones((1, 32), np.float32)}
        seen.append(float(inputs["memory"].max()))
        return {"chunk": np.zeros((1, 5, 7)), "memory_next": inputs["memory"] + 1, "valid_next": inputs["valid"]}

    played = play(run, manifest, Recorded("made up", (Clip("", (frame,) * 3), Clip("", (frame,) * 2))))
    assert seen == [0, 1, 2, 0, 1]
    assert played.outputs["memory_next"].shape[0] == 5
    assert len(played.decided) == 5


def test_success_that_is_surely_less_is_a_fall():
    before = {"success": COUNTED, "wrong_object": COUNTED, "seeds": "1000000:1000050"}
    assert fell({"success": {"high": 0.79}}, before)
    assert not fell({"success": {"high": 0.81}}, before)
    assert "90.0% (80.0% … 95.0%, n = 50)" in line(before)
