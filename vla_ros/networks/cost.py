"""What a step of the KosMos-2 policy must cost: its matrix products, counted from the configuration, and their least time.

The products are those of `Kosmos2Graph` and of the staggered LSTM: what never changes is not among them, and of the last layer only
the action token's row is. Norms, activations and copies are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vla_ros.networks.heads.family import ARM, LAYERS

SIZES = (1024, 512, 256)
"""Of the layers in front of each of a head's outputs."""


@dataclass(frozen=True)
class Product:
    """`count` products (m, k) × (k, n). `weight`: the second matrix is read from memory; between activations it is at hand.

    `needed` is the share of it that has to be computed: half under a causal mask.
    """

    name: str
    m: int
    n: int
    k: int
    count: int = 1
    weight: bool = True
    needed: float = 1.0

    @property
    def flops(self) -> float:
        """Multiplications and additions, the masked ones included."""
        return 2.0 * self.m * self.n * self.k * self.count

    def bytes(self, weight: float, activation: float) -> float:
        """What travels from and to memory, at these bytes a number; between activations nothing has to."""
        if not self.weight:
            return 0.0
        return self.count * (self.n * self.k * weight + (self.m * self.k + self.m * self.n) * activation)


@dataclass(frozen=True)
class Ceiling:
    """What a machine can do: operations and bytes in a second."""

    rate: float
    bandwidth: float


def better(a: Ceiling, b: Ceiling) -> Ceiling:
    """Of two measurements of one machine: whatever disturbed one of them made it less."""
    return Ceiling(max(a.rate, b.rate), max(a.bandwidth, b.bandwidth))


@dataclass(frozen=True)
class Floor:
    """Least time, ms: products one after the other, and with all memory traffic hidden behind computing or the other way round."""

    serial: float
    overlapped: float


def encode_products(config: Any, cameras: int, tail: int) -> list[Product]:
    """Those of `encode` for a Kosmos2Config, `tail` places of text."""
    return [*_vision(config.vision_config, cameras), *_projection(config, cameras), *_text(config, cameras, tail)]


def lstm_products(width: int, hidden: int, window: int, chunk: int) -> list[Product]:
    """Those of `decide` with staggered LSTM states."""
    found = []
    for layer in range(LAYERS):
        found.append(Product("lstm.in", window, 4 * hidden, hidden if layer else width))
        found.append(Product("lstm.state", window, 4 * hidden, hidden))
    for outputs in (ARM * chunk, chunk):
        sizes = (hidden, *SIZES, outputs)
        found += [Product("mlp", 1, n, k) for k, n in pairwise(sizes)]
    return found


def floor(
    products: Sequence[Product], ceiling: Ceiling, weight_bytes: float, activation_bytes: float | None = None
) -> Floor:
    """The time below which no way of computing them can get: each product takes what its operations or its bytes take.

    Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore architectures", CACM 52 (2009).
    """
    activation = weight_bytes if activation_bytes is None else activation_bytes
    computing = [p.flops * p.needed / ceiling.rate for p in products]
    moving = [p.bytes(weight_bytes, activation) / ceiling.bandwidth for p in products]
    serial = sum(max(a, b) for a, b in zip(computing, moving, strict=True))
    return Floor(1e3 * serial, 1e3 * max(sum(computing), sum(moving)))


def flops(products: Sequence[Product]) -> float:
    """All that has to be computed."""
    return sum(p.flops * p.needed for p in products)


def weights(products: Sequence[Product]) -> int:
    """Numbers in the weights."""
    return sum(p.n * p.k * p.count for p in products if p.weight)


def _vision(config: Any, cameras: int) -> list[Product]:
    patches, width, inner = (config.image_size // config.patch_size) ** 2, config.hidden_size, config.intermediate_size
    tokens, layers = patches + 1, config.num_hidden_layers
    rows = tokens * cameras
    heads = config.num_attention_heads
    return [
        Product("vision.patches", patches * cameras, width, config.num_channels * config.patch_size**2),
        Product("vision.qkvo", rows, width, width, 4 * layers),
        Product("vision.up", rows, inner, width, layers),
        Product("vision.down", rows, width, inner, layers),
        *_attention("vision", tokens, tokens, width // heads, heads * cameras * layers),
    ]


def _projection(config: Any, cameras: int) -> list[Product]:
    vision, text = config.vision_config, config.text_config
    tokens, width, queries = (vision.image_size // vision.patch_size) ** 2 + 1, text.embed_dim, config.latent_query_num
    heads = text.attention_heads
    return [
        Product("projection.dense", tokens * cameras, width, vision.hidden_size),
        Product("projection.kv", tokens * cameras, width, width, 2),
        *_attention("projection", queries, tokens + queries, width // heads, heads * cameras),
        Product("projection.out", queries * cameras, width, width),
    ]


def _text(config: Any, cameras: int, tail: int) -> list[Product]:
    text = config.text_config
    width, inner, heads, layers = text.embed_dim, text.ffn_dim, text.attention_heads, text.layers
    length = 1 + cameras * config.latent_query_num + tail
    return [
        Product("text.qkvo", length, width, width, 4 * (layers - 1)),
        Product("text.up", length, inner, width, layers - 1),
        Product("text.down", length, width, inner, layers - 1),
        *_attention("text", length, length, width // heads, heads * (layers - 1), needed=0.5),
        Product("last.kv", length, width, width, 2),
        Product("last.qo", 1, width, width, 2),
        Product("last.up", 1, inner, width),
        Product("last.down", 1, width, inner),
        *_attention("last", 1, length, width // heads, heads),
    ]


def _attention(name: str, queries: int, keys: int, width: int, count: int, needed: float = 1.0) -> list[Product]:
    """Scores and sums of `count` heads."""
    return [
        Product(f"{name}.scores", queries, keys, width, count, weight=False, needed=needed),
        Product(f"{name}.sums", queries, width, keys, count, weight=False, needed=needed),
    ]
