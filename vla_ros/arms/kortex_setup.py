"""What the arm is, and what is set in it before it moves: servoing mode, tool, soft limits, protection zones, each read
back.

A mode, tool or zone that the arm has already is left alone; one that it does not take is an ArmError. While the arm is in fault
it may refuse settings: then `ArmInFaultError` is raised, and whoever opened the arm sets them once the fault has been
cleared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from vla_ros.arms import kortex_units, kortex_zones
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_checks import Identity, KinematicLimit, Tool, check_limit, check_pose, said_pose
from vla_ros.arms.kortex_link import IN_FAULT, Answer, Link, Outcome
from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.arms.kortex_units import DEGREE
from vla_ros.arms.kortex_zones import Zone
from vla_ros.clock import SECOND, Clock
from vla_ros.config import Config
from vla_ros.values import JOINTS

__all__ = ["ArmInFaultError", "Identity", "KinematicLimit", "Setup", "Tool", "Zone"]

TWIST_MODES = ("CARTESIAN_JOYSTICK", "CARTESIAN_TRAJECTORY")
"""Control modes with limits of the tool's speed; a streamed twist runs in the first."""
JOINT_MODES = ("CARTESIAN_JOYSTICK", "ANGULAR_TRAJECTORY", "ANGULAR_JOYSTICK", "CARTESIAN_TRAJECTORY")
"""Control modes with limits of the joints' speed; homing runs in the second."""
NEEDED = frozenset({("twist", "CARTESIAN_JOYSTICK"), ("joint", "ANGULAR_TRAJECTORY")})
"""Limits that must be taken: those of the modes in which we move the arm. Another that is refused is noted."""


BRAKING = SECOND
"""ns that an arm which still moves gets to come to rest before a setting that it refuses in motion."""


class ArmInFaultError(ArmError):
    """The arm refuses a setting because it is in fault."""


class Setup:
    """Questions and settings over one motion session. Each method raises ArmError."""

    def __init__(self, sdk: Sdk, config: Config, link: Link, clock: Clock, say: Callable[[str], None]) -> None:
        self._sdk, self._config, self._link, self._clock, self._say = sdk, config, link, clock, say

    def ask(self, what: str, method: Callable[..., Any], *message: Any) -> Any:
        """The reply to a call within arm.setup_timeout; `what` names it in errors. Raises ArmError, ArmInFaultError
        where that is why.
        """
        answer = self._call(method, *message)
        if answer.ok:
            return answer.value
        if answer.outcome is Outcome.REFUSED:
            kind = ArmInFaultError if answer.error in IN_FAULT else ArmError
            raise kind(f"the arm refuses {what}: {answer.text}{_REMEDIES.get(answer.error, '')}")
        raise ArmError(
            f"the arm did not take {what}: {answer.text}. Is the cable sound, and the arm done with booting?"
        )

    def _call(self, method: Callable[..., Any], *message: Any) -> Answer:
        """Call; an arm that still moves, as after an emergency stop or a connection that broke, gets BRAKING to come to rest."""
        timeout, until = self._config.arm.setup_timeout, self._clock.now() + BRAKING
        answer = self._link.call(method, *message, timeout=timeout)
        while answer.error == "ROBOT_MOVEMENT_IN_PROGRESS" and self._clock.now() < until:
            self._clock.sleep_until(self._clock.now() + BRAKING // 20)
            answer = self._link.call(method, *message, timeout=timeout)
        return answer

    def _told(self, what: str, method: Callable[..., Any], field: str, *message: Any) -> str:
        """A text that the arm tells of itself, or nothing: no arm is refused for keeping it back."""
        answer = self._link.call(method, *message, timeout=self._config.arm.setup_timeout)
        if answer.outcome in (Outcome.LOST, Outcome.TIMED_OUT):
            raise ArmError(f"the arm did not tell {what}: {answer.text}. Is the cable sound?")
        return str(getattr(answer.value, field, "")) if answer.ok else ""

    def identity(self, feedback: Any) -> Identity:
        """Which arm this is; `feedback` is a BaseCyclic.Feedback of it."""
        base, device = self._link.base, self._link.device
        return Identity(
            actuators=self.ask("the number of its actuators", base.GetActuatorCount).count,
            gripper=len(feedback.interconnect.gripper_feedback.motor) > 0,
            serial=self._told("its serial number", device.GetSerialNumber, "serial_number"),
            model=self._told("its model", device.GetModelNumber, "model_number"),
            firmware=self._told("its firmware's version", base.GetFirmwareBundleVersions, "main_bundle_version"),
            sdk=self._sdk.version,
        )

    def configure(self, feedback: Callable[[], Any]) -> list[str]:
        """Set everything and check the tool pose with what `feedback` gives then; notes of what is odd. Raises ArmError."""
        self.set_servoing_mode()
        self._set_tool()
        notes = self._set_limits() + self._set_zones()
        check_pose(feedback())
        return notes

    def servoing_mode(self) -> str:
        """The vendor's name of the servoing mode."""
        mode = self.ask("its servoing mode", self._link.base.GetServoingMode).servoing_mode
        known = self._sdk.base.ServoingMode
        return str(known.Name(mode)) if mode in known.values() else f"mode {mode}"

    def set_servoing_mode(self) -> None:
        """Make it SINGLE_LEVEL where it is another, and read it back. Raises ArmError."""
        before = self.servoing_mode()
        if before == "SINGLE_LEVEL_SERVOING":
            return
        base = self._sdk.base
        mode = base.ServoingModeInformation(servoing_mode=base.SINGLE_LEVEL_SERVOING)
        self.ask("servoing mode SINGLE_LEVEL", self._link.base.SetServoingMode, mode)
        after = self.servoing_mode()
        if after != "SINGLE_LEVEL_SERVOING":
            raise ArmError(
                f"the arm stays in {after}: another client holds it there. End that client, or start the arm anew"
            )
        self._say(f"servoing mode was {before}: set to SINGLE_LEVEL_SERVOING")

    def tool(self) -> Tool:
        """The tool configuration that is set."""
        got = self.ask("its tool configuration", self._link.control.GetToolConfiguration)
        centre = got.tool_mass_center
        return Tool(kortex_units.pose(got.tool_transform), got.tool_mass, (centre.x, centre.y, centre.z))

    def _set_tool(self) -> None:
        arm = self._config.arm
        wanted, before = Tool(kortex_units.TOOL_IN_FLANGE, arm.tool_mass, arm.tool_centre), self.tool()
        if wanted.near(before):
            return
        made = self._sdk.control.ToolConfiguration(tool_mass=wanted.mass)
        kortex_units.fill_pose(made.tool_transform, wanted.pose)
        made.tool_mass_center.x, made.tool_mass_center.y, made.tool_mass_center.z = wanted.centre
        self.ask("the tool configuration", self._link.control.SetToolConfiguration, made)
        after = self.tool()
        if not wanted.near(after):
            raise ArmError(
                f"the arm took another tool configuration than it was told: {_said(after)} in place of {_said(wanted)}"
            )
        self._say(f"tool configuration set: {_said(after)}; before: {_said(before)}")

    def limits(self) -> list[KinematicLimit]:
        """Soft limits of every control mode that has them."""
        listed = self.ask("its soft limits", self._link.control.GetAllKinematicSoftLimits).kinematic_limits_list
        return [self._limit(limits) for limits in listed]

    def _limit(self, limits: Any) -> KinematicLimit:
        modes = self._sdk.control.ControlMode
        name = (
            str(modes.Name(limits.control_mode))
            if limits.control_mode in modes.values()
            else f"mode {limits.control_mode}"
        )
        joints = tuple(speed * DEGREE for speed in limits.joint_speed_limits)
        return KinematicLimit(name, limits.twist_linear, limits.twist_angular * DEGREE, joints)

    def _set_limits(self) -> list[str]:
        """Set the limits of every mode and read them back; notes of modes that have none to set and in which we do not move."""
        refused = {}
        for kind, mode, method, message in self._limit_calls():
            message.control_mode = self._sdk.control.ControlMode.Value(mode)
            try:
                self.ask(f"the {kind} limits of {mode}", method, message)
            except ArmInFaultError:
                raise
            except ArmError as error:
                if (kind, mode) in NEEDED or self._link.lost_reason:
                    raise
                refused[kind, mode] = str(error)
        self._check_limits(set(refused))
        return list(refused.values())

    def _limit_calls(self) -> Iterator[tuple[str, str, Callable[..., Any], Any]]:
        """Kind, mode, method and message of each limit."""
        arm, control, client = self._config.arm, self._sdk.control, self._link.control
        for mode in TWIST_MODES:
            linear = control.TwistLinearSoftLimit(twist_linear_soft_limit=arm.soft_speed)
            yield "twist", mode, client.SetTwistLinearSoftLimit, linear
            angular = control.TwistAngularSoftLimit(twist_angular_soft_limit=arm.soft_turn_speed / DEGREE)
            yield "twist", mode, client.SetTwistAngularSoftLimit, angular
        for mode in JOINT_MODES:
            speeds = control.JointSpeedSoftLimits(joint_speed_soft_limits=[arm.soft_joint_speed / DEGREE] * JOINTS)
            yield "joint", mode, client.SetJointSpeedSoftLimits, speeds

    def _check_limits(self, refused: set[tuple[str, str]]) -> None:
        """Read every limit back: none that was taken may be looser than what was set."""
        arm, found = self._config.arm, {limit.mode: limit for limit in self.limits()}
        for kind, mode in {("twist", mode) for mode in TWIST_MODES} | {("joint", mode) for mode in JOINT_MODES}:
            if mode in found and (kind, mode) not in refused:
                check_limit(kind, found[mode], arm.soft_speed, arm.soft_turn_speed, arm.soft_joint_speed)
            elif (kind, mode) in NEEDED:
                raise ArmError(f"the arm does not say what its {kind} limits of {mode} are: they cannot be trusted")

    def zones(self) -> list[Zone]:
        """All protection zones in the arm, ours and others'."""
        return [kortex_zones.zone(z, self._sdk) for z in self._listed()]

    def _listed(self) -> list[Any]:
        return list(self.ask("its protection zones", self._link.base.ReadAllProtectionZones).protection_zones)

    def _set_zones(self) -> list[str]:
        """Make ours what the workspace asks for; others' stay, and are noted, as they may be in the way."""
        wanted = (
            {z.name: z for z in kortex_zones.wanted(self._config.workspace)}
            if self._config.arm.protection_zones
            else {}
        )
        for old in self._listed():
            if old.name.startswith(kortex_zones.PREFIX):
                self._renew(old, wanted.get(old.name))
        there = {z.name for z in self.zones()}
        for zone in wanted.values():
            if zone.name not in there:
                self.ask(
                    f"the protection zone {zone.name!r}",
                    self._link.base.CreateProtectionZone,
                    kortex_zones.message(zone, self._sdk),
                )
                self._say(f"protection zone {zone.name!r} set")
        return self._check_zones(wanted)

    def _renew(self, old: Any, wanted: Zone | None) -> None:
        """One of ours from before: taken away, changed, or left as it is."""
        base = self._link.base
        if wanted is None:
            self.ask(f"the end of the protection zone {old.name!r}", base.DeleteProtectionZone, old.handle)
        elif not wanted.near(kortex_zones.zone(old, self._sdk)):
            new = kortex_zones.message(wanted, self._sdk)
            new.handle.CopyFrom(old.handle)
            self.ask(f"the protection zone {old.name!r}", base.UpdateProtectionZone, new)
            self._say(f"protection zone {old.name!r} changed")

    def _check_zones(self, wanted: dict[str, Zone]) -> list[str]:
        found = self.zones()
        ours = {z.name: z for z in found if z.name.startswith(kortex_zones.PREFIX)}
        wrong = [
            name
            for name in wanted.keys() | ours.keys()
            if name not in ours or name not in wanted or not wanted[name].near(ours[name])
        ]
        if wrong:
            raise ArmError(
                f"the arm's protection zones are not what was set: {', '.join(sorted(wrong))}. Look at them in the arm's web page; "
                "arm.protection_zones=false does without"
            )
        foreign = [z.name for z in found if z.name not in ours and z.enabled]
        return [f"protection zones of others are in force: {', '.join(foreign)}"] if foreign else []


_REMEDIES = {
    "SESSION_NOT_IN_CONTROL": ". Another client moves the arm (its web page, a gamepad?): end it, or leave the arm alone for 8 s",
    "ROBOT_MOVEMENT_IN_PROGRESS": ". Another client moves the arm: end it",
    "ROBOT_IN_FAULT": ". Clear the fault: vla-ros robot clear-faults",
    "ROBOT_IN_EMERGENCY_STOP": ". Release the emergency stop, then: vla-ros robot clear-faults",
}


def _said(tool: Tool) -> str:
    return f"{said_pose(tool.pose)}, {tool.mass:.3f} kg"
