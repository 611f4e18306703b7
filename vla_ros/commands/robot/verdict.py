"""What a check on the metal ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Word(Enum):
    """PASS: proven; FAIL: proven otherwise, do not go on; UNSURE: the check could not tell, and its text says why."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNSURE = "UNSURE"


@dataclass(frozen=True)
class Verdict:
    """The end of a check: its word, what was seen in one sentence, what to do about it, and the figures (SI, names with the unit)."""

    name: str
    word: Word
    text: str
    remedy: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """For the screen."""
        return f"{self.word.value}  {self.name}: {self.text}" + (f"\n      → {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Judge:
    """Makes the verdicts of one check."""

    name: str

    def passed(self, text: str, **figures: float) -> Verdict:
        """Proven."""
        return Verdict(self.name, Word.PASS, text, "", figures)

    def failed(self, text: str, remedy: str, **figures: float) -> Verdict:
        """Proven otherwise."""
        return Verdict(self.name, Word.FAIL, text, remedy, figures)

    def unsure(self, text: str, remedy: str, **figures: float) -> Verdict:
        """It could not be told."""
        return Verdict(self.name, Word.UNSURE, text, remedy, figures)
