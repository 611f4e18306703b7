"""The definition of a ROS message as text, from its class: what an MCAP file needs so that others can read it."""

from __future__ import annotations

import importlib
import re
from typing import Any

_PRIMITIVES = {"boolean": "bool", "octet": "byte", "float": "float32", "double": "float64"}
_SEQUENCE = re.compile(r"sequence<(.+?)(?:, (\d+))?>$")
_ARRAY = re.compile(r"(.+)\[(\d+)\]$")
_BOUNDED = re.compile(r"(w?string)<(\d+)>$")
RULE = "=" * 80


def name_of(kind: Any) -> str:
    """As sensor_msgs/msg/JointState."""
    package = kind.__module__.split(".")[0]
    return f"{package}/msg/{kind.__name__}"


def definition(kind: Any) -> str:
    """The fields of a message, then those of every message inside it, in the form of `ros2msg` (mcap.dev). Constants are left out."""
    parts, seen = [_fields(kind)], {_short(kind)}
    waiting = _inside(kind)
    while waiting:
        inner = waiting.pop(0)
        if _short(inner) not in seen:
            seen.add(_short(inner))
            parts.append(f"{RULE}\nMSG: {_short(inner)}\n{_fields(inner)}")
            waiting += _inside(inner)
    return "\n".join(parts)


def _short(kind: Any) -> str:
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def _fields(kind: Any) -> str:
    return "".join(f"{_type(text)} {name}\n" for name, text in kind.get_fields_and_field_types().items())


def _type(text: str) -> str:
    """A type of IDL as one of a .msg file: sequence<double> is float64[]."""
    base, suffix = _split(text)
    bounded = _BOUNDED.match(base)
    base = f"{bounded[1]}<={bounded[2]}" if bounded else base
    return _PRIMITIVES.get(base, base) + suffix


def _split(text: str) -> tuple[str, str]:
    """The type of one element, and the brackets behind it."""
    sequence, array = _SEQUENCE.match(text), _ARRAY.match(text)
    if sequence:
        return sequence[1], f"[<={sequence[2]}]" if sequence[2] else "[]"
    return (array[1], f"[{array[2]}]") if array else (text, "")


def _inside(kind: Any) -> list[Any]:
    """The classes of the messages that are fields of this one."""
    bases = [_split(text)[0] for text in kind.get_fields_and_field_types().values()]
    return [_class(base) for base in bases if "/" in base]


def _class(short: str) -> Any:
    package, name = short.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)
