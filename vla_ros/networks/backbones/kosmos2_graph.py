"""KosMos-2 as one static graph: pixels and a sentence made on the host in, the feature of the frame out.

What never changes is computed once: the latent queries with their keys and values, the first token, the positions of the images. The
sentence comes as a `tail` of fixed length, its rows scaled and with positions, the action token right behind its last word and zeros
behind that. The decoder is causal, so that nothing behind the action token can matter: one graph serves every length, without a
mask, a tokenizer or an embedding table in it. Of the last layer only the action token's row is computed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vla_ros.networks.backbones.kosmos2 import PIXEL_MEAN, PIXEL_STD, Kosmos2Backbone


class Kosmos2Graph(nn.Module):
    """Takes images, (1, 224, 224, 3) uint8 per camera, in their order; tail (1, T, D); end (1,) int64, where the action token is."""

    def __init__(
        self,
        eye: Kosmos2Backbone,
        cameras: int,
        mean: Sequence[float] = PIXEL_MEAN,
        std: Sequence[float] = PIXEL_STD,
    ) -> None:
        super().__init__()
        model = eye.backbone
        self.vision, self.text = model.vision_model.model, model.text_model.model
        self.projection = model.image_to_text_projection
        self.cameras, self.queries, self.kind = cameras, eye.queries, torch.float32
        self.heads = model.config.text_config.attention_heads
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(1, 3, 1, 1) * 255), persistent=False)
        self._fix(eye)

    def _fix(self, eye: Kosmos2Backbone) -> None:
        """What does not depend on the inputs."""
        attention, query = self.projection.x_attn, self.projection.latent_query[None]
        for name, layer in (("q", attention.q_proj), ("k", attention.k_proj), ("v", attention.v_proj)):
            self.register_buffer(f"latent_{name}", self._split(layer(query)).detach().clone(), persistent=False)
        start = eye.backbone.config.text_config.bos_token_id
        first = self.text.embed_tokens.weight[start] * self.text.embed_scale + positions(eye, 0, 1)[0]
        self.register_buffer("first", first.detach().clone()[None, None], persistent=False)
        places = positions(eye, 1, self.cameras * self.queries)
        self.register_buffer("places", places.detach().clone()[None], persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Images …, tail, end -> feature (1, D)."""
        *images, tail, end = inputs
        x = torch.cat([self.first, self.look(images), tail], 1)
        last = end + 1 + self.cameras * self.queries
        for layer in self.text.layers[:-1]:
            x = self._layer(layer, x)
        return self.text.layer_norm(self._last(self.text.layers[-1], x, last))[:, 0]

    def to_precision(self, kind: torch.dtype) -> Kosmos2Graph:
        """Compute in `kind` from now on: the matrix products, that is. What layers add up to and their norms stay in float32."""
        self.kind = kind
        for parameter in self._narrow():
            parameter.data = parameter.data.to(kind)
        for norm in self._wide():
            norm.float()
        for name in ("latent_q", "latent_k", "latent_v"):
            setattr(self, name, getattr(self, name).to(kind))
        return self

    def in_precision(self, kind: torch.dtype) -> Kosmos2Graph:
        """A copy that computes in `kind`. Its weights are never there twice in float32."""
        narrow = {id(p): nn.Parameter(p.detach().to(kind), requires_grad=False) for p in self._narrow()}
        return copy.deepcopy(self, narrow).to_precision(kind)

    def _wide(self) -> list[nn.Module]:
        """The norms of what layers add up to."""
        return [self.text.layer_norm, *(norm for layer in self.text.layers for norm in _norms(layer))]

    def _narrow(self) -> list[nn.Parameter]:
        """All parameters but those of these norms."""
        wide = {id(p) for norm in self._wide() for p in norm.parameters()}
        return [
            p for tower in (self.vision, self.projection, self.text) for p in tower.parameters() if id(p) not in wide
        ]

    def look(self, images: list[Tensor]) -> Tensor:
        """Image tokens (1, cameras·Q, D), scaled and with positions, the last camera's first."""
        # a TensorRT graph takes uint8 only straight into a cast
        pixels = torch.cat([image.to(torch.float32) for image in reversed(images)]).permute(0, 3, 1, 2)
        pixels = ((pixels - self.mean) * self.scale).to(self.kind)
        patches = self.vision.post_layernorm(self.vision(pixels).last_hidden_state).float()
        # in half precision the 1e-12 of a normalize would be zero
        lengths = torch.rsqrt((patches * patches).sum(-1, keepdim=True) + 1e-24)
        seen = self.projection.dense((patches * lengths).to(self.kind))
        attention = self.projection.x_attn
        keys = torch.cat([self._split(attention.k_proj(seen)), self._many(self.latent_k)], 2)
        values = torch.cat([self._split(attention.v_proj(seen)), self._many(self.latent_v)], 2)
        fused = F.scaled_dot_product_attention(self._many(self.latent_q), keys, values)
        tokens = attention.out_proj(_joined(fused)).flatten(0, 1)[None].float()
        return tokens * self.text.embed_scale + self.places

    def _many(self, constant: Tensor) -> Tensor:
        return constant.expand(self.cameras, -1, -1, -1)

    def _split(self, x: Tensor) -> Tensor:
        """(N, T, D) -> (N, heads, T, D / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """One decoder layer for all tokens."""
        attention, inner = layer.self_attn, layer.self_attn_layer_norm(x).to(self.kind)
        q, k, v = (self._split(project(inner)) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._fed(layer, x, seen)

    def _last(self, layer: nn.Module, x: Tensor, last: Tensor) -> Tensor:
        """The last decoder layer for the token at `last` (1,): it sees those up to itself."""
        attention, inner = layer.self_attn, layer.self_attn_layer_norm(x).to(self.kind)
        row = x.index_select(1, last)
        q = self._split(attention.q_proj(inner.index_select(1, last)))
        k, v = (self._split(project(inner)) for project in (attention.k_proj, attention.v_proj))
        visible = (torch.arange(x.shape[1], device=x.device) <= last)[None, None, None]
        return self._fed(layer, row, F.scaled_dot_product_attention(q, k, v, attn_mask=visible))

    def _fed(self, layer: nn.Module, x: Tensor, seen: Tensor) -> Tensor:
        """The rest of a layer behind its attention: sub-LN (Wang et al. 2022, Magneto) in both halves."""
        attention = layer.self_attn
        joined = _joined(seen)
        if attention.inner_attn_ln is not None:
            joined = attention.inner_attn_ln(joined)
        x = x + attention.out_proj(joined).float()
        y: Tensor = x + layer.ffn(layer.final_layer_norm(x).to(self.kind)).float()
        return y


def _norms(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Those that take what the layers before have added up to."""
    return layer.self_attn_layer_norm, layer.final_layer_norm


def _joined(x: Tensor) -> Tensor:
    """(N, heads, T, D / heads) -> (N, T, D)."""
    return x.transpose(1, 2).flatten(2)


def positions(eye: Kosmos2Backbone, first: int, count: int) -> Tensor:
    """Rows (count, D) of the sinusoidal positions of tokens first … of a sequence: they begin behind the padding's (fairseq)."""
    text = eye.backbone.text_model.model
    start = eye.backbone.config.text_config.pad_token_id + 1 + first
    rows: Tensor = text.embed_positions.weights[start : start + count]
    return rows


def tail(eye: Kosmos2Backbone, words: Tensor, cameras: int, length: int) -> tuple[Tensor, Tensor]:
    """The tail (1, length, D) of word numbers (T,), without <s> and </s>, and the action token's place in it (1,).

    Raises ValueError where words and action token are more than `length`.
    """
    if len(words) + 1 > length:
        raise ValueError(f"{len(words)} words and the action token do not fit into a tail of {length}")
    scale = eye.backbone.text_model.model.embed_scale
    rows = torch.cat([eye.embed(words), eye.action_token[None]]) * scale
    rows = rows + positions(eye, 1 + cameras * eye.queries, len(rows))
    padded = F.pad(rows, (0, 0, 0, length - len(rows)))
    return padded[None].detach(), torch.tensor([len(words)])
