"""The newest-frame step on a GPU: encoder in bf16, LSTM head in fp32, from pinned frames to a pinned chunk in one CUDA graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import numpy as np
import torch
from torch import Tensor

from vla_ros.networks.backbones.kosmos2 import SIDE
from vla_ros.networks.backbones.kosmos2_graph import Kosmos2Graph, tail
from vla_ros.networks.cost import Ceiling, floor
from vla_ros.networks.release_export import DecideGraph
from vla_ros.networks.released import Family
from vla_ros.networks.speed.bundle import blocks
from vla_ros.networks.speed.ceilings import cuda_ceiling
from vla_ros.networks.speed.contest import (
    REFERENCE,
    WINDOW,
    Outcome,
    Rounds,
    all_products,
    check_same,
    compared,
    facts,
    timed,
)
from vla_ros.networks.speed.models import CAMERAS, SENTENCE, TAIL, make_tokenizer, pieces, random_family
from vla_ros.networks.speed.reference import Reference
from vla_ros.networks.speed.steps import Floats, Pictures, ReferenceStep, Step, WindowStep
from vla_ros.networks.speed.timing import Call
from vla_ros.networks.verify import VerificationError

GRAPH = "torch_bf16_cuda_graph"
ROUNDS = Rounds(reference=100, window=20, warm_up=300)
_BATCHED = 1e-2
"""Largest difference of the recomputed window: other kernels sum a larger batch in another order, and the LSTM goes on from there."""
_EAGER_RUNS = 3
"""Before a capture: libraries choose and load their kernels in the first runs."""


class Resident:
    """Encode and decide of one frame with everything at a fixed place on one device, so that it can be captured."""

    def __init__(self, network: Family, rows: Tensor, end: Tensor, device: str, kind: torch.dtype) -> None:
        """`network` on the device, in fp32, and its text, rows (1, T, D) and end (1,). A copy of the encoder computes in `kind`."""
        encode = Kosmos2Graph(copy.deepcopy(network.eye), CAMERAS).to(device).eval()
        self._encode = encode if kind == torch.float32 else encode.to_precision(kind)
        self._decide = DecideGraph(network.head)
        self._rows, self._end = rows.to(device), end.to(device)
        self._memory = [x.to(device) for x in network.head.fresh()]
        pinned = device != "cpu"
        shape = (1, SIDE, SIDE, 3)
        self._given = [torch.zeros(shape, dtype=torch.uint8, pin_memory=pinned) for _ in range(CAMERAS)]
        self._images = [torch.zeros(shape, dtype=torch.uint8, device=device) for _ in range(CAMERAS)]
        self._chunk = torch.zeros(network.head.config.chunk, 7, pin_memory=pinned)

    def give(self, images: Pictures) -> None:
        """The next frame: images (1, 224, 224, 3) uint8 in the cameras' order."""
        for given, image in zip(self._given, images, strict=True):
            given.copy_(torch.from_numpy(image))

    @torch.inference_mode()
    def run(self) -> None:
        """Copies in, encode, decide, copies out: what is captured."""
        for image, given in zip(self._images, self._given, strict=True):
            image.copy_(given, non_blocking=True)
        chunk, *following = self._decide(self._encode(*self._images, self._rows, self._end), *self._memory)
        for state, value in zip(self._memory, following, strict=True):
            state.copy_(value)
        self._chunk.copy_(chunk[0], non_blocking=True)

    def answer(self) -> Floats:
        """The chunk (chunk, 7) of the last run, which must have ended."""
        return self._chunk.numpy().copy()

    def forget(self) -> None:
        """A fresh memory."""
        for state in self._memory:
            state.zero_()


def captured(resident: Resident) -> torch.cuda.CUDAGraph:
    """The run as a CUDA graph. The memory is fresh afterwards."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_EAGER_RUNS):
            resident.run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        resident.run()
    resident.forget()
    return graph


class ResidentStep:
    """Steps over an endless row of frames; `replay` makes the resident run and waits for its end."""

    def __init__(self, resident: Resident, replay: Callable[[], object], frames: Sequence[Pictures]) -> None:
        self._resident, self._replay = resident, replay
        self._frames: Iterator[Pictures] = cycle(frames)

    def __call__(self) -> Floats:
        """The chunk of the next frame."""
        self._resident.give(next(self._frames))
        self._replay()
        return self._resident.answer()


def available() -> bool:
    """Whether there is a GPU."""
    return bool(torch.cuda.is_available())


def by_events(call: Call) -> float:
    """Milliseconds between two CUDA events around a call."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    began.record()
    call()
    ended.record()
    ended.synchronize()
    return float(began.elapsed_time(ended))


def measure(
    size: str, windows: Sequence[int], rounds: Rounds = ROUNDS, said: Callable[[str], object] = lambda text: None
) -> list[Outcome]:
    """All windows."""
    ceiling = cuda_ceiling(torch.bfloat16, by_events)
    return [on_cuda(size, window, ceiling, rounds, said) for window in windows]


def on_cuda(size: str, window: int, ceiling: Ceiling, rounds: Rounds, said: Callable[[str], object]) -> Outcome:
    """Make, check and time, as `contest.on_cpu` does. Raises VerificationError where the captured graph gives nothing finite."""
    said(f"{size}, window {window}: weights")
    network, tokenizer = random_family(size, window, device="cuda").cuda(), make_tokenizer()
    rows, end = tail(network.eye, torch.tensor(pieces(tokenizer, SENTENCE), device="cuda"), CAMERAS, TAIL)
    random = np.random.default_rng(0)
    frames = [[blocks(random, SIDE, SIDE) for _ in range(CAMERAS)] for _ in range(2 * window)]
    authors = Reference(network, tokenizer)
    said(f"{size}, window {window}: capturing")
    resident = Resident(network, rows, end, "cuda", torch.bfloat16)
    graph = captured(resident)

    def replay() -> None:
        graph.replay()
        torch.cuda.current_stream().synchronize()

    steps: dict[str, Step] = {GRAPH: ResidentStep(resident, replay, frames)}
    steps[REFERENCE] = ReferenceStep(authors, frames, SENTENCE, "cuda")
    whole = WindowStep(authors, frames, SENTENCE, "cuda")
    said(f"{size}, window {window}: the same chunks?")
    differences, moves = compared(steps, whole, window)
    check_same({WINDOW: differences[WINDOW]}, _BATCHED)
    if not np.isfinite(differences[GRAPH]):
        raise VerificationError(f"{GRAPH} gives what is not finite")
    said(f"{size}, window {window}: timing")
    times, ratios = timed(steps, whole, rounds, by_events)
    products = all_products(network)
    floors = {GRAPH: floor(products, ceiling, 2.0)}
    known = facts(network, products) | {"chunk_moves": moves}
    return Outcome(size, window, times, ratios, differences, floors, known, {"bf16": ceiling})
