"""Networks of the family with random weights, in three sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from vla_ros.networks.backbones.kosmos2 import PROMPT, Kosmos2Backbone
from vla_ros.networks.heads.family import HeadConfig, LstmDecoder
from vla_ros.networks.released import Family

CAMERAS = 2
TAIL = 31
"""Pieces of text that the static graph has room for, the action token included: with two cameras a sequence of 160 tokens."""
SENTENCE = "pick up the red cube and put it on the blue one"
OTHER = "pick up the blue cube and put it on the red one"
_GAIN = 1.4
"""Of a matrix: deviation times the root of its inputs; so large that a chunk moves with the image and with a word of the sentence."""
_BIAS = 0.02


@dataclass(frozen=True)
class Size:
    """The two towers of a KosMos-2 that differ from its published configuration, the image's tokens, and the head's width."""

    text: dict[str, Any]
    vision: dict[str, Any]
    queries: int = 64
    hidden: int = 1024

    def config(self) -> Any:
        """The transformers.Kosmos2Config."""
        from transformers import Kosmos2Config

        return Kosmos2Config(text_config=self.text, vision_config=self.vision, latent_query_num=self.queries)


SIZES = {
    "tiny": Size(
        {"vocab_size": 320, "embed_dim": 64, "layers": 2, "ffn_dim": 128, "attention_heads": 4,
         "max_position_embeddings": 512},
        {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4},
        hidden=64,
    ),
    "200m": Size(
        {"vocab_size": 8192, "embed_dim": 768, "layers": 14, "ffn_dim": 3072, "attention_heads": 12,
         "max_position_embeddings": 512},
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    ),
    "full": Size({}, {}),
}  # fmt: skip
"""tiny: that of the recorded parity checkpoint; 200m: 194 million parameters in the backbone; full: KosMos-2 as published."""


def random_family(size: str, window: int, seed: int = 0, device: str = "cpu", attention: str = "sdpa") -> Family:
    """The network of that size with an LSTM head over `window` frames, weights drawn from `seed`, on `device`, in eval mode.

    Its parameters have torch's default dtype. Freshly made networks are useless here: their output does not move with their input.
    """
    preset = SIZES[size]
    with torch.device(device):
        eye = Kosmos2Backbone(preset.config(), attention)
        head = LstmDecoder(HeadConfig(kind="lstm", width=eye.width, hidden=preset.hidden, window=window))
    network = Family(eye, head).eval().requires_grad_(False)
    draw(network, torch.Generator(device).manual_seed(seed))
    return network


def draw(network: nn.Module, random: torch.Generator) -> None:
    """Draw every number anew, with zero mean; the weights of norms stay one."""
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1 or not name.endswith(".weight"):
            parameter.data.normal_(0.0, _deviation(parameter, name, id(parameter) in tables), generator=random)


def _deviation(parameter: Tensor, name: str, table: bool) -> float:
    if table or name.endswith(("action_token", "latent_query")):
        # tokens are scaled by the root of their width before positions of about unit size are added
        return float(parameter.shape[-1] ** -0.5)
    # unit vectors enter this one: its outputs would be small beside the queries' own
    if name.endswith("image_to_text_projection.dense.weight"):
        return _GAIN
    if parameter.dim() == 1:
        return _BIAS
    return float(_GAIN / parameter[0].numel() ** 0.5)


def make_tokenizer() -> Tokenizer:
    """Unigram pieces as KosMos-2 has them: special tokens first, words with their space, letters for the rest."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<grounding>"]
    words = sorted(set(f"{PROMPT} {SENTENCE} {OTHER}".replace("<grounding>", "").replace("{}", "").split()))
    pieces = [(name, 0.0) for name in special] + [(f"▁{word}", -2.0) for word in words] + [("▁", -3.0)]
    tokenizer = Tokenizer(models.Unigram([*pieces, *((c, -8.0) for c in "abcdefghijklmnopqrstuvwxyz")], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([*special[:4], AddedToken("<grounding>")])
    return tokenizer


def pieces(tokenizer: Tokenizer, sentence: str) -> list[int]:
    """Numbers of the prompt's pieces, without the first and the last token."""
    return list(tokenizer.encode(PROMPT.format(sentence), add_special_tokens=False).ids)
