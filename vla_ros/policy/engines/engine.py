"""What runs a policy's graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from vla_ros.policy.manifest import BundleError, Manifest

Tensors: TypeAlias = Mapping[str, Any]
"""By name: arrays, or `DeviceTensor`s that a run of the same engine gave."""


class EngineError(BundleError):
    """An engine that cannot be had or built here. The text names the package, the machine or the bundle, and what to do."""


class DeviceTensor(Protocol):
    """A tensor that stayed on the device: a value like an array, to be given to another run of the engine that made it."""

    def numpy(self) -> NDArray[Any]:
        """A copy on the host."""


class Engine(Protocol):
    """Runs a graph of the bundle by its name in the manifest. To be used by the thread that opened it."""

    def run(self, graph: str, inputs: Tensors) -> dict[str, Any]:
        """The outputs of `graph`, by name, for its inputs by name.

        Outputs are arrays; an engine on a device may give those that only another run wants (`resident`) as DeviceTensors.
        """


def resident(manifest: Manifest, graph: str) -> frozenset[str]:
    """The outputs of `graph` that only another run wants: features, and memory on its way to the next frame."""
    wanted = [t for g in manifest.graphs.values() for t in g.inputs if t.role in ("feature", "memory")]
    names = {t.name if t.role == "feature" else f"{t.name}_next" for t in wanted}
    return frozenset(names.intersection(manifest.graphs[graph].outputs))
