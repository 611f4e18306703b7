"""A bundle's manifest, as people ask for it first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

if TYPE_CHECKING:
    from vla_ros.policy.manifest import Action, Manifest


def table(manifest: Manifest) -> Table:
    """The parts of a manifest that a user asks for first."""
    drawn = Table(title=f"policy {manifest.name}", show_header=False)
    action, chunk, history = manifest.action, manifest.chunk, manifest.history
    rows = {
        "robot": f"{manifest.robot.name}, {manifest.robot.tool}, {manifest.robot.control_rate:g} Hz",
        "cameras": "\n".join(
            f"{c.name}: roi {list(c.roi)} of {c.sensor[0]}×{c.sensor[1]}, binning {c.binning}" for c in manifest.cameras
        ),
        "history": f"{history.window} frames, {history.stride_ms:g} ms apart",
        "chunk": f"{chunk.length} steps of {chunk.step_ms:g} ms, {chunk.execute} may be played",
        "step": _reach(action),
        "labels": f"{action.label}, from the {action.anchor} pose",
        "training": "\n".join(f"{name}: {value}" for name, value in manifest.training.items()),
        "verification": "\n".join(f"{name}: {value}" for name, value in manifest.verification.items()),
    }
    for name, value in rows.items():
        drawn.add_row(name, value)
    return drawn


def _reach(action: Action) -> str:
    """The largest step, where there is one."""
    high = action.stages.inverse(np.ones((1, 7)))[0]
    clips = any(stage.kind == "range" for stage in action.stages.stages)
    return (
        f"at most {_list(high[:3])} m, {_list(high[3:6])} rad, in the {action.frame}'s frame"
        if clips
        else "not clipped"
    )


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
