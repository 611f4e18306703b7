"""What the doctor makes of facts: planted ones, and those of this machine."""

import json
import time

import numpy as np
import pytest

from tests.arms import standin
from tests.commands.controllers import cell
from vla_ros import cli
from vla_ros.arms.kortex_setup import Identity, KinematicLimit, Tool
from vla_ros.commands.doctor import arm, cameras, command, host, network, policy, ros, shell
from vla_ros.commands.doctor.check import Check, Group, Level, Probe, looked
from vla_ros.config import load
from vla_ros.geometry import Pose
from vla_ros.nodes import domain

ROBOT = load("robot")
OK, WARNING, FAILURE, UNUSED = Level.OK, Level.WARNING, Level.FAILURE, Level.UNUSED
GROUP = Group("host")


def fine(check):
    """A check that is not in order names its remedy, and one that is needs none."""
    assert bool(check.remedy) is (check.level >= WARNING), check
    return check.level


def test_a_look_that_raises_is_a_failure_that_says_so():
    def look():
        raise ValueError("no such thing")

    (found,) = looked(Probe("host", "thing", look))
    assert (found.level, found.name) == (FAILURE, "thing")
    assert "ValueError: no such thing" in found.text


def test_a_look_that_hangs_is_left_alone():
    began = time.monotonic()
    (found,) = looked(Probe("host", "thing", lambda: time.sleep(30) or [], 0.1))
    assert fine(found) is FAILURE
    assert "no result within 0.1 s" in found.text
    assert time.monotonic() - began < 20


def test_a_look_that_finds_nothing_is_a_failure():
    assert [c.level for c in looked(Probe("host", "thing", list))] == [FAILURE]


def test_a_program_that_is_not_there_or_hangs_is_an_answer():
    assert "no-such-program" in shell.ask(["no-such-program"]).error
    assert shell.ask(["sleep", "30"], 0.1).status is None
    assert shell.document(shell.Answer(0, "Welcome\n[1, 2]\n")) == [1, 2]
    assert shell.document(shell.Answer(0, "no JSON")) is None


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (host.Packages((3, 11), {"numpy": "2.1"}), OK),
        (host.Packages((3, 9), {"numpy": "1.26"}), FAILURE),
        (host.Packages((3, 13), {"numpy": "2.1"}), FAILURE),
        (host.Packages((3, 11), {"numpy": "2.1", "rich": None}), FAILURE),
    ],
)
def test_packages(facts, level):
    (found,) = host.judge_packages(facts)
    assert fine(found) is level


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (host.Clocks(1.0, 1e-6, True, True), OK),
        (host.Clocks(1.0, 1e-6, None, None), OK),
        (host.Clocks(1.0, 1e-6, True, False), WARNING),
        (host.Clocks(1.0, -0.02, True, True), FAILURE),
    ],
)
def test_clocks(facts, level):
    (found,) = host.judge_clock(facts)
    assert fine(found) is level


def test_rights():
    given = host.Rights(True, (), -1, "PREEMPT_RT")
    refused = host.Rights(True, ("no SCHED_FIFO: set x", "no locked memory: set y"), 8 << 20, "no real-time kernel")
    assert fine(host.judge_rights(given, 60)[0]) is OK
    (found,) = host.judge_rights(refused, 60)
    assert fine(found) is WARNING
    assert "not permitted: SCHED_FIFO and locked memory" in found.text
    assert fine(host.judge_rights(host.Rights(False, (), 0, ""), 60)[0]) is FAILURE


@pytest.mark.parametrize(
    ("version", "realtime", "kind"),
    [
        ("#1 SMP PREEMPT_RT Debian", "", "PREEMPT_RT"),
        ("#1 SMP", "1", "PREEMPT_RT"),
        ("#1 SMP PREEMPT_DYNAMIC", "", "PREEMPT_DYNAMIC"),
        ("#1 SMP", "", "no real-time kernel"),
    ],
)
def test_kernels(version, realtime, kind):
    assert host.kernel(version, realtime) == kind


@pytest.mark.parametrize(
    ("facts", "metal", "level"),
    [
        (host.Cpu(8, 0.5, frozenset({"performance"})), True, OK),
        (host.Cpu(8, 0.5, frozenset()), True, OK),
        (host.Cpu(8, 0.5, frozenset({"powersave", "performance"})), True, WARNING),
        (host.Cpu(2, 7.0, frozenset()), True, WARNING),
        (host.Cpu(2, 7.0, frozenset()), False, OK),
    ],
)
def test_cpu(facts, metal, level):
    assert fine(host.judge_cpu(facts, metal)[0]) is level


@pytest.mark.parametrize(("free", "level"), [(64, FAILURE), (300, WARNING), (4096, OK)])
def test_shared_memory(free, level):
    assert fine(host.judge_shm(8192 << 20, free << 20)[0]) is level


@pytest.mark.parametrize(("free", "level"), [(0.5, FAILURE), (5, WARNING), (100, OK)])
def test_disk(free, level):
    assert fine(host.judge_disk(round(free * host.GIB), "/here")[0]) is level


@pytest.mark.parametrize(
    ("domains", "held", "says"),
    [
        ([], False, "no service runs here"),
        ([7], False, "a service runs in ROS domain 7"),
        ([7], True, "the arm is held by it"),
        ([7, 9], False, "7, 9"),
        ([], True, "another vla_ros process holds the arm"),
    ],
)
def test_instances(domains, held, says):
    (found,) = host.judge_instances(domains, held)
    fine(found)
    assert says in found.text


TABLE = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0101A8C0	0003	0	0	0	00000000	0	0	0
enp3s0	0001A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
enp4s0	0001A8C0	00000000	0000	0	0	0	00FFFFFF	0	0	0
"""


def test_the_route_with_the_longest_mask_is_taken_and_one_that_is_down_is_not():
    assert network.route(TABLE, "192.168.1.10") == network.Route("enp3s0")
    assert network.route(TABLE, "10.0.0.1") == network.Route("eth0", "192.168.1.1")
    assert network.route(TABLE.splitlines()[0], "10.0.0.1") is None


@pytest.mark.parametrize(
    ("route", "unknown", "level", "says"),
    [
        (network.Route("enp3s0", "", 1000), "", OK, "1000 Mbit/s"),
        (network.Route("lo"), "", OK, "this host"),
        (network.Route("wlan0", "", 0, True), "", WARNING, "Wi-Fi"),
        (network.Route("eth0", "10.0.0.1"), "", WARNING, "gateway 10.0.0.1"),
        (network.Route("enp3s0", "", 10), "", WARNING, "10 Mbit/s"),
        (network.Route("enp3s0", "", 0, False, "down"), "", FAILURE, "down"),
        (None, "", FAILURE, "no route"),
        (None, "Name or service not known", FAILURE, "not known"),
    ],
)
def test_routes(route, unknown, level, says):
    found = network.judge_route(route, unknown, "192.168.1.10")
    assert fine(found) is level
    assert says in found.text


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (network.Connections([0.0004] * 10), OK),
        (network.Connections([0.0004] * 9 + [0.08]), WARNING),
        (network.Connections([], "Connection refused"), FAILURE),
    ],
)
def test_connections(facts, level):
    assert fine(network.judge_connections(facts, ROBOT)) is level


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ({"version": "2.6.0", "protobuf": "6.31", "implementation": "upb"}, OK),
        ({"version": "2.6.0", "protobuf": "6.31", "implementation": "python"}, WARNING),
        ({"error": "kortex_api: not installed"}, FAILURE),
    ],
)
def test_the_sdk(said, level):
    assert fine(arm.judge_sdk(said)) is level


HERE = Pose(np.array([0.4, 0.0, 0.3]), np.array([1.0, 0.0, 0.0, 0.0]))
SET = tuple(
    KinematicLimit(mode, 0.25, np.radians(60), (np.radians(40),) * 7)
    for mode in ("CARTESIAN_JOYSTICK", "ANGULAR_TRAJECTORY")
)


def told(**changed):
    from vla_ros.arms.kortex_operator import Description

    facts = {
        "identity": Identity(7, True, "GG1", "L53", "2.6.0", "2.6.0"), "servoing_mode": "SINGLE_LEVEL_SERVOING",
        "arm_state": "ARMSTATE_SERVOING_READY", "fault": "", "tool": Tool(HERE, ROBOT.arm.tool_mass, (0, 0, 0.06)),
        "limits": SET, "zones": (), "reported_tool": HERE, "computed_tool": HERE, "notes": (),
    }  # fmt: skip
    return Description(**facts | changed)


FAR = Pose(HERE.position + np.array([0, 0, 0.02]), HERE.quaternion)
LOOSE = (KinematicLimit("CARTESIAN_JOYSTICK", 0.5, 1.0, (1.0,) * 7), SET[1])


@pytest.mark.parametrize(
    ("changed", "name", "level", "says"),
    [
        ({}, "identity", OK, "firmware 2.6.0"),
        ({"identity": Identity(6, True, "GG1", "L53", "2.6", "2.6")}, "identity", FAILURE, "6 joints"),
        ({"identity": Identity(7, False, "GG1", "L53", "2.6", "2.6")}, "identity", FAILURE, "no gripper"),
        ({"notes": ("firmware 2.5 and kortex_api 2.6 differ",)}, "identity", WARNING, "2.5"),
        ({}, "state", OK, "READY"),
        ({"fault": "EMERGENCY_STOP_ACTIVATED"}, "state", FAILURE, "EMERGENCY"),
        ({"servoing_mode": "LOW_LEVEL_SERVOING"}, "state", WARNING, "LOW_LEVEL"),
        ({}, "soft limits", OK, "as configured"),
        ({"limits": LOOSE}, "soft limits", OK, "not yet the configuration's"),
        ({"limits": ()}, "soft limits", FAILURE, "none"),
        ({}, "tool", OK, "0.0 mm"),
        ({"tool": Tool(HERE, 0.0, (0, 0, 0)), "reported_tool": FAR}, "tool", OK, "not yet"),
        ({"reported_tool": FAR}, "tool", FAILURE, "20.0 mm"),
    ],
)
def test_what_the_arm_tells(changed, name, level, says):
    found = {c.name: c for c in arm.judge_session(arm.Session(told(**changed), ("a", "b"), [0.001], [0.001]), ROBOT)}
    assert fine(found[name]) is level
    assert says in found[name].text


@pytest.mark.parametrize(
    ("connections", "level"), [(("a", "b"), OK), (None, OK), (("a", "b", "('tcp', '192.168.1.77') 3"), WARNING)]
)
def test_others_in_the_arm(connections, level):
    assert fine(arm.judge_connections(connections)) is level


@pytest.mark.parametrize(
    ("seconds", "level"), [([0.0003] * 99 + [0.004], OK), ([0.0003] * 90 + [0.02] * 10, WARNING), ([], FAILURE)]
)
def test_round_trips(seconds, level):
    assert fine(arm.judge_trips("feedback", "UDP", seconds)) is level


def test_the_arm_behind_the_wire_is_looked_at_without_a_change_in_it():
    with cell() as (made, running):
        before = running.robot.settings
        found = arm.judge_session(arm.look(made.config), made.config)
        assert running.robot.settings == before
    assert [c.level for c in found] == [OK] * 7, found
    assert "not yet" in {c.name: c.text for c in found}["tool"]


def test_an_arm_that_is_not_there_is_a_failure_with_its_own_words():
    standin.use()
    nobody = load("robot", overrides=["arm.address=127.0.0.1", "arm.port=1"])
    (found,) = arm.judge_session(arm.look(nobody), nobody)
    assert fine(found) is FAILURE
    assert "refuses the connection" in found.text


def test_without_the_sdk_no_session_is_tried(monkeypatch):
    with standin.withheld(monkeypatch):
        (found,) = arm._in_session(load("robot", overrides=["arm.address=127.0.0.1"]), False)
    assert found.level is UNUSED
    assert "without the SDK" in found.text


D435I = cameras.UsbDevice("8086", "0b3a", "Intel(R) RealSense(TM) Depth Camera 435i", 5000)
KINECT = cameras.UsbDevice("045e", "097c", "Azure Kinect Depth Camera", 5000)
BOLT = cameras.UsbDevice("2bc5", "066b", "Femto Bolt", 5000)
SLOW = cameras.UsbDevice("8086", "0b3a", "Intel RealSense", 480)
MOUSE = cameras.UsbDevice("046d", "c077", "Mouse", 12)


@pytest.mark.parametrize(
    ("driver", "devices", "level"),
    [
        ("realsense", [MOUSE, D435I], OK),
        ("realsense", [SLOW], FAILURE),
        ("realsense", [KINECT], FAILURE),
        ("azure_kinect", [KINECT], OK),
        ("azure_kinect", [BOLT], OK),
        ("azure_kinect", [MOUSE], FAILURE),
    ],
)
def test_usb(driver, devices, level):
    assert fine(cameras.judge_usb("wrist", driver, devices)) is level


def test_usb_devices_are_read_from_the_kernel(tmp_path):
    for name, values in {
        "1-1": ("8086", "0b3a", "480"),
        "usb1": ("1d6b", "0002", "1.5"),
        "1-1:1.0": ("", "", ""),
    }.items():
        (tmp_path / name).mkdir()
        for file, value in zip(("idVendor", "idProduct", "speed"), values, strict=True):
            if value:
                (tmp_path / name / file).write_text(value + "\n")
    assert [(d.product, d.speed) for d in cameras.usb_devices(tmp_path)] == [("0b3a", 480), ("0002", 1)]


WRIST = ROBOT.cameras["wrist"]
DEVICE = {"name": "D435I", "serial": "034422070213", "usb": "3.2", "firmware": "5.16.0.1", "wanted": "5.16.0.1"}


@pytest.mark.parametrize(
    ("serial", "devices", "level", "says"),
    [
        ("", [DEVICE], OK, "firmware 5.16"),
        ("034422070213", [DEVICE, DEVICE | {"serial": "2"}], OK, "034422070213"),
        ("", [DEVICE, DEVICE | {"serial": "2"}], FAILURE, "several"),
        ("77", [DEVICE], FAILURE, "77 is not there"),
        ("", [], FAILURE, "sees none"),
        ("", [DEVICE | {"firmware": "5.12"}], WARNING, "recommends 5.16.0.1"),
        ("", [{"name": "Azure Kinect", "error": "open failed"}], FAILURE, "open failed"),
    ],
)
def test_devices(serial, devices, level, says):
    found = cameras.judge_device("wrist", WRIST.model_copy(update={"serial": serial}), devices)
    assert fine(found) is level
    assert says in found.text


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("ModuleNotFoundError: No module named 'pyrealsense2'", "vla_ros[realsense]"),
        ("ImportError: libusb-1.0.so.0: cannot open shared object file", "libusb-package"),
        ("ImportError: numpy.core.multiarray failed to import", "needs numpy 1"),
    ],
)
def test_an_sdk_that_does_not_load_names_its_remedy(error, remedy):
    (found,) = cameras.judge_sdk("wrist", WRIST, {"error": error})
    assert fine(found) is FAILURE
    assert remedy in found.remedy


def test_the_calibration_of_the_drawing_is_not_this_cells():
    assert fine(cameras.judge_calibration("wrist", WRIST)) is WARNING
    measured = WRIST.model_copy(update={"fx": 612.3, "position": (0.08, 0.0, -0.13)})
    assert fine(cameras.judge_calibration("wrist", measured)) is OK
    half = cameras.judge_calibration("wrist", WRIST.model_copy(update={"fx": 612.3}))
    assert "hand-eye" in half.remedy
    assert "intrinsics" not in half.remedy


@pytest.mark.parametrize(
    ("facts", "setting", "level"),
    [
        (policy.EngineFacts("1.20", ("CPUExecutionProvider",)), "policy.device=cpu", OK),
        (policy.EngineFacts("1.20", ("CPUExecutionProvider",)), "policy.device=cuda", FAILURE),
        (policy.EngineFacts("1.20", ("CUDAExecutionProvider",)), "policy.device=cuda", OK),
        (policy.EngineFacts("1.20", ("CPUExecutionProvider",)), "policy.engine=tensorrt", FAILURE),
        (policy.EngineFacts(error="no module"), "policy.device=cpu", FAILURE),
    ],
)
def test_engines(facts, setting, level):
    assert fine(policy.judge_engine(facts, load("twin", overrides=[setting]))) is level


def test_gpus():
    assert fine(policy.judge_gpu(shell.Answer(None, error="nvidia-smi: No such file"))) is FAILURE
    assert fine(policy.judge_gpu(shell.Answer(9, error="driver not loaded"))) is FAILURE
    assert fine(policy.judge_gpu(shell.Answer(0, "NVIDIA RTX A2000, 570, 12282 MiB, 4 MiB\n"))) is OK
    assert policy.gpu(ROBOT).level is UNUSED


def test_a_policy_that_does_not_fit_is_a_failure():
    assert policy.bundle(load("twin")).level is OK
    assert fine(policy.bundle(load("twin", overrides=["policy.bundle=no_such"]))) is FAILURE
    assert fine(policy.bundle(load("twin", overrides=["robot=ur5"]))) is FAILURE


TWIN = load("twin")
STATIC, STATUS = TWIN.cameras["static"].info_topic, "/arm/status"
SPOKEN = {
    "statuses": {
        STATUS: {
            "level": 0,
            "message": "ok",
            "values": {"mode": "IDLE", "feedback_age_ms": "8", "fault": "", "missed": "0"},
        }
    },
    "rates": {STATIC: 29.9, TWIN.cameras["wrist"].info_topic: 30.0},
    "ages": {STATIC: 12.0, TWIN.cameras["wrist"].info_topic: 9.0},
    "publishers": {"/vla/action_chunk": ["/policy"], STATUS: ["/arm"], STATIC: ["/static_camera"]},
    "rclpy": "/opt/ros/jazzy/lib/python3.12/site-packages/rclpy/__init__.py",
    "rmw": "rmw_fastrtps_cpp",
}


def heard(domain=7, domains=(7,), variables=None, **changed):
    return ros.Heard(domain, domains, variables or {}, **SPOKEN | changed)


def by_name(found):
    return {check.name: check for check in found}


def test_a_service_in_order():
    found = by_name([*ros.judge_ros(heard(), TWIN), *ros.judge_service(heard(), TWIN)])
    assert {name: check.level for name, check in found.items() if check.level is not OK} == {}
    assert "29.9 of 30 frames/s" in found["camera static"].text


@pytest.mark.parametrize(
    ("facts", "name", "level"),
    [
        (heard(rates={STATIC: 12.0}), "camera static", WARNING),
        (heard(ages={STATIC: 900.0}), "camera static", FAILURE),
        (heard(ages={STATIC: -3600e3}), "camera static", FAILURE),
        (heard(ages={}), "camera static", FAILURE),
        (heard(statuses={}), "arm", FAILURE),
        (heard(error="boom"), "service", FAILURE),
        (heard(domains=()), "service", UNUSED),
    ],
)
def test_a_service_that_is_not(facts, name, level):
    assert fine(by_name(ros.judge_service(facts, TWIN))[name]) is level


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"fault": "JOINT_FAULT"}, "JOINT_FAULT"),
        ({"feedback_age_ms": "400"}, "400 ms"),
        ({"feedback_age_ms": "?"}, "nan"),
    ],
)
def test_an_arm_that_is_in_fault_or_silent(values, says):
    said = SPOKEN["statuses"][STATUS] | {"values": SPOKEN["statuses"][STATUS]["values"] | values}
    check = by_name(ros.judge_service(heard(statuses={STATUS: said}), TWIN))["arm"]
    assert fine(check) is FAILURE
    assert says in check.text


def test_what_a_part_of_the_service_complains_of_is_shown():
    said = SPOKEN["statuses"] | {"static_camera": {"level": 1, "message": "12 frames in the last second", "values": {}}}
    check = by_name(ros.judge_service(heard(statuses=said), TWIN))["static_camera"]
    assert (fine(check), check.text) == (WARNING, "12 frames in the last second")


@pytest.mark.parametrize(
    ("facts", "name", "level"),
    [
        (heard(error="no rclpy"), "rclpy", FAILURE),
        (heard(variables={"ROS_DISTRO": "humble"}), "rclpy", WARNING),
        (heard(rmw="rmw_zenoh_cpp"), "rclpy", WARNING),
        (heard(domain=150, domains=(150,)), "domain", WARNING),
        (heard(variables={"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}), "discovery", WARNING),
        (heard(variables={"ROS_LOCALHOST_ONLY": "1"}), "discovery", WARNING),
        (heard(domains=()), "publishers", FAILURE),
        (heard(publishers={"/vla/action_chunk": ["/policy", "/policy"]}), "publishers", FAILURE),
        (heard(publishers={"/teleop/twist": ["/spacemouse"]}), "publishers", OK),
    ],
)
def test_ros(facts, name, level):
    assert fine(by_name(ros.judge_ros(facts, TWIN))[name]) is level


def test_images_of_somebody_else_are_wanted_where_the_configuration_says_so():
    theirs = load("twin", overrides=["cameras.static.driver=topic"])
    facts = heard(publishers={STATIC: ["/camera/driver"]})
    assert ros.judge_publishers(facts, theirs).level is OK
    assert fine(ros.judge_publishers(facts, TWIN)) is FAILURE


def test_the_status_is_that_of_the_worst():
    checks = [GROUP.ok("a", "x"), GROUP.warning("b", "x", "y"), GROUP.unused("c")]
    assert command.status(checks) == 0
    assert command.status([*checks, GROUP.failure("d", "x", "y")]) == 1
    assert command.summary(checks) == "1 ok, 1 warnings, 0 failures"
    document = command.document([*checks, Check("arm", "e", FAILURE, "[red]", "[1]")])
    assert document["summary"]["failure"]["value"] == 1
    assert document["items"][3] == {"group": "arm", "name": "e", "level": "failure", "text": "[red]", "remedy": "[1]"}


def test_texts_with_brackets_are_shown_as_they_are(capsys):
    from rich.console import Console

    Console(width=100).print(command.table([GROUP.failure("d", "a [b] [/c]", "[bold] do")]))
    assert "a [b] [/c]" in (text := capsys.readouterr().out)
    assert "[bold] do" in text


def test_addresses_are_shown_whole_on_a_narrow_screen(capsys):
    from rich.console import Console

    address = "https://kinova.test/" + "x" * 60
    Console(width=60).print(command.table([GROUP.failure("d", f"look at {address}", "there")]))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert shown.count("x") == 60


@pytest.mark.slow
def test_the_doctor_of_a_machine_without_hardware(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ros, "SECONDS", 0.5)
    number, held = domain.claim()
    held.close()
    words = ["--config", "twin", "--domain", str(number), "--json", str(tmp_path / "found.json")]
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    status = cli.main(["doctor", *words])
    found = json.loads((tmp_path / "found.json").read_text())
    groups = {item["group"] for item in found["items"]}
    assert groups == {"host", "ROS", "arm", "cameras", "policy", "service"}
    failed = [item for item in found["items"] if item["level"] == "failure"]
    assert status == (1 if failed else 0)
    assert not [item for item in failed if item["group"] in ("arm", "cameras")]
    assert "not used by this configuration: arm.driver is twin" in " ".join(capsys.readouterr().out.split())
