"""The Azure Kinect driver on the real SDK: its own captures, calibrations and recordings; only the USB is played.

What needs no SDK is in the other files. Where this environment has none, `test_azure_kinect_environment` runs this file in the one
that has.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_ros.cameras import azure_kinect, azure_kinect_device, grabber
from vla_ros.cameras.align import Aligner
from vla_ros.cameras.azure_kinect import DEPTH_SHAPE, AzureKinectCamera, load_sdk
from vla_ros.cameras.azure_kinect_recording import Recording
from vla_ros.cameras.azure_kinect_usb import UsbDevice
from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.load import load as load_camera
from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock, VirtualClock
from vla_ros.config import load
from vla_ros.values import Frame

from . import soft_azure_kinect as soft
from .soft_azure_kinect import OVERRIDES, SERIAL, SoftKinect, Usb

PATIENCE = 20.0
"""Seconds of waiting for a thread after which a test has failed."""
START = 100 * SECOND
OTHER = "000444555666"


try:
    SDK = load_sdk()
except CameraError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def sdk() -> Any:
    return SDK


class HaltingClock(VirtualClock):
    """A virtual clock that holds up every thread but the test's while `running` is not set."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.running = threading.Event()
        self.running.set()

    def now(self) -> int:
        """Nanoseconds since `start` was set."""
        if threading.current_thread() is not threading.main_thread():
            self.running.wait(PATIENCE)
        return super().now()


class Bench:
    """A driver on a virtual clock, with the devices that are plugged in and what it said."""

    def __init__(self, usb: Usb, *overrides: str) -> None:
        self.clock, self.said, self.usb = HaltingClock(START), list[str](), usb
        config = load(overrides=[*OVERRIDES, *overrides])
        self.camera = AzureKinectCamera(config, "static", self.clock, self.said.append)

    def show(self, level: int, late: int = 0, exposure: int = 0, depth: Any = None) -> None:
        """A picture whose exposure has ended now by the device's clock, and which the host has received `late` ns later."""
        device, now = self.usb.plugged[0], self.clock.now()
        stamp = (now - exposure * 500) // 1000
        self.usb.show(device, level, stamp, now + late, exposure, depth)

    def see(self, level: int, **more: Any) -> Frame:
        """The same, and the frame that the driver makes of it."""
        self.show(level, **more)
        frame = self.camera.read(PATIENCE)
        assert frame is not None
        return frame

    def tick(self, seconds: float = 1 / 30) -> None:
        """Time passes."""
        self.clock.sleep_until(self.clock.now() + round(seconds * SECOND))

    def sees_again(self) -> bool:
        """Show one more picture; whether a frame comes of it."""
        self.tick()
        self.show(9)
        return self.camera.read(0.05) is not None


@pytest.fixture
def bench(sdk: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setattr(grabber, "RETRY", 0.01)
    monkeypatch.setattr(azure_kinect_device, "devices", list)
    made: list[Bench] = []

    def make(*overrides: str, plugged: list[SoftKinect] | None = None) -> Bench:
        usb = Usb(*([SoftKinect()] if plugged is None else plugged))
        monkeypatch.setattr(sdk, "k4a_module", usb)
        monkeypatch.setattr(sdk.pyk4a, "k4a_module", usb)
        made.append(Bench(usb, *overrides))
        return made[-1]

    yield make
    for each in made:
        each.camera.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def newest(camera: AzureKinectCamera) -> Frame | None:
    return camera._slot._item


def level_of(frame: Frame) -> int:
    return int(frame.image[0, 0, 1])


def test_frames_are_rgb_of_the_part_and_the_binning_that_are_configured(bench: Callable[..., Bench]) -> None:
    b = bench("cameras.static.roi=[398, 175, 480, 320]", "cameras.static.binning=4")
    b.camera.open()
    frame = b.see(50)
    assert frame.image.shape[:2] == b.camera.intrinsics.image_shape == (80, 120)
    assert (frame.image == soft.colour(50)).all()
    assert frame.depth is None


def test_it_is_asked_for_decoded_colour_alone_unless_depth_is_wanted(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    assert b.usb.plugged[0].configuration == (soft.BGRA, 1, 0, 2, False, 0, 0, 0, False)  # 720p, no depth, 30 a second
    b = bench("cameras.static.depth=true", "cameras.static.rate=15")
    b.camera.open()
    assert b.usb.plugged[0].configuration == (soft.BGRA, 1, 2, 1, True, 0, 0, 0, False)  # with depth, and both at once


def test_frames_are_numbered_and_stamped_at_the_middle_of_exposure(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    for k in range(5):
        frame = b.see(k, exposure=8000)
        assert (frame.sequence, frame.arrival, level_of(frame)) == (k + 1, b.clock.now(), k)
        assert frame.arrival - frame.exposure == pytest.approx(4 * MILLISECOND, abs=1000)  # its clock is of µs
        b.tick()


def test_the_moment_of_reception_counts_and_not_when_the_thread_had_time(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(0)
    b.tick()
    now = b.clock.now()
    b.clock.running.clear()
    b.show(1)
    b.tick(0.02)
    b.clock.running.set()
    frame = b.camera.read(PATIENCE)
    assert frame is not None
    assert frame.arrival == now + 20 * MILLISECOND
    assert frame.exposure == pytest.approx(now, abs=1000)


def test_a_locked_exposure_is_the_one_that_counts(bench: Callable[..., Bench]) -> None:
    b = bench("cameras.static.exposure=0.01")
    b.camera.open()
    frame = b.see(1, exposure=30000)  # what some devices tell of it is of another unit
    assert frame.arrival - frame.exposure == pytest.approx(5 * MILLISECOND, abs=1000)


def test_a_late_reader_gets_the_newest_frame_and_then_nothing(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(0)
    for k in range(1, 8):
        b.tick()
        b.show(k)
        until(lambda k=k: newest(b.camera) is not None and level_of(newest(b.camera)) == k)
    frame = b.camera.read(0)
    assert frame is not None
    assert level_of(frame) == 7
    assert b.camera.read(0.01) is None


def test_what_a_busy_host_had_no_time_for_is_not_queued(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(0)
    b.clock.running.clear()
    for k in range(1, 11):
        b.tick()
        b.show(k)
    b.clock.running.set()
    until(lambda: newest(b.camera) is not None and level_of(newest(b.camera)) == 10)
    frame = b.camera.read(0)
    assert frame is not None
    assert frame.sequence <= 3  # the one in hand, the newest of the queue


def test_depth_on_request_is_as_the_colour_camera_sees_it_and_in_metres(bench: Callable[..., Bench]) -> None:
    b = bench("cameras.static.depth=true", "cameras.static.binning=2")
    b.camera.open()
    b.tick()
    depth = soft.wall(800)
    depth[:, :320] = 500
    frame = b.see(1, depth=depth)
    assert frame.depth is not None
    assert frame.depth.shape == frame.image.shape[:2] == (360, 640)
    assert frame.depth[180, 250] == pytest.approx(0.5)
    assert frame.depth[180, 400] == pytest.approx(0.8)
    assert np.isnan(frame.depth[:, :40]).all()  # farther out than the depth camera sees


@pytest.mark.parametrize(("bend", "turn"), [(soft.STRAIGHT, 0.0), (soft.BENT, 0.1)])
def test_the_mapping_is_that_of_the_sdk(sdk: Any, bend: tuple[float, ...], turn: float) -> None:
    usb = Usb(SoftKinect(made=soft.calibration(bend, turn)))
    made = usb.device_get_calibration(usb.plugged[0], False, 2, 1)[1]
    calibration = sdk.Calibration(made, sdk.DepthMode.NFOV_UNBINNED, sdk.ColorResolution.RES_720P)
    which = sdk.CalibrationType
    eyes = [azure_kinect._lens(calibration, w) for w in (which.DEPTH, which.COLOR)]
    turned, shift = calibration.get_extrinsic_parameters(which.DEPTH, which.COLOR)
    align = Aligner(eyes[0], DEPTH_SHAPE, eyes[1], (soft.HEIGHT, soft.WIDTH), turned, shift.ravel())
    random = np.random.default_rng(4)
    found = 0
    for u, v, z in zip(
        random.integers(60, 580, 40), random.integers(60, 520, 40), random.integers(500, 3000, 40), strict=True
    ):
        depth = np.zeros(DEPTH_SHAPE, np.uint16)
        depth[v, u] = z
        point = calibration.convert_2d_to_3d((float(u), float(v)), float(z), which.DEPTH, which.COLOR)
        there = np.array(calibration.convert_3d_to_2d(point, which.COLOR, which.COLOR))
        rows, columns = np.nonzero(picture := align(depth))
        if not (2 < there[0] < soft.WIDTH - 3 and 2 < there[1] < soft.HEIGHT - 3):
            continue
        found += 1
        assert len(rows) == 4  # its own pixel and the neighbours that nothing finer covers
        assert abs(columns.mean() - there[0]) <= 0.51
        assert abs(rows.mean() - there[1]) <= 0.51
        assert abs(int(picture[rows[0], columns[0]]) - point[2]) <= 0.51
    assert found > 20


def test_a_device_that_is_unplugged_and_plugged_in_again(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    before = b.see(1)
    b.usb.plugged.clear()
    until(lambda: "the SDK sees no Azure Kinect" in b.camera.problem)
    assert b.camera.read(0.01) is None
    assert len(b.said) == 1
    assert SERIAL in b.said[0]
    assert "cable" in b.said[0]
    b.usb.plugged.append(SoftKinect())
    b.tick(2)
    until(b.sees_again)
    assert b.camera.problem == ""
    assert [text.endswith("is back") for text in b.said] == [False, True]
    b.tick()
    after = b.see(2)
    assert after.exposure > before.exposure
    assert after.sequence > before.sequence


def test_another_camera_in_its_place_is_not_taken_for_it(bench: Callable[..., Bench]) -> None:
    b = bench(f"cameras.static.serial='{SERIAL}'")
    b.camera.open()
    b.see(1)
    b.usb.plugged[:] = [SoftKinect(OTHER)]
    until(lambda: "is not connected" in b.camera.problem)
    assert OTHER in b.camera.problem
    assert not b.usb.plugged[0].open


def test_a_device_that_falls_silent_is_started_again(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(1)
    b.tick(2)
    until(lambda: b.camera.problem != "")
    until(b.sees_again)
    assert b.camera.problem == ""


def test_the_device_is_free_again_after_close_and_open_begins_anew(bench: Callable[..., Bench]) -> None:
    b = bench()
    with pytest.raises(CameraError, match="not open"):
        b.camera.read(0)
    for _ in range(3):
        b.camera.open()
        assert level_of(b.see(3)) == 3
        b.tick()
    b.camera.close()
    b.camera.close()
    assert not b.usb.plugged[0].open
    assert not b.usb.plugged[0].started


def test_no_device_a_wrong_one_and_one_of_several_are_told_apart(bench: Callable[..., Bench]) -> None:
    with pytest.raises(CameraError, match=r"sees no Azure Kinect.*lsusb"):
        bench(plugged=[]).camera.open()
    two = [SoftKinect(), SoftKinect(OTHER)]
    with pytest.raises(CameraError, match=rf"several cameras.*{SERIAL}, {OTHER}.*say which, by serial"):
        bench(plugged=two).camera.open()
    with pytest.raises(CameraError, match=rf"serial '77' is not connected; there is {SERIAL}, {OTHER}"):
        bench("cameras.static.serial='77'", plugged=two).camera.open()
    assert not any(device.open for device in two)
    second = bench(f"cameras.static.serial='{OTHER}'", plugged=two)
    second.camera.open()
    assert [device.open for device in two] == [False, True]


def test_without_a_device_on_this_machine_that_is_what_is_said(sdk: Any, tmp_path: Path) -> None:
    if sdk.connected_device_count():
        pytest.skip("an Azure Kinect is connected")
    camera = load_camera(load(overrides=OVERRIDES), "static", tmp_path, VirtualClock())
    with pytest.raises(CameraError, match="sees no Azure Kinect"):
        camera.open()


def test_a_busy_device_and_one_that_does_not_start_are_said_to_be(bench: Callable[..., Bench]) -> None:
    busy = SoftKinect()
    busy.busy = True
    with pytest.raises(CameraError, match="the Azure Kinect cannot be opened"):
        bench(plugged=[busy]).camera.open()
    stuck = SoftKinect()
    stuck.starts_not = True
    with pytest.raises(CameraError, match=rf"{SERIAL} does not start.*K4A_ENABLE_LOG_TO_STDOUT") as error:
        bench(plugged=[stuck]).camera.open()
    assert not stuck.open
    assert "display" not in str(error.value)
    with pytest.raises(CameraError, match=rf"{SERIAL} does not start.*a display"):
        bench("cameras.static.depth=true", plugged=[stuck]).camera.open()


@pytest.mark.parametrize(
    "overrides",
    [
        ["cameras.static.rate=29.97"],
        ["cameras.static.rate=60"],
        ["cameras.static.width=1300"],
        ["cameras.static.width=4096", "cameras.static.height=3072"],
    ],
)
def test_a_mode_that_it_does_not_have_is_refused_with_those_that_it_has(
    bench: Callable[..., Bench], overrides: list[str]
) -> None:
    b = bench(*overrides)
    with pytest.raises(CameraError, match=r"no colour mode .* it has 1280×720, .* at 5, 15 or 30"):
        b.camera.open()
    assert not b.usb.plugged[0].open


def test_usb_2_is_said(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_kinect, "devices", lambda: [UsbDevice("2bc5", "066b", 480.0)])
    b = bench()
    b.camera.open()
    assert len(b.said) == 1
    assert "by USB 2" in b.said[0]


EXPOSURE, BALANCE, GAIN = 0, 6, 8


def test_exposure_gain_and_white_balance_are_locked(bench: Callable[..., Bench]) -> None:
    settings = ("cameras.static.exposure=0.008", "cameras.static.gain=48", "cameras.static.white_balance=4004")
    b = bench(*settings)
    b.camera.open()
    controls = b.usb.plugged[0].controls
    assert {control: state[2:] for control, state in controls.items()} == {
        EXPOSURE: (8000, False),  # µs
        BALANCE: (4000, False),  # it knows whole tens of K
        GAIN: (48, False),
    }
    assert b.said == []


def test_what_is_not_locked_is_automatic_whatever_was_before(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.usb.plugged[0].controls |= {EXPOSURE: (500, 133330, 500, False), BALANCE: (2500, 12500, 9000, False)}
    b.camera.open()
    controls = b.usb.plugged[0].controls
    assert [controls[control][3] for control in (EXPOSURE, BALANCE)] == [True, True]


def test_an_exposure_between_its_steps_is_said_and_the_one_that_it_takes_counts(bench: Callable[..., Bench]) -> None:
    b = bench("cameras.static.exposure=0.009", plugged=[SoftKinect(steps=(500, 1250, 2500, 8330, 16670, 33330))])
    b.camera.open()
    assert len(b.said) == 1
    assert "exposure is 0.009 s, and the camera takes the next of its steps, 0.01667 s" in b.said[0]
    frame = b.see(1)
    assert frame.arrival - frame.exposure == pytest.approx(8.335 * MILLISECOND, abs=1000)


def test_a_setting_out_of_range_or_unknown_to_the_camera_is_refused(bench: Callable[..., Bench]) -> None:
    with pytest.raises(CameraError, match=r"cameras\.static\.white_balance: 2000 is out of .* 2500 to 12500"):
        bench("cameras.static.white_balance=2000").camera.open()
    with pytest.raises(CameraError, match=r"cameras\.static\.exposure: 0\.0003 is out of .* 0\.0005 to 0\.13333"):
        bench("cameras.static.exposure=0.0003").camera.open()
    b = bench("cameras.static.exposure=0.01", "cameras.static.gain=3")
    del b.usb.plugged[0].controls[GAIN]
    with pytest.raises(CameraError, match=r"cameras\.static\.gain: this camera cannot be told"):
        b.camera.open()
    assert not b.usb.plugged[0].open


def test_another_calibration_than_the_configured_is_named_with_its_numbers(bench: Callable[..., Bench]) -> None:
    b = bench("cameras.static.fx=600", plugged=[SoftKinect(made=soft.calibration(soft.BENT))])
    assert b.camera.factory is None
    b.camera.open()
    assert b.camera.intrinsics.fx == 600.0
    assert b.camera.factory is not None
    assert b.camera.factory.fx == pytest.approx(627.2)
    assert len(b.said) == 1
    assert "fx is 600.0, the camera says 627.2; its numbers are fx: 627.20, fy: 624.00, cx: 639.50" in b.said[0]
    assert "distortion: [0.5, -2.6, 0.0003, -0.0002, 1.5, 0.38, -2.4, 1.4]" in b.said[0]
    assert "points" not in b.said[0]


def test_without_a_configured_distortion_that_of_the_factory_is_told(bench: Callable[..., Bench]) -> None:
    b = bench(plugged=[SoftKinect(made=soft.calibration(soft.BENT))])
    assert b.camera.intrinsics.distortion == ()
    b.camera.open()
    assert b.camera.intrinsics.distortion == pytest.approx(soft.BENT)
    assert b.said == []


def test_a_configured_distortion_is_kept_and_one_that_differs_is_named(bench: Callable[..., Bench]) -> None:
    device = SoftKinect(made=soft.calibration(soft.BENT))
    same = bench(f"cameras.static.distortion={list(soft.BENT)}", plugged=[device])
    same.camera.open()
    same.camera.close()
    assert same.said == []
    other = bench("cameras.static.distortion=[0.1, 0, 0, 0, 0]", plugged=[device])
    other.camera.open()
    assert other.camera.intrinsics.distortion == (0.1, 0.0, 0.0, 0.0, 0.0)
    assert len(other.said) == 1
    assert "its distortion puts points up to" in other.said[0]


@pytest.fixture(scope="module")
def recording(sdk: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("recording") / "static.mkv")
    soft.record(path, 8, picture=lambda k: soft.jpeg(20 + 10 * k))
    return path


def test_a_recording_is_played_in_place_of_the_device_and_again(recording: str, tmp_path: Path) -> None:
    config = load(overrides=[*OVERRIDES, f"cameras.static.playback={recording}", "cameras.static.exposure=0.008"])
    said = list[str]()
    camera = load_camera(config, "static", tmp_path, MonotonicClock(), said.append)
    camera.open()
    seen = [frame for frame in (camera.read(PATIENCE) for _ in range(20)) if frame is not None]
    camera.close()
    assert len(seen) == 20
    assert said == []
    for frame in seen:
        np.testing.assert_allclose(frame.image.mean(axis=(0, 1)), soft.colour(level_of(frame)), atol=5.0)  # a JPEG's
    assert (np.diff([level_of(frame) for frame in seen]) < 0).sum() >= 1  # from the last picture to the first
    stamps = [frame.exposure for frame in seen]
    assert stamps == sorted(set(stamps))
    assert all(frame.exposure <= frame.arrival - 4 * MILLISECOND for frame in seen)


def test_a_recording_goes_at_its_own_pace(sdk: Any, recording: str) -> None:
    clock = VirtualClock(START)
    settings = load(overrides=[*OVERRIDES, f"cameras.static.playback={recording}"]).cameras["static"]
    source = Recording(sdk, settings, "cameras.static", clock)
    arrivals, stamps = [], []
    while len(arrivals) < 20:
        shot = source.wait(0.01)
        if shot is not None:
            arrivals.append(shot.arrival)
            stamps.append(shot.device)
    assert arrivals[0] == START
    assert stamps[:9] == [*(1000 + 33333 * k for k in range(8)), 1000]
    np.testing.assert_allclose(np.diff(arrivals), SECOND / 30, atol=2000)
    clock.sleep_until(clock.now() + 60 * SECOND)  # who was away does not have to catch up
    source.wait(0.01)
    while (shot := source.wait(0.01)) is None:
        pass
    assert shot.arrival > arrivals[-1] + 59 * SECOND
    source.close()


def test_depth_and_pictures_without_compression_are_played_too(sdk: Any, tmp_path: Path) -> None:
    path = tmp_path / "depth.mkv"
    soft.record(path, 2, depth=soft.wall(), picture=soft.bgra, kind=soft.BGRA)
    config = load(overrides=[*OVERRIDES, f"cameras.static.playback={path}", "cameras.static.depth=true"])
    camera = load_camera(config, "static", tmp_path, MonotonicClock())
    camera.open()
    frame = camera.read(PATIENCE)
    camera.close()
    assert frame is not None
    assert (frame.image == soft.colour(level_of(frame))).all()
    assert frame.depth is not None
    assert frame.depth[360, 640] == pytest.approx(0.8)


def test_a_broken_picture_is_left_out(sdk: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.mkv"
    soft.record(path, 4, picture=lambda k: soft.jpeg(k)[: 900 if k == 1 else None])
    config = load(overrides=[*OVERRIDES, f"cameras.static.playback={path}"])
    source = Recording(sdk, config.cameras["static"], "cameras.static", VirtualClock(START))
    seen = [source.wait(1.0) for _ in range(8)]
    assert [k for k, shot in enumerate(seen) if shot is None] == [1, 5]
    source.close()


def refusal(tmp_path: Path, path: Path, *overrides: str) -> str:
    config = load(overrides=[*OVERRIDES, f"cameras.static.playback={path}", *overrides])
    with pytest.raises(CameraError) as error:
        load_camera(config, "static", tmp_path, VirtualClock()).open()
    return str(error.value)


def test_a_recording_that_is_none_is_refused(sdk: Any, tmp_path: Path) -> None:
    path = tmp_path / "static.mkv"
    assert "there is no file" in refusal(tmp_path, path)
    path.write_text("no recording")
    assert "no recording that this SDK plays: record one with `k4arecorder" in refusal(tmp_path, path)


def test_a_recording_of_something_else_names_what_is_wrong_with_it(sdk: Any, tmp_path: Path, recording: str) -> None:
    made = Path(recording)
    text = refusal(tmp_path, made, "cameras.static.rate=15")
    assert "1280×720 at 30 frames per second, configured is 1280×720 at 15" in text
    assert "holds no depth" in refusal(tmp_path, made, "cameras.static.depth=true")
    path = tmp_path / "static.mkv"
    soft.record(path, 1, picture=lambda k: np.zeros((soft.HEIGHT, soft.WIDTH), np.uint8), kind=soft.NV12)
    assert "COLOR_NV12" in refusal(tmp_path, path)
    soft.record(path, 2, made={})
    assert "holds no calibration" in refusal(tmp_path, path)
