"""Fault and warning banks: what is wrong with the arm, in the vendor's bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vla_ros.twin.kortex.codes import SafetyIdentifier, SafetyIdentifierBankA
from vla_ros.values import JOINTS


@dataclass(frozen=True)
class Banks:
    """Bits of bank A: SafetyIdentifier of the base, SafetyIdentifierBankA of the actuators (7,). `held` is what cannot be cleared."""

    base: int = 0
    actuators: tuple[int, ...] = (0,) * JOINTS
    warnings: int = 0
    held: int = 0

    def __bool__(self) -> bool:
        """Whether there is a fault; a warning is none."""
        return bool(self.base or any(self.actuators))

    def with_base(self, bits: int, held: bool = False) -> Banks:
        """With these bits of the base as well."""
        return replace(self, base=self.base | bits, held=self.held | (bits if held else 0))

    def with_actuator(self, joint: int, bits: int) -> Banks:
        """With these bits of actuator `joint` (0 is the first) as well, and JOINT_FAULT in the base."""
        changed = tuple(b | bits if i == joint else b for i, b in enumerate(self.actuators))
        return replace(self, actuators=changed, base=self.base | SafetyIdentifier.JOINT_FAULT)

    def cleared(self) -> Banks:
        """What is left after ClearFaults."""
        return Banks(base=self.held, held=self.held, warnings=self.warnings)

    def text(self) -> str:
        """The faults by the vendor's names; empty without one."""
        names = [f"base {name}" for name in _names(SafetyIdentifier, self.base)]
        for joint, bits in enumerate(self.actuators):
            names += [f"joint {joint + 1} {name}" for name in _names(SafetyIdentifierBankA, bits)]
        return ", ".join(names)


def _names(bank: type[SafetyIdentifier] | type[SafetyIdentifierBankA], bits: int) -> list[str]:
    known = [str(bit.name) for bit in bank if bit and bits & bit]
    rest = bits & ~sum(int(bit) for bit in bank)
    return [*known, *([hex(rest)] if rest else [])]
