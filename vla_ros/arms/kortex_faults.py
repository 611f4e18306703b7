"""What is wrong with the arm, in words, from its cyclic feedback: its state and the fault banks of base, actuators and gripper."""

from __future__ import annotations

from typing import Any

from vla_ros.arms.kortex_sdk import Sdk

MOVABLE = frozenset(
    {
        "ARMSTATE_SERVOING_READY",
        "ARMSTATE_SERVOING_MANUALLY_CONTROLLED",  # what it says while it follows twists, ours too
        "ARMSTATE_IDLE",  # nobody has taken control of it yet
    }
)
"""States in which the arm takes twists."""
_STATES = {
    "ARMSTATE_IN_FAULT": "the arm is in fault",
    "ARMSTATE_SERVOING_LOW_LEVEL": "servoing mode is LOW_LEVEL: another client has changed it; end that client, then clear the faults",
    "ARMSTATE_SERVOING_PLAYING_SEQUENCE": "the arm plays an action of another client",
    "ARMSTATE_MAINTENANCE": "the arm is in maintenance",
}


def fault(feedback: Any, sdk: Sdk) -> str:
    """Why the arm of this BaseCyclic.Feedback cannot be moved; empty: it can."""
    state = state_name(feedback, sdk)
    banks = "; ".join(_banks(feedback, sdk))
    if state in MOVABLE and not banks:
        return ""
    said = "" if state in MOVABLE else _STATES.get(state, f"the arm is not ready: {state}")
    return ": ".join(filter(None, [said, banks]))


def warnings(feedback: Any, sdk: Sdk) -> list[str]:
    """What the arm warns of, as `base: MAXIMUM_CORE_TEMPERATURE`; nothing of it stops the arm."""
    found = _named("base", feedback.base.warning_bank_a, sdk.base.SafetyIdentifier)
    for number, actuator in enumerate(feedback.actuators, 1):
        found += _named(f"joint {number}", actuator.warning_bank_a, sdk.actuator.SafetyIdentifierBankA)
    return found


def state_name(feedback: Any, sdk: Sdk) -> str:
    """The vendor's name of the arm's state in a BaseCyclic.Feedback."""
    number = feedback.base.active_state
    return str(sdk.common.ArmState.Name(number)) if number in sdk.common.ArmState.values() else f"state {number}"


def _banks(feedback: Any, sdk: Sdk) -> list[str]:
    base, interconnect = feedback.base, feedback.interconnect
    found = _named("base", base.fault_bank_a, sdk.base.SafetyIdentifier) + _numbered("base", "B", base.fault_bank_b)
    for number, actuator in enumerate(feedback.actuators, 1):
        found += _named(f"joint {number}", actuator.fault_bank_a, sdk.actuator.SafetyIdentifierBankA)
        found += _numbered(f"joint {number}", "B", actuator.fault_bank_b)
    for name, part in (("interface module", interconnect), ("gripper", interconnect.gripper_feedback)):
        found += _numbered(name, "A", part.fault_bank_a) + _numbered(name, "B", part.fault_bank_b)
    return found


def _named(part: str, bits: int, enum: Any) -> list[str]:
    """`part: NAME, NAME`, with the bits that have no name in hexadecimal."""
    names, rest = [], bits
    for name, value in enum.items():
        if value and bits & value:
            names.append(name)
            rest &= ~value
    return [f"{part}: {', '.join([*names, *([hex(rest)] if rest else [])])}"] if bits else []


def _numbered(part: str, bank: str, bits: int) -> list[str]:
    return [f"{part}: fault bank {bank} {bits:#x}"] if bits else []
