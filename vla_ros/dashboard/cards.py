"""What can be known of a policy without running it: its manifest in a few lines, and how it was verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vla_ros import paths
from vla_ros.config import Config
from vla_ros.policy.manifest import MANIFEST, BundleError, Manifest, check, load_manifest
from vla_ros.policy.policy import check_spec, find_bundle, is_bundle


def cards(config: Config) -> list[dict[str, Any]]:
    """The bundles of this machine and the configured one, each with what is wrong with it, if something is. Reads their files."""
    folders = {path.parent.resolve(): path.parent.name for path in _models().glob(f"*/{MANIFEST}")}
    spec = config.policy.bundle
    if is_bundle(spec):
        try:
            folders[find_bundle(spec).resolve()] = spec
        except BundleError as error:
            return [{"name": spec, "active": True, "problem": str(error)}, *_all(folders, config)]
        return _all(folders, config)
    about = "drives straight to one point" if spec.startswith("constant:") else "goes along a recorded episode"
    return [
        {"name": spec, "active": True, "problem": check_spec(spec, config), "about": about},
        *_all(folders, config),
    ]


def _models() -> Path:
    try:
        return paths.share("models")
    except FileNotFoundError:
        return Path("/nonexistent")


def _all(folders: dict[Path, str], config: Config) -> list[dict[str, Any]]:
    return [card(folder, name, config) for folder, name in sorted(folders.items(), key=lambda item: item[1])]


def card(folder: Path, name: str, config: Config) -> dict[str, Any]:
    """One bundle: `active` where it is the configured one, `problem` why it cannot be served, empty where it can."""
    found: dict[str, Any] = {"name": name, "active": name == config.policy.bundle, "problem": ""}
    try:
        manifest = load_manifest(folder)
        found |= _facts(manifest)
        check(manifest, config)
    except BundleError as error:
        found["problem"] = str(error)
    return found


def _facts(manifest: Manifest) -> dict[str, Any]:
    action, chunk = manifest.action, manifest.chunk
    return {
        "manifest": manifest.name,
        "robot": f"{manifest.robot.name}, {manifest.robot.tool}",
        "cameras": [f"{c.name} {c.roi[2]}×{c.roi[3]} binned {c.binning}" for c in manifest.cameras],
        "history": f"{manifest.history.window} frames, {manifest.history.stride_ms:g} ms apart",
        "action": f"{action.rotation}, label {action.label}, anchor {action.anchor}",
        "chunk": f"{chunk.length} steps of {chunk.step_ms:g} ms, {chunk.execute} played",
        "graphs": {graph: part.sha256[:12] for graph, part in manifest.graphs.items()},
        "verification": manifest.verification,
        "training": manifest.training,
    }
