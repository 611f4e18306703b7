"""Devices: what their axes, buttons and keys mean, a real terminal by a pty, kernels and SDKs by stand-ins."""

import errno
import os
import pty
import sys
import termios
import time
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.clock import MILLISECOND
from vla_ros.teleop import devices, evdev_gamepad, gamepad, keyboard, spacemouse
from vla_ros.teleop.evdev_gamepad import EvdevGamepad, Events
from vla_ros.teleop.keyboard import HOLD, Keyboard, Keys, typed
from vla_ros.teleop.mapping import Settings, State, step
from vla_ros.teleop.reading import EVENTS, TeleopError
from vla_ros.teleop.spacemouse import SpaceMouse

BOTH = {evdev_gamepad.SOUTH, evdev_gamepad.RIGHT_SHOULDER}


def joy(axes=(), down=()):
    buttons = [int(i in down) for i in range(21)]
    return gamepad.reading(gamepad.from_joy([*axes, *[0.0] * (6 - len(axes))], buttons), 7)


def test_sticks_and_triggers_of_game_controller_node():
    got = joy([0.1, 0.2, 0.3, 0.4, -0.5, -1.0], [gamepad.RB])
    assert got.axes.tolist() == [0.2, 0.1, 0.4, 0.0, 0.0, 0.3]
    assert got.clutch
    assert got.gripper == pytest.approx(0.5)
    assert got.stamp == 7


def test_every_event_of_the_recorder_has_a_button_on_pad_and_keyboard():
    assert set(EVENTS) <= set(gamepad.MEANINGS.values())
    assert set(EVENTS) <= set(keyboard.EVENTS.values())
    assert joy(down=[gamepad.Y]).buttons == {"success"}
    assert not joy(down=[gamepad.Y]).clutch


def test_the_message_of_joy_node_is_refused_with_the_remedy():
    with pytest.raises(TeleopError, match="run game_controller_node"):
        gamepad.from_joy([0.0] * 8, [0] * 11)


def pad_events():
    axes = {evdev_gamepad.LEFT_X: 0.0, evdev_gamepad.LEFT_Y: 0.0, evdev_gamepad.LEFT_TRIGGER: 0.0}
    return Events({0: (-32768.0, 32767.0), 1: (-32768.0, 32767.0), 2: (0.0, 255.0), 16: (-1.0, 1.0)}, axes)


def test_events_of_the_kernel_make_the_same_pad():
    events = pad_events()
    events.put(evdev_gamepad.EV_ABS, evdev_gamepad.LEFT_Y, -32768)
    events.put(evdev_gamepad.EV_ABS, evdev_gamepad.LEFT_TRIGGER, 255)
    events.put(evdev_gamepad.EV_ABS, evdev_gamepad.HAT_X, -1)
    events.put(evdev_gamepad.EV_KEY, evdev_gamepad.RIGHT_SHOULDER, 1)
    pad = events.pad()
    assert pad.left[1] == pytest.approx(1.0)
    assert abs(pad.left[0]) < 1e-4
    assert pad.right == (0.0, 0.0)
    assert pad.triggers == (1.0, 0.0)
    assert pad.down == {gamepad.RB, gamepad.LEFT}
    events.put(evdev_gamepad.EV_KEY, evdev_gamepad.RIGHT_SHOULDER, 0)
    assert gamepad.RB not in events.pad().down


@given(st.lists(st.tuples(st.sampled_from([0, 1, 3]), st.integers(0, 800), st.integers(-70000, 70000)), max_size=60))
def test_no_sequence_of_events_leaves_the_range(sequence):
    events = pad_events()
    for event in sequence:
        events.put(*event)
    got = gamepad.reading(events.pad(), 0)
    assert (np.abs(got.axes) <= 1.0).all()
    assert -1.0 <= got.gripper <= 1.0


class KernelPad:
    """Speaks evdev's InputDevice."""

    def __init__(self, path, keys=BOTH):
        self.path, self.keys, self.queue, self.open, self.gone = path, keys, [], True, False

    def capabilities(self, absinfo=False):
        axes = [(0, types.SimpleNamespace(min=0, max=255, value=128))]
        return {1: sorted(self.keys), 3: axes if absinfo else [0]}

    def active_keys(self):
        return [evdev_gamepad.RIGHT_SHOULDER]

    def read(self):
        if self.gone:
            raise OSError(errno.ENODEV, "No such device")
        if not self.queue:
            raise BlockingIOError
        taken, self.queue = self.queue, []
        return iter(taken)

    def close(self):
        self.open = False


@pytest.fixture
def kernel(monkeypatch):
    made = {"/dev/input/event0": KernelPad("/dev/input/event0", {30, 31}), "/dev/input/event1": KernelPad("pad")}
    module = types.SimpleNamespace(list_devices=lambda: list(made), InputDevice=lambda path: made[path])
    monkeypatch.setitem(sys.modules, "evdev", module)
    return made


def test_the_first_gamepad_is_read_and_a_keyboard_is_none(kernel):
    device = EvdevGamepad()
    assert not kernel["/dev/input/event0"].open
    pad = kernel["/dev/input/event1"]
    assert device.read(5).clutch
    pad.queue = [types.SimpleNamespace(type=3, code=0, value=0)]
    got = device.read(6)
    assert got.axes[1] == pytest.approx(1.0)
    assert got.stamp == 6
    pad.gone = True
    with pytest.raises(TeleopError, match="gone"):
        device.read(7)
    device.close()
    assert not pad.open


def test_no_gamepad_is_said_with_the_remedy(kernel):
    del kernel["/dev/input/event1"]
    with pytest.raises(TeleopError, match="group input"):
        EvdevGamepad()


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    for name in ("evdev", "pyspacemouse"):
        monkeypatch.setitem(sys.modules, name, None)
    for device in ("gamepad", "spacemouse"):
        with pytest.raises(TeleopError, match=r"vla_ros\[teleop\]"):
            devices.open_device(device)
    with pytest.raises(TeleopError, match="choose keyboard"):
        devices.open_device("mind")


def test_a_key_moves_for_150_ms_and_goes_on_while_it_repeats():
    keys = typed(Keys(), "w", 0)
    assert keyboard.reading(keys, HOLD).axes.tolist() == [1, 0, 0, 0, 0, 0]
    assert keyboard.reading(keys, HOLD).clutch
    assert not keyboard.reading(keys, HOLD + 1).axes.any()
    assert not keyboard.reading(keys, HOLD + 1).clutch
    keys = typed(keys, "w", HOLD)
    assert keyboard.reading(keys, 2 * HOLD).axes[0] == 1


def test_the_other_side_of_an_axis_takes_its_place_and_two_axes_go_together():
    got = keyboard.reading(typed(typed(Keys(), "wa", 0), "s", 1), 2)
    assert got.axes.tolist() == [-1, 1, 0, 0, 0, 0]


def test_space_keeps_the_clutch_without_motion_and_hands_it_back():
    keys = typed(Keys(), " ", 0)
    got = keyboard.reading(keys, 10 * HOLD)
    assert got.clutch
    assert not got.axes.any()
    assert not keyboard.reading(typed(keys, " ", 0), 10 * HOLD).clutch


@pytest.mark.parametrize("sequence", ["\x1b[A", "\x1b[B", "\x1bOC", "[D", "\x1b[1;5A", "WASD"])
def test_arrow_keys_and_capitals_move_nothing(sequence):
    got = keyboard.reading(typed(Keys(), sequence, 0), 0)
    assert not got.axes.any()
    assert not got.clutch
    assert got.buttons == set()


@given(st.text(max_size=40), st.integers(0, 500))
def test_whatever_is_typed_the_axes_are_signs_and_end(text, milliseconds):
    keys = typed(Keys(), text, 0)
    got = keyboard.reading(keys, milliseconds * MILLISECOND)
    assert set(np.abs(got.axes)) <= {0.0, 1.0}
    assert not keyboard.reading(keys, HOLD + 1).axes.any()


@pytest.fixture
def terminal():
    """A pty: (what a person types into, what a program reads)."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            assert end == ends[0]


def test_a_terminal_is_read_key_by_key_and_given_back_as_it_was(terminal):
    hand, program = terminal
    before = termios.tcgetattr(program)
    device = Keyboard(program)
    assert not device.read(0).clutch
    os.write(hand, b"w\n")
    deadline = time.monotonic() + 10
    got = device.read(1)
    while not got.clutch:
        assert time.monotonic() < deadline
        got = device.read(1)
    assert got.axes[0] == 1
    device.close()
    device.close()
    assert termios.tcgetattr(program) == before


def test_a_key_that_is_pressed_again_at_once_is_two_presses(terminal):
    hand, program = terminal
    device, state, presses, now = Keyboard(program), State(), 0, 0
    for _ in range(3):
        os.write(hand, b"y")
        time.sleep(0.05)  # through the kernel, so that the very next reading has it
        for _ in range(2):
            now += 20 * MILLISECOND
            state, _, pressed = step(state, device.read(now), now, Settings(), 0.0)
            presses += "success" in pressed
            if pressed:
                break
    device.close()
    assert presses == 3


def test_a_terminal_that_is_closed_says_so(terminal):
    hand, program = terminal
    device = Keyboard(program)
    os.close(hand)
    with pytest.raises(TeleopError, match="closed"):
        device.read(0)
    device.close()


def test_a_pipe_is_no_terminal():
    reader, writer = os.pipe()
    with pytest.raises(TeleopError, match="ssh -t"):
        Keyboard(reader)
    os.close(reader)
    os.close(writer)


class CapState(types.SimpleNamespace):
    pass


class Cap:
    """Speaks pyspacemouse's device: one report a read, `t` changes with each."""

    def __init__(self):
        self.reports, self.open, self.broken = [], True, False
        self.state = CapState(t=-1.0, x=0.0, y=0.0, z=0.0, roll=0.0, pitch=0.0, yaw=0.0, buttons=[0, 0])

    def read(self):
        if self.broken:
            raise OSError("read failed")
        if self.reports:
            self.state.__dict__.update(self.reports.pop(0))
        return CapState(**self.state.__dict__)

    def close(self):
        self.open = False


@pytest.fixture
def cap(monkeypatch):
    made = Cap()

    def opened(axis_convention):
        assert axis_convention == "ros"
        return made

    module = types.SimpleNamespace(open=opened, AxisConvention=types.SimpleNamespace(ROS="ros"))
    monkeypatch.setitem(sys.modules, "pyspacemouse", module)
    return made


def test_a_spacemouse_is_drained_and_its_cap_is_the_clutch(cap):
    device = SpaceMouse()
    assert not device.read(0).clutch
    cap.reports = [{"t": 1.0, "x": 0.5}, {"t": 2.0, "yaw": -0.25}, {"t": 3.0, "x": 0.75}]
    got = device.read(1)
    assert got.axes.tolist() == [0.75, 0, 0, 0, 0, -0.25]
    assert got.clutch
    cap.reports = [{"t": 4.0, "x": 0.0, "yaw": 0.05}]
    assert not device.read(2).clutch
    cap.broken = True
    with pytest.raises(TeleopError, match="gone"):
        device.read(3)
    device.close()
    assert not cap.open


def test_buttons_of_a_spacemouse_close_and_open():
    assert spacemouse.reading([0.0] * 6, [1, 0], 0).gripper == 1.0
    assert spacemouse.reading([0.0] * 6, [0, 1], 0).gripper == -1.0
    assert spacemouse.reading([0.0] * 6, [1], 0).clutch
    assert np.abs(spacemouse.reading([3.0] * 6, [], 0).axes).max() == 1.0


def test_no_spacemouse_is_said_with_the_remedy(monkeypatch):
    def opened(axis_convention):
        raise RuntimeError("No connected or supported devices found.")

    module = types.SimpleNamespace(open=opened, AxisConvention=types.SimpleNamespace(ROS="ros"))
    monkeypatch.setitem(sys.modules, "pyspacemouse", module)
    with pytest.raises(TeleopError, match="udev rule"):
        SpaceMouse()
