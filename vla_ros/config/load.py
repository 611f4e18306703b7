"""Configuration from YAML files and overrides, in the order: defaults, files, overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from vla_ros.config.calibration import CalibrationFileError, overlay
from vla_ros.config.schema import Config

_HERE = Path(__file__).parent


class ConfigError(Exception):
    """A configuration that cannot be used. The text names the file or option, the field and what is wrong with it."""


def load(*sources: str | Path, overrides: Iterable[str] = (), calibration: str | Path | None = None) -> Config:
    """Configuration from `sources`, later ones winning, then from the folder `calibration`, then `overrides` as "limits.speed=0.1".

    A source is the path of a YAML file, or "twin" or "robot" for the file of that name in this package; the default is "twin". What
    `vla-ros calibrate` wrote into the folder is put over them where it is of these cameras. Raises ConfigError.
    """
    values: dict[str, Any] = {}
    names, overrides = [], list(overrides)
    for source in sources or ("twin",):
        path = _HERE / f"{source}.yaml" if str(source) in ("twin", "robot") else Path(source)
        names.append(str(path))
        values = merge(values, _read(path))
    told: dict[str, Any] = {}
    for override in overrides:
        told = merge(told, _parse(override))
    if calibration is not None:
        values = merge(values, _calibrated(calibration, merge(values, told)))
        names.append(str(calibration))
    values = merge(values, told)
    names += overrides
    return validate(values, ", ".join(names))


def _calibrated(folder: str | Path, values: Mapping[str, Any]) -> dict[str, Any]:
    cameras, arm, twin = (_section(values, name) for name in ("cameras", "arm", "twin"))
    try:
        return overlay(folder, cameras, arm.get("driver", "twin") == "twin" or bool(twin.get("kortex")))
    except CalibrationFileError as error:
        raise ConfigError(str(error)) from None


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}


def validate(values: Mapping[str, Any], origin: str) -> Config:
    """The values as a Config. Raises ConfigError that names every bad field."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'configuration'}: {_plain(e)}" for e in error.errors()]
        raise ConfigError(f"bad configuration ({origin}):\n  " + "\n  ".join(lines)) from None


def _plain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown parameter; see `vla-ros config` for the known ones"
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in ("value_error", "missing"):  # its text names the values; the input would be a whole section
        return said
    return f"{said} (got {error['input']!r:.80})"


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of settings, it holds {type(values).__name__}")
    return values


def _parse(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is not of the form NAME=VALUE, as in limits.speed=0.1")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{override!r}: the value is not YAML; quote it, as in runtime='\"[x]\"'") from None
    for part in reversed(key.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `top` put over it, mapping by mapping."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def flatten(model: BaseModel | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf under its dotted name: the form of ROS parameters and of overrides."""
    leaves: dict[str, Any] = {}
    items = (
        model.items()
        if isinstance(model, Mapping)
        else ((name, getattr(model, name)) for name in type(model).model_fields)
    )
    for name, value in items:
        if isinstance(value, (BaseModel, Mapping)):
            leaves |= flatten(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = list(value) if isinstance(value, tuple) else value
    return leaves


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested values of dotted names."""
    values: dict[str, Any] = {}
    for name, leaf in leaves.items():
        nested = leaf
        for part in reversed(name.split(".")):
            nested = {part: nested}
        values = merge(values, nested)
    return values
