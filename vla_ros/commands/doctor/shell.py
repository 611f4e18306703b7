"""Programs and files that the doctor asks: answers as values, bounded in time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 8.0


@dataclass(frozen=True)
class Answer:
    """What a program said. `status` is None where there is no such program, or it did not end in time."""

    status: int | None
    out: str = ""
    error: str = ""

    @property
    def last(self) -> str:
        """The last line of its complaint, or of what it said."""
        lines = (self.error or self.out).strip().splitlines()
        return lines[-1].strip() if lines else ""


def ask(command: Sequence[str], seconds: float = SECONDS, environment: Mapping[str, str] | None = None) -> Answer:
    """Run a program in a process of its own: neither a crash nor a hang of it reaches this one."""
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
        )
    except subprocess.TimeoutExpired:
        return Answer(None, error=f"no answer within {seconds:g} s")
    except OSError as error:
        return Answer(None, error=f"{command[0]}: {error.strerror}")
    return Answer(done.returncode, done.stdout, done.stderr)


def ask_python(python: str, code: str, seconds: float = SECONDS) -> Answer:
    """Run Python code by that interpreter, with the packages of this one's path where it is the same."""
    return ask([python, "-c", code], seconds, os.environ)


def document(answer: Answer) -> Any:
    """The JSON in the last line of what a program said; None where there is none."""
    lines = answer.out.strip().splitlines()
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return None


def read(path: Path | str) -> str:
    """A small file of /proc or /sys, stripped; empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
