"""What runs a policy's graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """Runs a graph of the bundle by its name in the manifest."""

    def run(self, graph: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs of `graph`, by name, for its inputs by name."""
