"""The commands around released checkpoints, as a user gives them."""

import shutil

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.networks.releases import FIXTURE, write_release
from vla_ros.cli import main
from vla_ros.policy.manifest import load_manifest


def test_parity_is_shown_and_its_loss_is_an_exit_status(tmp_path, capsys):
    assert main(["policy", "check-parity", str(FIXTURE)]) == 0
    assert capsys.readouterr().out.count("agrees") == 7
    folder = shutil.copytree(FIXTURE, tmp_path / "other")
    expected = dict(np.load(folder / "expected.npz"))
    expected["arm"] = expected["arm"] * 1.001
    np.savez(folder / "expected.npz", **expected)
    assert main(["policy", "check-parity", str(folder)]) == 1
    assert "does not agree" in capsys.readouterr().out
    assert main(["policy", "check-parity", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err


def test_a_release_is_imported(tmp_path, capsys):
    lab = write_release(tmp_path / "lab")
    words = [
        "policy",
        "import-robovlms",
        str(lab / "checkpoint.pt"),
        str(lab / "config.json"),
        "--backbone",
        str(lab / "kosmos-2"),
    ]
    words += ["--output", str(tmp_path / "kosmos")]
    assert main(words) == 2
    assert "stride_ms: 100.0" in capsys.readouterr().err
    assert main([*words, "--facts", str(lab / "facts.yaml")]) == 0
    assert "torch_onnxruntime_difference" in capsys.readouterr().out
    assert load_manifest(tmp_path / "kosmos").name == "kosmos"


def test_a_folder_with_a_release_is_exported(tmp_path, capsys):
    lab = write_release(tmp_path / "lab")
    assert main(["policy", "export", str(lab), str(tmp_path / "kosmos"), "--precision", "fp16"]) == 0
    assert load_manifest(tmp_path / "kosmos").graphs["encode"].precision == "fp16"
    (lab / "facts.yaml").unlink()
    assert main(["policy", "export", str(lab), str(tmp_path / "again")]) == 2
    assert "facts.yaml" in capsys.readouterr().err
