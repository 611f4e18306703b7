"""The engines of a bundle: those that the cache has, and those that it lacks, built."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_ros.policy.engines import cache
from vla_ros.policy.engines.cuda import find_gpu, open_gpu
from vla_ros.policy.engines.engine import EngineError
from vla_ros.policy.engines.tensorrt_build import build
from vla_ros.policy.engines.tensorrt_library import Library
from vla_ros.policy.manifest import Graph, Manifest

FOLDER = "engines"
"""Of a bundle, for engines that are shipped with it."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltEngine:
    """One graph's engine on disk, and whether it was built just now."""

    graph: str
    path: Path
    key: cache.Key
    built: bool


def bundle_engines(
    folder: Path, manifest: Manifest, library: Library, targets: Sequence[str] = (), output: Path | None = None
) -> Iterator[BuiltEngine]:
    """The engine of each graph of the bundle in `folder`, built where neither it nor the cache has one.

    `targets`, such as sm_89, default to the GPU that is here. New ones are written into `output`, or else the user's cache. Raises
    EngineError for a target that the library does not build for, and for a graph that cannot become an engine.
    """
    targets = check_targets(library, targets)
    places = [output] if output else [folder / FOLDER, cache.cache_folder()]
    for name, graph in manifest.graphs.items():
        key = key_of(graph, library, targets)
        found = cache.find(places, key)
        yield BuiltEngine(name, found or _make(folder, manifest, name, library, key, places[-1]), key, found is None)


def check_precision(manifest: Manifest, precision: str) -> None:
    """Raise EngineError unless the bundle computes in `precision`: that is settled when its graphs are written."""
    held = {graph.precision for graph in manifest.graphs.values()}
    if precision not in held or (precision == "fp32" and len(held) > 1):
        raise EngineError(
            f"--precision {precision}: the graphs of {manifest.name} compute in {' and '.join(sorted(held))}, and an engine computes "
            f"in what its graph does. Import the policy again with --precision {precision}, or leave the option out."
        )


def check_targets(library: Library, targets: Sequence[str]) -> tuple[str, ...]:
    """The targets in order, the GPU that is here in place of none. Raises EngineError for one that cannot be built for here."""
    if not library.ahead:
        own = open_gpu().target
        if other := [target for target in targets if target != own]:
            raise EngineError(
                f"tensorrt builds only for the GPU it runs on, {own}, not for {', '.join(other)}. Run this on the machine with it, "
                "or build ahead of time with --library tensorrt_rtx."
            )
        return (own,)
    if not targets:
        gpu = find_gpu()
        if gpu is None:
            raise EngineError(
                f"no GPU here whose target could be taken: name --target, of {', '.join(library.targets)}."
            )
        targets = (gpu.target,)
    if other := [target for target in targets if target not in library.targets]:
        raise EngineError(
            f"{library.name} {library.version} does not build for {', '.join(other)}, only for {', '.join(library.targets)}. "
            "Install tensorrt on the machine with that GPU: it builds there."
        )
    return tuple(sorted(set(targets), key=lambda target: int(target.removeprefix("sm_"))))


def key_of(graph: Graph, library: Library, targets: tuple[str, ...]) -> cache.Key:
    """The key of a graph's engine."""
    content = hashlib.sha256(repr((graph.sha256, sorted(graph.data.items()))).encode()).hexdigest()
    key = (content, graph.precision, library.name, library.version, targets)
    if library.ahead:
        return cache.Key(*key)
    gpu = open_gpu()
    return cache.Key(*key, gpu.name, gpu.driver)


def _make(folder: Path, manifest: Manifest, name: str, library: Library, key: cache.Key, place: Path) -> Path:
    log.info("building the engine of %s.%s for %s: up to minutes", manifest.name, name, ", ".join(key.targets))
    graph = manifest.graphs[name]
    timing = cache.cache_folder() / f"{library.name}-{library.version}-{key.targets[0]}.timing"
    plan = build(library, folder / graph.file, name, graph, key.targets, timing)
    return cache.store(place, f"{manifest.name}-{name}", key, plan)
