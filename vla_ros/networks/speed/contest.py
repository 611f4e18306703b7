"""The newest-frame step against the schedule of the reference and against a recomputed window: one machine, one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vla_ros.networks.cost import Ceiling, Floor, Product, better, encode_products, floor, flops, lstm_products, weights
from vla_ros.networks.quantise import FP32, quantise
from vla_ros.networks.released import Family
from vla_ros.networks.speed.bundle import made_up, write_random_bundle
from vla_ros.networks.speed.ceilings import cache
from vla_ros.networks.speed.models import CAMERAS, SENTENCE, TAIL, make_tokenizer, random_family
from vla_ros.networks.speed.reference import Reference
from vla_ros.networks.speed.steps import NewestStep, ReferenceStep, Step, WindowStep, pictures
from vla_ros.networks.speed.timing import Share, Stopwatch, interleaved, ratio
from vla_ros.networks.verify import VerificationError, relative
from vla_ros.policy.engines.onnx import OnnxEngine

ORT, INT8, REFERENCE, WINDOW = "onnxruntime_fp32", "onnxruntime_int8", "reference", "recomputed_window"
SAME = 1e-4
"""Largest difference of a chunk between ways that compute in fp32."""


@dataclass(frozen=True)
class Rounds:
    """How often each is timed: against the reference, and against the recomputed window; and how often before that."""

    reference: int = 20
    window: int = 6
    warm_up: int = 3


@dataclass(frozen=True)
class Outcome:
    """What was measured at one size and window. Times are ms per step."""

    size: str
    window: int
    times: Mapping[str, NDArray[np.float64]]
    ratios: Mapping[str, Share]
    differences: Mapping[str, float]
    floors: Mapping[str, Floor]
    facts: Mapping[str, float] = field(default_factory=dict)
    ceilings: Mapping[str, Ceiling] = field(default_factory=dict)

    def over_floor(self, name: str) -> float:
        """How many times the (serial) floor the median step takes."""
        return float(np.median(self.times[name])) / self.floors[name].serial


def on_cpu(
    size: str,
    window: int,
    threads: int,
    folder: Path,
    ceilings: Callable[[], Mapping[str, Ceiling]],
    rounds: Rounds,
    said: Callable[[str], object] = lambda text: None,
    stopwatch: Stopwatch | None = None,
) -> Outcome:
    """Make, check and time. `ceilings` measures the machine by precision: once before and once after, and the better counts.

    `said` hears what is going on. Raises VerificationError where two ways do not compute the same policy.
    """
    torch.set_num_threads(threads)
    said(f"{size}, window {window}: weights, graphs")
    network, tokenizer = random_family(size, window), make_tokenizer()
    manifest = write_random_bundle(network, tokenizer, folder / "fp32")
    recorded = made_up(folder / "fp32", manifest, 2 * window)
    said(f"{size}, window {window}: int8")
    few = made_up(folder / "fp32", manifest, 2)  # scales of what comes in are found at every call
    small = quantise(folder / "fp32", folder / "int8", few, _int8_anyway, np.inf, ("dynamic",))
    engines = {ORT: OnnxEngine(folder / "fp32", manifest, "cpu", threads)}
    engines[INT8] = OnnxEngine(folder / "int8", small, "cpu", threads)
    steps: dict[str, Step] = {name: NewestStep(e.run, manifest, recorded) for name, e in engines.items()}
    authors = Reference(network, tokenizer)
    frames = pictures(manifest, recorded)
    steps[REFERENCE] = ReferenceStep(authors, frames, SENTENCE)
    whole = WindowStep(authors, frames, SENTENCE)
    said(f"{size}, window {window}: the same chunks?")
    differences, moves = compared(steps, whole, window)
    check_same({name: differences[name] for name in (ORT, WINDOW)})
    said(f"{size}, window {window}: timing")
    before = ceilings()
    times, ratios = timed(steps, whole, rounds, stopwatch)
    best = {name: better(ceiling, before[name]) for name, ceiling in ceilings().items()}
    products = all_products(network)
    known = facts(network, products) | {"chunk_moves": moves}
    return Outcome(size, window, times, ratios, differences, _floors(products, best), known, best)


def compared(steps: Mapping[str, Step], whole: WindowStep, window: int) -> tuple[dict[str, float], float]:
    """Largest difference from the reference over a full window, and that of the recomputed window at its end.

    And, for comparison, by how much the chunk of the reference moves from frame to frame, in the median.
    """
    chunks = {name: np.stack([step() for _ in range(window)]) for name, step in steps.items()}
    wanted = chunks.pop(REFERENCE)
    whole.skip(window - 1)
    found = {name: relative(values, wanted) for name, values in chunks.items()}
    moves = float(np.median(np.abs(np.diff(wanted, axis=0)).max((1, 2))))
    return found | {WINDOW: relative(whole(), wanted[-1])}, moves


def check_same(differences: Mapping[str, float], most: float = SAME) -> None:
    """Raises VerificationError where one of these is too large."""
    for name, difference in differences.items():
        if not difference <= most:
            raise VerificationError(f"{name} differs from the reference by {difference:.1e}: it is not the same policy")


def timed(
    steps: Mapping[str, Step], whole: WindowStep, rounds: Rounds, stopwatch: Stopwatch | None = None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Share]]:
    """Times of all, and how many times as long reference and recomputed window take as each of the others."""
    times = interleaved(steps, rounds.reference, stopwatch, rounds.warm_up)
    ratios = {f"{REFERENCE}_over_{n}": ratio(times[REFERENCE], values) for n, values in times.items() if n != REFERENCE}
    newest = {name: step for name, step in steps.items() if name != REFERENCE}
    contestants: dict[str, Step] = {WINDOW: whole, **newest}
    slow = interleaved(contestants, rounds.window, stopwatch, min(1, rounds.warm_up))
    ratios |= {f"{WINDOW}_over_{name}": ratio(slow[WINDOW], slow[name]) for name in newest}
    return times | {WINDOW: slow[WINDOW]}, ratios


def all_products(network: Family) -> list[Product]:
    """Those of a whole step."""
    head = network.head.config
    encode = encode_products(network.eye.backbone.config, CAMERAS, TAIL)
    return encode + lstm_products(head.width, head.hidden, head.window, head.chunk)


def facts(network: Family, products: list[Product]) -> dict[str, float]:
    """Parameters of the network, operations of a step, and bytes that its weights have in fp32."""
    count = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": count, "flops": flops(products), "weight_bytes_fp32": 4.0 * weights(products)}


def _floors(products: list[Product], ceilings: Mapping[str, Ceiling]) -> dict[str, Floor]:
    """By way of computing. Between two products a CPU's caches hold what goes on, and small weights for good."""
    found = {}
    for name, precision, size in ((ORT, "fp32", 4.0), (INT8, "int8", 1.0)):
        travels = size if size * weights(products) > cache() else 0.0
        found[name] = floor(products, ceilings[precision], travels, 0.0)
    return found


def _int8_anyway(work: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Here int8 is what is measured, whether it is worth it or not."""
    return {method: np.inf if method == FP32 else 0.0 for method in work}
