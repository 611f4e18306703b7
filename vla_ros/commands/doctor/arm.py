"""The arm: the vendor's SDK, the way to it, a session with it, and what it says of itself. Nothing is changed in it, nothing moves."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vla_ros.commands.doctor import network, shell
from vla_ros.commands.doctor.check import Check, Probe
from vla_ros.commands.doctor.network import ARM
from vla_ros.commands.robot.limits import unlike
from vla_ros.config import Config

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Description
    from vla_ros.arms.kortex_setup import KinematicLimit

ROUND_TRIPS = 300
LATE = 0.010
"""s: a 99th percentile of the round trips above it costs the servo commands (a wire takes under 1 ms)."""
_SDK = """
import json
try:
    from vla_ros.arms import kortex_sdk
    sdk = kortex_sdk.load()
    from google.protobuf import __version__ as protobuf
    from google.protobuf.internal import api_implementation
    said = dict(version=sdk.version, protobuf=protobuf, implementation=api_implementation.Type())
except ImportError as error:
    said = dict(error=str(error))
print(json.dumps(said))
"""


def probes(config: Config, held: bool) -> list[Probe]:
    """The looks at the arm; where a service of this machine holds it (`held`), no session is made."""
    if config.arm.driver != "kortex":
        return [Probe("arm", "Kortex", lambda: [ARM.unused("Kortex", f"arm.driver is {config.arm.driver}")])]
    return [
        Probe("arm", "SDK", lambda: [judge_sdk(sdk())], 20.0),
        Probe("arm", "network", lambda: _network(config), network.CONNECTIONS * 2.0 + 10.0),
        Probe("arm", "session", lambda: _in_session(config, held), 4 * config.arm.setup_timeout + 30.0),
    ]


def sdk() -> dict[str, Any]:
    """What the vendor's wheel says when its messages are loaded, in a process of its own."""
    answer = shell.ask_python(sys.executable, _SDK, 15.0)
    said = shell.document(answer)
    return said if isinstance(said, dict) else {"error": answer.last or "no answer"}


def judge_sdk(said: dict[str, Any]) -> Check:
    """The wheel is there, and its messages load in the fast implementation of today's protobuf."""
    if "error" in said:
        return ARM.failure("SDK", said["error"], "docs/robot-setup.md, step 4")
    text = f"kortex_api {said['version'] or '(no version)'}, protobuf {said['protobuf']} ({said['implementation']})"
    if said["implementation"] == "python":
        remedy = "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION; pip install --force-reinstall 'protobuf>=6.31.1,<8'"
        return ARM.warning("SDK", f"{text}: a hundred times slower than its C implementation", remedy)
    return ARM.ok("SDK", text)


def _network(config: Config) -> list[Check]:
    found, unknown = network.look(config.arm.address)
    checks = [network.judge_route(found, unknown, config.arm.address)]
    if found is not None:
        checks.append(network.judge_connections(network.connect(config.arm.address, config.arm.port), config))
    return checks


@dataclass(frozen=True)
class Session:
    """What was seen in a session: the arm's own words, who is connected (None: it does not tell), round trips in s over TCP and UDP;

    or why not.
    """

    description: Description | None = None
    connections: Sequence[str] | None = None
    tcp: Sequence[float] = ()
    udp: Sequence[float] = ()
    error: str = ""


def _in_session(config: Config, held: bool) -> list[Check]:
    if held:
        return [ARM.skipped("session", "not made: a service or command of this machine holds the arm; see service")]
    facts = look(config)
    return [ARM.skipped("session", "not made without the SDK")] if facts is None else judge_session(facts, config)


def look(config: Config) -> Session | None:
    """Connect, ask and leave; nothing in the arm is changed. None where the vendor's SDK is not there."""
    from vla_ros.arms.arm import ArmError
    from vla_ros.arms.kortex_operator import Operator
    from vla_ros.arms.kortex_protobuf import KortexSdkError

    try:
        with Operator(config, say=lambda text: None) as operator:
            operator.open(configure=False)
            connections = operator.connections()
            return Session(operator.describe(), connections, *operator.round_trips(ROUND_TRIPS))
    except KortexSdkError:
        return None
    except ArmError as error:
        return Session(error=str(error))


def judge_session(facts: Session, config: Config) -> list[Check]:
    """Everything that the session told."""
    told = facts.description
    if told is None:
        return [ARM.failure("session", facts.error, "as it says; then again")]
    return [
        judge_connections(facts.connections),
        judge_trips("commands", "TCP", facts.tcp),
        judge_trips("feedback", "UDP", facts.udp),
        judge_identity(told),
        judge_state(told),
        judge_limits(told.limits, config),
        judge_tool(told, config),
    ]


OWN = 2
"""Sessions of ours: one over TCP, one over UDP."""


def judge_connections(connections: Sequence[str] | None) -> Check:
    """Who else could command the arm."""
    if connections is None:
        return ARM.ok("session", "made; this firmware does not tell who else is connected")
    if len(connections) > OWN:
        remedy = "close Kinova's Web App and other clients before the arm moves"
        text = (
            f"made; beside the {OWN} of this look {len(connections) - OWN} more are connected: {', '.join(connections)}"
        )
        return ARM.warning("session", text, remedy)
    return ARM.ok("session", "made; nobody else is connected")


def judge_trips(name: str, wire: str, seconds: Sequence[float]) -> Check:
    """Round trips that move nothing."""
    if not seconds:
        return ARM.failure(
            name, f"no round trip over {wire} succeeded", "look at the firewall: TCP 10000 and UDP 10001 must pass"
        )
    ordered = sorted(1e3 * s for s in seconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]
    text = f"{wire} round trip p50 {p50:.2f}, p99 {p99:.2f}, max {ordered[-1]:.2f} ms, n = {len(ordered)}"
    if p99 > 1e3 * LATE:
        return ARM.warning(name, text, "connect the arm by cable to a port of its own, and end what loads this machine")
    return ARM.ok(name, text)


def judge_identity(told: Description) -> Check:
    """A Gen3 of seven joints with its gripper; firmware and SDK of one version."""
    it = told.identity
    text = f"{it.model} {it.serial}, {it.actuators} joints, firmware {it.firmware}, SDK {it.sdk}"
    if it.actuators != 7:
        return ARM.failure("identity", text, "this drives the 7-DoF Gen3 only")
    if not it.gripper:
        return ARM.failure(
            "identity", f"{text}, no gripper", "mount the 2F-85, look at its interconnect, and start the arm again"
        )
    if told.notes:
        return ARM.warning("identity", f"{text}; {'; '.join(told.notes)}", "as it says")
    return ARM.ok("identity", text)


def judge_state(told: Description) -> Check:
    """Ready, in the servoing mode that takes twists, without a fault."""
    text = f"{told.arm_state}, {told.servoing_mode}"
    if told.fault:
        return ARM.failure("state", f"{text}, fault: {told.fault}", "find the cause, then `vla-ros robot clear-faults`")
    if "SINGLE_LEVEL" not in told.servoing_mode:
        return ARM.warning("state", text, "end the client that set this mode; the service sets it back at its start")
    return ARM.ok("state", text)


def judge_limits(limits: Sequence[KinematicLimit], config: Config) -> Check:
    """The arm's own limits, which guard behind ours: those of the configuration, or not set since the arm was started."""
    if not limits:
        return ARM.failure("soft limits", "the arm tells none", "look at the firmware's version")
    wanted = (config.arm.soft_speed, config.arm.soft_turn_speed, config.arm.soft_joint_speed)
    off = unlike(limits, wanted)
    if off:
        return ARM.ok("soft limits", f"not yet the configuration's ({', '.join(off)}): set when the service starts")
    text = (
        f"{wanted[0]:g} m/s, {math.degrees(wanted[1]):.0f} °/s, joints {math.degrees(wanted[2]):.0f} °/s, as configured"
    )
    return ARM.ok("soft limits", text)


NEAR, ALIKE = 0.010, math.radians(2)
"""m and rad by which the arm's own tool pose may differ from ours: more is another tool configuration, or another convention."""
_GRAM = 0.001


def judge_tool(told: Description, config: Config) -> Check:
    """The tool pose that the arm gives against the one computed from its joints, once the tool is configured."""
    from vla_ros.geometry import difference

    if abs(told.tool.mass - config.arm.tool_mass) > _GRAM:
        text = f"{told.tool.mass:.3f} kg, not yet the configuration's {config.arm.tool_mass:.3f}: set when the service starts"
        return ARM.ok("tool", text)
    gap = math.dist(told.reported_tool.position, told.computed_tool.position)
    turn = math.hypot(*difference(told.reported_tool.quaternion, told.computed_tool.quaternion))
    text = f"its pose differs from ours by {1e3 * gap:.1f} mm, {math.degrees(turn):.2f}°"
    if gap > NEAR or turn > ALIKE:
        remedy = "somebody has changed the tool in the Web App, or this arm is another: `vla-ros robot check pose`"
        return ARM.failure("tool", text, remedy)
    return ARM.ok("tool", f"{told.tool.mass:.3f} kg; {text}")
