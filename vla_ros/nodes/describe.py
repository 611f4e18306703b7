"""What each setting of the schema means, by its dotted name. No ROS in here: the command line reads it too."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vla_ros.config import Config


def describe(name: str) -> str:
    """The description of a parameter by its dotted name."""
    field = next((field for key, field in _fields(Config) if _matches(key, name)), None)
    return field.description or "" if field else ""


def _matches(key: str, name: str) -> bool:
    """Whether a schema key such as cameras.*.fx means the parameter."""
    parts, others = key.split("."), name.split(".")
    return len(parts) == len(others) and all(a in ("*", b) for a, b in zip(parts, others, strict=True))


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner, star = _section(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            yield from _fields(inner, f"{prefix}{name}.{'*.' if star else ''}")


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The section that a field holds, and whether it holds several by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if get_origin(annotation) is dict:
        return _section(get_args(annotation)[1])[0], True
    if get_origin(annotation) in (Union, types.UnionType):
        return _section(get_args(annotation)[0])
    return None, False
