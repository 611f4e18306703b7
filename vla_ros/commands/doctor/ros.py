"""ROS: which rclpy and middleware, which domain and how far it reaches, who else publishes there; and the service that runs in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vla_ros import bringup
from vla_ros.commands.doctor import shell
from vla_ros.commands.doctor.check import Check, Group, Probe
from vla_ros.config import Config

ROS, SERVICE = Group("ROS"), Group("service")
SECONDS = 3.0
OURS = {
    "/vla/action_chunk": "/policy",
    "/vla/status": "/policy",
    "/arm/command": "/arm",
    "/arm/status": "/arm",
}
"""Topics that one node of ours publishes, and the name of that node."""


@dataclass(frozen=True)
class Heard:
    """What `vla_ros.nodes.health` heard; `error` where rclpy could not be used. `domains` are those claimed on this machine."""

    domain: int
    domains: Sequence[int]
    variables: Mapping[str, str]
    error: str = ""
    rclpy: str = ""
    rmw: str = ""
    publishers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    statuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    ages: Mapping[str, float] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether a service of this machine runs in this domain."""
        return self.domain in self.domains


def probes(config: Config, domain: int) -> list[Probe]:
    """One look, which gives both groups: listening takes seconds."""
    return [Probe("ROS", "rclpy", lambda: _both(config, hear(config, domain)), SECONDS + 25)]


def _both(config: Config, heard: Heard) -> list[Check]:
    return [*judge_ros(heard, config), *judge_service(heard, config)]


def hear(config: Config, domain: int, seconds: float = SECONDS) -> Heard:
    """Listen in the domain for that long, in a process of its own."""
    from vla_ros.nodes.domain import claimed

    given = os.environ | {"ROS_DOMAIN_ID": str(domain)}
    infos = [camera.info_topic for camera in config.cameras.values()]
    command = [sys.executable, "-m", "vla_ros.nodes.health", "--seconds", str(seconds), *infos]
    answer = shell.ask(command, seconds + 20, bringup.environment(given))
    said = shell.document(answer)
    if not isinstance(said, dict):
        return Heard(domain, claimed(), dict(os.environ), error=answer.last or f"ended with status {answer.status}")
    return Heard(domain, claimed(), dict(os.environ), **said)


def judge_ros(heard: Heard, config: Config) -> list[Check]:
    """The group ROS."""
    found = [judge_rclpy(heard), judge_domain(heard), judge_range(heard.variables)]
    return found if heard.error else [*found, judge_publishers(heard, config)]


def judge_rclpy(heard: Heard) -> Check:
    """Where rclpy comes from, and its middleware."""
    distribution = heard.variables.get("ROS_DISTRO", "")
    if heard.error:
        return ROS.failure(
            "rclpy", heard.error, "source ROS 2 Jazzy (/opt/ros/jazzy/setup.bash), or `make env` for the wheels"
        )
    origin = "the wheels in this environment" if "site-packages" in heard.rclpy else heard.rclpy.partition("/lib/")[0]
    text = f"{distribution or 'rclpy'} from {origin}, {heard.rmw}"
    if distribution not in ("", "jazzy"):
        return ROS.warning("rclpy", text, "this is made for Jazzy: source /opt/ros/jazzy/setup.bash")
    if heard.rmw != "rmw_fastrtps_cpp":
        return ROS.warning("rclpy", text, "only Fast DDS is tested with images: unset RMW_IMPLEMENTATION")
    return ROS.ok("rclpy", text)


def judge_domain(heard: Heard) -> Check:
    """Domains over 101 have ports that Linux hands out to others."""
    text = f"ROS_DOMAIN_ID {heard.domain}" + ("" if heard.variables.get("ROS_DOMAIN_ID") else " (not set)")
    if heard.domain > 101:
        return ROS.warning("domain", text, "choose one of 0 to 101: the ports of others may be in use")
    return ROS.ok("domain", text)


def judge_range(variables: Mapping[str, str]) -> Check:
    """Who can be heard, and who can command."""
    if variables.get("ROS_LOCALHOST_ONLY"):
        return ROS.warning(
            "discovery", "ROS_LOCALHOST_ONLY is set: Jazzy has replaced it", "unset it; the default is LOCALHOST here"
        )
    reach = variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST").upper()
    if reach == "SUBNET":
        remedy = "unset ROS_AUTOMATIC_DISCOVERY_RANGE, unless others on this network are meant to command the arm"
        return ROS.warning("discovery", "SUBNET: everybody on the network can command the arm", remedy)
    return ROS.ok("discovery", f"{reach} (no security boundary)")


def judge_publishers(heard: Heard, config: Config) -> Check:
    """Nobody but the one service publishes what moves the arm."""
    foreign = [
        f"{topic} by {name}"
        for topic, names in heard.publishers.items()
        for name in strangers(topic, names, heard, config)
    ]
    if foreign:
        remedy = (
            "end them, or choose another ROS_DOMAIN_ID: the arm refuses a second policy, and images of two cameras mix"
        )
        return ROS.failure("publishers", f"not of this service: {', '.join(foreign)}", remedy)
    hands = sorted({name for topic in ("/teleop/twist", "/teleop/gripper") for name in heard.publishers.get(topic, ())})
    return ROS.ok("publishers", f"no strangers{f'; teleop by {hands}' if hands else ''}")


def strangers(topic: str, names: Sequence[str], heard: Heard, config: Config) -> list[str]:
    """Those of a topic's publishers that are not the service's own: all but one of the right name, where a service runs."""
    own = OURS | {
        camera.info_topic: f"/{name}_camera" for name, camera in config.cameras.items() if camera.driver != "topic"
    }
    if topic not in own:
        return []
    rest = list(names)
    if heard.runs and own[topic] in rest:
        rest.remove(own[topic])
    return rest


def judge_service(heard: Heard, config: Config) -> list[Check]:
    """What a service that runs in this domain says: cameras, feedback, policy, faults."""
    if not heard.runs:
        others = f"; others run in {', '.join(map(str, heard.domains))} (--domain)" if heard.domains else ""
        return [SERVICE.skipped("service", f"none runs in ROS domain {heard.domain}{others}")]
    if heard.error:
        return [SERVICE.failure("service", f"a service runs, but cannot be heard: {heard.error}", "see ROS above")]
    found = [judge_camera(heard, name, config) for name in config.cameras]
    return [*found, judge_arm(heard, config), *judge_parts(heard)]


def judge_camera(heard: Heard, name: str, config: Config) -> Check:
    """Rate and age of a camera's frames, by its CameraInfo."""
    camera = config.cameras[name]
    rate, age = heard.rates.get(camera.info_topic, 0.0), heard.ages.get(camera.info_topic)
    if age is None:
        remedy = "see what its node says below; `ros2 topic info` for a driver of somebody else"
        return SERVICE.failure(f"camera {name}", f"nothing on {camera.info_topic}", remedy)
    text = f"{rate:.1f} of {camera.rate:g} frames/s, {age:.0f} ms from exposure to here"
    if age > 1e3 * config.deadlines.camera_hold or age < -50:
        return SERVICE.failure(
            f"camera {name}",
            text,
            "the arm holds at such stamps: look at the camera's clock and the load of the machine",
        )
    if rate < 0.8 * camera.rate:
        return SERVICE.warning(f"camera {name}", text, "look at the load, the USB port, and the exposure time")
    return SERVICE.ok(f"camera {name}", text)


def judge_arm(heard: Heard, config: Config) -> Check:
    """The age of the arm's feedback, and what the arm does."""
    said = heard.statuses.get("/arm/status")
    if said is None:
        return SERVICE.failure(
            "arm", "nothing on /arm/status", "the arm node or the servo does not run: see the output of the service"
        )
    values = said["values"]
    age, fault = _number(values.get("feedback_age_ms")), values.get("fault", "")
    mode, missed = values.get("mode", "?").lower(), values.get("missed", "?")
    text = f"{mode}, feedback {age:.0f} ms old, {missed} periods missed: {said['message']}"
    if fault:
        return SERVICE.failure(
            "arm",
            f"fault: {fault}",
            "find the cause, then `vla-ros robot clear-faults` without the service, and start again",
        )
    if not age <= 1e3 * config.deadlines.feedback_hold:
        return SERVICE.failure("arm", text, "the arm holds: look at the cable, and at the load of the machine")
    return SERVICE.ok("arm", text)


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return float("nan")


def judge_parts(heard: Heard) -> list[Check]:
    """Parts of /diagnostics that do not say ok."""
    found = []
    for name, said in sorted(heard.statuses.items()):
        if said["level"] and not name.startswith("/arm"):
            make = SERVICE.warning if said["level"] == 1 else SERVICE.failure
            found.append(make(name, said["message"], "as it says"))
    return found
