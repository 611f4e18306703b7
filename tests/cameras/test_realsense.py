"""The RealSense driver on the real SDK: software devices, recordings, pipelines. What needs no SDK is in the other files."""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_ros.cameras import grabber, realsense
from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.load import load as load_camera
from vla_ros.cameras.realsense import RealSenseCamera, load_sdk
from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock, VirtualClock
from vla_ros.config import load
from vla_ros.values import Frame

from .soft_realsense import HEIGHT, OVERRIDES, SERIAL, WIDTH, SoftCamera, grey, record

PATIENCE = 20.0
"""Seconds of waiting for the SDK's threads after which a test has failed."""
WALL = 1_800_000_000 * SECOND
START = 100 * SECOND


@pytest.fixture(scope="module")
def sdk() -> Any:
    try:
        return load_sdk()
    except CameraError as error:
        pytest.skip(str(error))


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

    def __init__(self, sdk: Any, *overrides: str, plugged: list[SoftCamera] | None = None, **options: Any) -> None:
        self.clock, self.said, self.looks = HaltingClock(START), list[str](), 0
        self.plugged = [SoftCamera(sdk, **options)] if plugged is None else plugged
        config = load(overrides=[*OVERRIDES, *overrides])
        self.camera = RealSenseCamera(
            config,
            "wrist",
            self.clock,
            self.said.append,
            self._find,
            lambda: WALL + self.clock.now(),
        )

    def _find(self) -> list[Any]:
        self.looks += 1
        return [camera.device for camera in self.plugged]

    def show(self, level: int, **metadata: int) -> None:
        """A grey picture, read out now by the hardware clock."""
        self.plugged[0].show(level, grey(level), self.clock.now() / MILLISECOND, **metadata)

    def see(self, level: int, **metadata: int) -> Frame:
        """The same, and the frame that the driver makes of it."""
        self.show(level, **metadata)
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
    made: list[Bench] = []

    def make(*overrides: str, **options: Any) -> Bench:
        made.append(Bench(sdk, *overrides, **options))
        return made[-1]

    yield make
    for each in made:
        each.camera.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def test_frames_are_the_part_and_the_binning_that_are_configured(bench: Callable[..., Bench]) -> None:
    b = bench("cameras.wrist.roi=[16, 8, 32, 24]", "cameras.wrist.binning=4")
    b.camera.open()
    image = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    b.plugged[0].show(0, image, 0.0)
    frame = b.camera.read(PATIENCE)
    assert frame is not None
    blocks = image[8:32, 16:48].reshape(6, 4, 8, 4, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(frame.image, np.floor(blocks + 0.5))
    assert frame.image.shape[:2] == b.camera.intrinsics.image_shape
    assert frame.depth is None


def test_frames_are_numbered_and_stamped_at_the_middle_of_exposure(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    for k in range(5):
        counter = b.clock.now() // 1000
        frame = b.see(k, frame_timestamp=counter, sensor_timestamp=counter - 7000)
        assert (frame.sequence, frame.arrival, frame.image[0, 0, 0]) == (k + 1, b.clock.now(), k)
        assert frame.arrival - frame.exposure == pytest.approx(7 * MILLISECOND, abs=1000)  # its counter is of µs
        b.tick()


def test_global_time_is_mapped_to_the_monotonic_clock(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    read_out = b.clock.now()
    b.tick(0.012)
    b.plugged[0].show(1, grey(1), (WALL + read_out) / MILLISECOND, "global_time", actual_exposure=80)
    frame = b.camera.read(PATIENCE)
    assert frame is not None
    assert frame.exposure == pytest.approx(read_out - 4 * MILLISECOND, abs=1000)
    assert b.said == []


def test_frames_without_metadata_are_said_once(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    for k in range(3):
        b.tick()
        b.plugged[0].show(k, grey(k), (WALL + b.clock.now()) / MILLISECOND, "system_time")
        frame = b.camera.read(PATIENCE)
        assert frame is not None
        assert frame.exposure == pytest.approx(b.clock.now(), abs=1000)
    assert [text for text in b.said if "metadata" in text] == b.said
    assert len(b.said) == 1


def test_a_late_reader_gets_the_newest_frame_and_then_nothing(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(0)
    for k in range(1, 21):
        b.tick()
        b.show(k)
        until(lambda k=k: newest(b.camera) is not None and newest(b.camera).image[0, 0, 0] == k)
    frame = b.camera.read(0)
    assert frame is not None
    assert frame.image[0, 0, 0] == 20
    assert b.camera.read(0.01) is None


def test_what_a_busy_host_had_no_time_for_is_not_queued(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(0)
    b.clock.running.clear()
    for k in range(1, 31):
        b.tick()
        b.show(k)
    b.clock.running.set()
    until(lambda: newest(b.camera) is not None and newest(b.camera).image[0, 0, 0] == 30)
    frame = b.camera.read(0)
    assert frame is not None
    assert frame.sequence <= 4  # the one in hand, the one in the queue


def newest(camera: RealSenseCamera) -> Frame | None:
    return camera._slot._item


def test_depth_on_request_is_aligned_and_in_metres(bench: Callable[..., Bench]) -> None:
    b = bench("cameras.wrist.depth=true", "cameras.wrist.binning=2", depth=True)
    b.camera.open()
    raw = np.full((HEIGHT, WIDTH), 800, np.uint16)
    raw[:, : WIDTH // 2] = 500
    frame = None
    for k in range(100):
        b.tick()
        stamp = b.clock.now() / MILLISECOND
        b.plugged[0].show_depth(k, raw, stamp)
        b.plugged[0].show(k, grey(k), stamp)
        frame = b.camera.read(0.1) or frame
        if frame is not None and frame.depth is not None:
            break
    assert frame is not None
    assert frame.depth is not None
    assert frame.depth.shape == frame.image.shape[:2] == (HEIGHT // 2, WIDTH // 2)
    assert frame.depth[12, 4] == pytest.approx(0.5)
    assert frame.depth[12, 28] == pytest.approx(0.8)


def test_a_device_that_is_unplugged_and_plugged_in_again(sdk: Any, bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    before = b.see(1)
    b.plugged.clear()
    gc.collect()
    b.tick(2)
    until(lambda: "no RealSense camera is connected" in b.camera.problem)
    assert b.camera.read(0.01) is None
    assert len(b.said) == 1
    assert SERIAL in b.said[0]
    assert "cable" in b.said[0]
    b.plugged.append(SoftCamera(sdk))
    until(b.sees_again)
    assert b.camera.problem == ""
    assert [text.endswith("is back") for text in b.said] == [False, True]
    b.tick()
    after = b.see(2)
    assert after.exposure > before.exposure
    assert after.sequence > before.sequence


def test_another_camera_in_its_place_is_not_taken_for_it(sdk: Any, bench: Callable[..., Bench]) -> None:
    b = bench(f"cameras.wrist.serial='{SERIAL}'")
    b.camera.open()
    b.see(1)
    b.plugged[:] = [SoftCamera(sdk, serial="000000000002")]
    b.tick(2)
    until(lambda: "is not connected" in b.camera.problem)
    assert "000000000002" in b.camera.problem
    assert b.camera.read(0.01) is None


def test_a_device_that_falls_silent_is_started_again(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(1)
    b.tick(2)
    until(lambda: b.camera.problem != "")
    until(b.sees_again)
    assert b.camera.problem == ""


def test_a_device_that_stays_silent_is_said_to_be_once(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.see(1)

    def is_looked_for_often() -> bool:
        b.tick(5)
        return b.looks > 4

    until(is_looked_for_often)
    assert len(b.said) == 1


def test_a_thread_that_fails_does_not_do_so_in_silence(bench: Callable[..., Bench]) -> None:
    def fail(text: str) -> None:
        raise ValueError("no paper")

    b = bench()
    b.camera._say = fail
    b.camera.open()
    b.plugged[0].show(1, grey(1), 0.0, "system_time")  # that is worth a word
    assert b.camera.read(PATIENCE) is not None
    until(lambda: b.camera._failure != "")
    with pytest.raises(CameraError, match=r"cameras\.wrist: its thread has ended: ValueError: no paper"):
        b.camera.read(0)


def test_a_frame_from_before_close_is_not_read_after_open(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.camera.open()
    b.show(1)
    until(lambda: newest(b.camera) is not None)
    b.camera.close()
    b.camera.open()
    assert b.camera.read(0.01) is None


def test_the_device_is_free_again_after_close_and_open_begins_anew(bench: Callable[..., Bench]) -> None:
    b = bench()
    with pytest.raises(CameraError, match="not open"):
        b.camera.read(0)
    for _ in range(3):
        b.camera.open()
        assert b.see(3).image[0, 0, 0] == 3
        b.tick()
    b.camera.close()
    b.camera.close()
    with pytest.raises(CameraError, match="not open"):
        b.camera.read(0)


def test_no_device_a_wrong_one_and_one_of_several_are_told_apart(sdk: Any, bench: Callable[..., Bench]) -> None:
    with pytest.raises(CameraError, match=r"no RealSense camera is connected.*udev"):
        bench(plugged=[]).camera.open()
    two = [SoftCamera(sdk), SoftCamera(sdk, serial="000000000002")]
    with pytest.raises(CameraError, match=r"several.*000000000001.*000000000002.*cameras\.wrist\.serial"):
        bench(plugged=two).camera.open()
    with pytest.raises(CameraError, match="'77' is not connected; there is Intel RealSense D435I 000000000001"):
        bench("cameras.wrist.serial='77'", plugged=two).camera.open()
    second = bench("cameras.wrist.serial='000000000002'", plugged=two)
    second.camera.open()
    two[1].show(5, grey(5), 0.0)
    frame = second.camera.read(PATIENCE)
    assert frame is not None
    assert frame.image[0, 0, 0] == 5


def test_without_a_device_on_this_machine_that_is_what_is_said(sdk: Any, tmp_path: Path) -> None:
    if len(sdk.context().query_devices()):
        pytest.skip("a RealSense camera is connected")
    camera = load_camera(load(overrides=OVERRIDES), "wrist", tmp_path, VirtualClock())
    with pytest.raises(CameraError, match="no RealSense camera is connected"):
        camera.open()


def test_a_busy_device_is_said_to_be_in_use(bench: Callable[..., Bench]) -> None:
    first = bench()
    first.camera.open()
    with pytest.raises(CameraError, match=r"another program uses Intel RealSense D435I 000000000001 .*fuser"):
        bench(plugged=first.plugged).camera.open()
    assert first.see(4).image[0, 0, 0] == 4


@pytest.mark.parametrize("override", ["cameras.wrist.rate=15", "cameras.wrist.rate=29.97"])
def test_a_mode_that_it_does_not_have_is_refused_with_those_that_it_has(
    bench: Callable[..., Bench], override: str
) -> None:
    with pytest.raises(CameraError, match=r"no RGB mode 64×48 at .* it has 64×48 at 30: set width, height and rate"):
        bench(override).camera.open()


def test_usb_2_is_said_in_words_and_with_a_missing_mode(bench: Callable[..., Bench]) -> None:
    b = bench(usb="2.1")
    b.camera.open()
    b.see(1)
    assert len(b.said) == 1
    assert "USB 2.1" in b.said[0]
    assert "USB 3 port" in b.said[0]
    with pytest.raises(CameraError, match=r"on USB 2\.1, where it has fewer"):
        bench("cameras.wrist.rate=60", usb="2.1").camera.open()


OPTIONS = {
    "exposure": (1.0, 10000.0, 156.0),
    "gain": (0.0, 128.0, 64.0),
    "white_balance": (2800.0, 6500.0, 4600.0),
    "enable_auto_exposure": (0.0, 1.0, 1.0),
    "enable_auto_white_balance": (0.0, 1.0, 1.0),
    "auto_exposure_priority": (0.0, 1.0, 1.0),
    "global_time_enabled": (0.0, 1.0, 0.0),
}


def options(b: Bench, sdk: Any) -> dict[str, float]:
    return {name: b.plugged[0].colour.get_option(getattr(sdk.option, name)) for name in OPTIONS}


def test_exposure_gain_and_white_balance_are_locked(sdk: Any, bench: Callable[..., Bench]) -> None:
    settings = ("cameras.wrist.exposure=0.008", "cameras.wrist.gain=48", "cameras.wrist.white_balance=4000")
    b = bench(*settings, options=OPTIONS)
    b.camera.open()
    assert options(b, sdk) == {
        "exposure": 80.0,  # × 100 µs
        "gain": 48.0,
        "white_balance": 4000.0,
        "enable_auto_exposure": 0.0,
        "enable_auto_white_balance": 0.0,
        "auto_exposure_priority": 0.0,
        "global_time_enabled": 1.0,
    }


def test_what_is_not_locked_is_automatic_whatever_was_before(sdk: Any, bench: Callable[..., Bench]) -> None:
    b = bench(options=OPTIONS)
    b.plugged[0].colour.set_option(sdk.option.enable_auto_exposure, 0)
    b.plugged[0].colour.set_option(sdk.option.enable_auto_white_balance, 0)
    b.camera.open()
    now = options(b, sdk)
    assert (now["enable_auto_exposure"], now["enable_auto_white_balance"]) == (1, 1)
    assert (now["exposure"], now["gain"], now["white_balance"]) == (156, 64, 4600)


def test_a_setting_out_of_range_or_unknown_to_the_camera_is_refused(bench: Callable[..., Bench]) -> None:
    with pytest.raises(CameraError, match=r"cameras\.wrist\.white_balance: 9000 is out of .* 2800 to 6500"):
        bench("cameras.wrist.white_balance=9000", options=OPTIONS).camera.open()
    narrow = {"exposure": (1.0, 50.0, 20.0)}
    with pytest.raises(CameraError, match=r"cameras\.wrist\.exposure: 0\.01 is out of .* 0\.0001 to 0\.005"):
        bench("cameras.wrist.exposure=0.01", options=narrow).camera.open()
    for without in ({}, {"exposure": 20.0}):
        with pytest.raises(CameraError, match=r"cameras\.wrist\.exposure: this camera cannot be told"):
            bench("cameras.wrist.exposure=0.01", options=without).camera.open()


def test_another_calibration_than_the_configured_is_named_and_known(bench: Callable[..., Bench]) -> None:
    b = bench(focal=66.0)
    assert b.camera.factory is None
    b.camera.open()
    assert b.camera.intrinsics.fx == 60.0
    assert b.camera.factory is not None
    assert (b.camera.factory.fx, b.camera.factory.image_shape) == (66.0, (HEIGHT, WIDTH))
    assert len(b.said) == 1
    assert "fx is 60.0, the camera says 66.0; fy is 60.0, the camera says 66.0." in b.said[0]
    assert "cx" not in b.said[0]


@pytest.fixture(scope="module")
def recording(sdk: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("recording") / "wrist.db3")
    record(sdk, path, 20)
    gc.collect()  # the file is complete when the recorder is gone
    return path


def test_a_recording_is_played_in_place_of_the_device_and_again(recording: str, tmp_path: Path) -> None:
    config = load(overrides=[*OVERRIDES, f"cameras.wrist.playback={recording}", "cameras.wrist.exposure=0.008"])
    camera = load_camera(config, "wrist", tmp_path, MonotonicClock())
    camera.open()
    seen = [frame for frame in (camera.read(PATIENCE) for _ in range(45)) if frame is not None]
    camera.close()
    levels = [int(frame.image[0, 0, 0]) for frame in seen]
    assert len(seen) == 45
    assert all((frame.image == level).all() for frame, level in zip(seen, levels, strict=True))
    assert (np.diff(levels) < 0).sum() >= 1  # from the last picture to the first
    assert set(levels) <= set(range(20))
    stamps = [frame.exposure for frame in seen]
    assert stamps == sorted(set(stamps))
    assert all(frame.exposure <= frame.arrival - 4 * MILLISECOND for frame in seen)  # its metadata say so


def test_a_recording_can_be_opened_again_and_by_two(bench: Callable[..., Bench], recording: str) -> None:
    one, two = (bench(f"cameras.wrist.playback={recording}") for _ in range(2))
    for _ in range(3):
        one.camera.open()
        assert one.camera.read(PATIENCE) is not None
    two.camera.open()
    assert two.camera.read(PATIENCE) is not None


def test_what_it_says_reaches_who_loaded_it(recording: str, tmp_path: Path) -> None:
    said = list[str]()
    config = load(overrides=[*OVERRIDES, f"cameras.wrist.playback={recording}", "cameras.wrist.fy=70"])
    camera = load_camera(config, "wrist", tmp_path, MonotonicClock(), said.append)
    camera.open()
    camera.close()
    assert len(said) == 1
    assert "fy is 70.0, the camera says 60.0" in said[0]


@pytest.mark.parametrize("text", ["", "no recording"])
def test_a_recording_that_is_none_is_refused(bench: Callable[..., Bench], tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrist.db3"
    with pytest.raises(CameraError, match=r"cameras\.wrist\.playback: there is no file"):
        bench(f"cameras.wrist.playback={path}").camera.open()
    path.write_text(text)
    with pytest.raises(CameraError, match=r"no recording that this SDK plays.*\.db3"):
        bench(f"cameras.wrist.playback={path}").camera.open()


def test_a_recording_of_another_size_names_what_it_has(bench: Callable[..., Bench], recording: str) -> None:
    b = bench(f"cameras.wrist.playback={recording}", "cameras.wrist.rate=60")
    with pytest.raises(CameraError, match="it has 64×48 at 30"):
        b.camera.open()


IMPORT = "from vla_ros.cameras.realsense import load_sdk; print(load_sdk().__name__)"


def python(code: str, *flags: str) -> SimpleNamespace:
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=False)
    return SimpleNamespace(status=done.returncode, text=done.stdout + done.stderr)


@pytest.mark.skipif(
    importlib.util.find_spec("pyrealsense2") is None or importlib.util.find_spec("libusb_package") is None,
    reason="the extra realsense is not installed",
)
def test_the_sdk_finds_its_libusb_with_or_without_that_of_the_machine() -> None:
    done = python(IMPORT)
    assert done.text.strip() == "pyrealsense2"


def test_an_sdk_that_is_not_installed_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(CameraError, match=r"pip install 'vla_ros\[realsense\]'"):
        load_sdk()


def test_an_sdk_that_does_not_load_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "pyrealsense2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libusb-1.0.so.0: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyrealsense2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(realsense, "packaged_libusb", lambda: None)
    with pytest.raises(CameraError, match=r"libusb-1\.0\.so\.0.*apt install libusb-1\.0-0"):
        load_sdk()
