"""What a user types about policies; nothing here needs torch."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros.networks import cli
from vla_ros.policy.engines import tensorrt_library
from vla_ros.policy.manifest import BundleError


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers())
    options = parser.parse_args(["policy", *words])
    return options.run(options)


def test_showing_a_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "demo") == 0
    assert "policy demo" in capsys.readouterr().out


def test_showing_a_bundle_that_is_none_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("show", str(tmp_path)) == 1
    assert "manifest.yaml" in capsys.readouterr().err


def test_engines_are_built_and_then_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    words = ("build-engine", "demo", "--library", "tensorrt_rtx", "--precision", "fp32", "--output", str(tmp_path))
    assert run(*words, "--target", "sm_89", "--target", "sm_120") == 0
    assert "was there" not in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(path.suffix for path in before) == [".engine", ".engine"]
    assert run(*words, "--target", "sm_89") == 0
    assert capsys.readouterr().out.count("was there") == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_what_cannot_be_built_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library, "MODULES", {"tensorrt": ("no_such_library",)})
    with pytest.raises(BundleError, match=r"TensorRT is not installed here.*pip install"):
        run("build-engine", "demo", "--target", "sm_89")
    with pytest.raises(BundleError, match=r"no_such_bundle"):
        run("build-engine", "no_such_bundle", "--target", "sm_89")


def test_no_torch_is_needed() -> None:
    code = (
        "import sys, argparse\nsys.modules['torch'] = None\nfrom vla_ros import cli\n"
        "try: cli.main(['policy', 'build-engine', 'demo', '--target', 'sm_1'])\nexcept SystemExit: pass\n"
        "print([m for m in ('transformers', 'onnxscript', 'mujoco', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "sm_1" in done.stderr or "not installed" in done.stderr
