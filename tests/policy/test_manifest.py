"""Bad bundles, each with the error that names its fault and the remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_ros.cli import make_parser
from vla_ros.commands.live import configuration
from vla_ros.config import Config, load
from vla_ros.policy.manifest import MANIFEST, BundleError, check, load_manifest, save_manifest

from .fake_bundle import CONFIG

Change = Callable[[dict[str, Any]], object]


def changed(bundle: Path, change: Change) -> Path:
    """The bundle with another manifest."""
    path = bundle / MANIFEST
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))
    return bundle


def test_a_sound_bundle_is_accepted_and_survives_saving(bundle: Path) -> None:
    manifest = load_manifest(bundle)
    check(manifest, CONFIG)
    save_manifest(manifest, bundle)
    assert load_manifest(bundle) == manifest


@pytest.mark.parametrize("name", ["encode.onnx", "decide.onnx", "tokenizer.json", "text.safetensors"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing.*Copy the whole bundle"):
        load_manifest(bundle)


@pytest.mark.parametrize("name", ["encode.onnx", "decide.onnx", "tokenizer.json", "text.safetensors"])
def test_a_changed_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes((bundle / name).read_bytes() + b"x")
    with pytest.raises(BundleError, match=f"{name} is not the file.*sha256"):
        load_manifest(bundle)


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*manifest\.yaml.*Name a folder"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("text", ["{", "a: b: c", "[]", "3"])
def test_a_manifest_that_is_none(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="Export the policy again"):
        load_manifest(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("action"), "action: Field required"),
        (lambda v: v.update(colour="red"), "colour: Extra inputs"),
        (lambda v: v.update(format=2), "format"),
        (lambda v: v["graphs"].pop("decide"), "graphs: decide is missing"),
        (lambda v: v["cameras"].reverse(), "cameras .* in their order"),
        (lambda v: v["cameras"][0].update(binning=8), "cameras .* in their order"),
        (lambda v: v["action"].update(frame="camera"), r"action\.frame"),
        (lambda v: v["action"].update(low=[0.1] * 6), r"range\.low is not below"),
        (lambda v: v["action"].update(low=[0.1] * 5), r"action\.low"),
        (lambda v: v["chunk"].update(execute=6), r"chunk\.execute 6 is more"),
        (lambda v: v["words"].update(unknown_words="guess"), r"words\.unknown_words"),
        (lambda v: v["graphs"]["decide"]["outputs"].remove("valid_next"), "decide.outputs: valid_next is missing"),
        (lambda v: v["graphs"]["encode"].update(outputs=[]), "encode.outputs: feature is missing"),
        (lambda v: v["graphs"]["encode"].update(sha256="12"), r"graphs\.encode\.sha256"),
    ],
)
def test_a_bad_field_is_named(bundle: Path, change: Change, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        load_manifest(changed(bundle, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["robot"].update(name="panda"), "robot.name.*'panda'.*kinova_gen3_2f85.*trained for this robot"),
        (lambda v: v["robot"].update(tool="wrist"), "robot.tool.*'wrist'"),
        (lambda v: v["action"].update(units=["mm", "rad", "0 open .. 1 closed"]), "action.units.*'mm'.*SI"),
        (lambda v: v["action"].update(anchor="commanded"), "action.anchor: commanded is not served"),
        (lambda v: v.update(robot_state=["x"]), "robot_state"),
        (lambda v: v["graphs"]["decide"]["inputs"][2].update(role="noise"), "the role noise is not served"),
    ],
)
def test_another_robot_is_refused(bundle: Path, change: Change, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check(load_manifest(changed(bundle, change)), CONFIG)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["cameras.wrist.binning=10"],
            "cameras.wrist: the policy wants roi .*binning 8.*binning 10.*Set cameras.wrist",
        ),
        (["cameras.static.roi=[400,175,480,320]"], "cameras.static: the policy wants roi .398, 175"),
        (["cameras.static.roi=[396,174,484,324]"], "cameras.static"),
        (["cameras.static.width=1920", "cameras.static.height=1080"], "cameras.static.sensor.*1280.*1920"),
    ],
)
def test_other_cameras_are_refused(bundle: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check(load_manifest(bundle), load("twin", overrides=overrides))


def test_a_missing_camera_is_named(bundle: Path) -> None:
    values = CONFIG.model_dump()
    del values["cameras"]["wrist"]
    with pytest.raises(BundleError, match=r"sees with 'wrist'.*only static.*Add cameras\.wrist"):
        check(load_manifest(bundle), Config.model_validate(values))


@pytest.mark.parametrize("roi", [[398, 175, 480, 320], [0, 0, 1280, 720], [390, 171, 496, 328]])
def test_more_than_is_wanted_is_enough(bundle: Path, roi: list[int]) -> None:
    check(load_manifest(bundle), load("twin", overrides=[f"cameras.static.roi={roi}", "cameras.static.binning=1"]))


def test_a_bundle_that_was_never_verified_is_refused_unless_told(bundle: Path) -> None:
    manifest = load_manifest(changed(bundle, lambda v: v.update(verification={})))
    with pytest.raises(BundleError, match=r"never verified.*policy\.unverified=true"):
        check(manifest, CONFIG)
    check(manifest, load("twin", overrides=["policy.unverified=true"]))
    for words, told in ((["sim"], False), (["sim", "--unverified"], True), (["demo", "--unverified"], True)):
        assert configuration(make_parser().parse_args(words)).policy.unverified is told
