"""What the robot answered, as HTTP says it."""

from __future__ import annotations

from fastapi import HTTPException
from pydantic import BaseModel

from vla_ros.dashboard.commands import Answer


class Said(BaseModel):
    """What the robot answered."""

    text: str


def told(answer: Answer) -> Said:
    """An answer for HTTP. Raises HTTPException: 503 where nobody is there to ask, 409 where it was refused."""
    if not answer.done:
        raise HTTPException(409 if answer.reached else 503, answer.text)
    return Said(text=answer.text)
