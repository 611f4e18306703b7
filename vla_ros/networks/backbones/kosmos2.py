"""KosMos-2 as a backbone of the RoboVLMs family: a frame's images and a sentence in, the state of its action token out.

The tokens of one frame, in the order of the reference (RoboVLMs, base_backbone.py: each camera is inserted behind the first token,
so the last one given comes first):

    <s> | images of the last camera | … | images of the first camera | text | action token

A closing `</s>` stands behind the action token in the reference; the decoder is causal, so it cannot matter and is left out. The
language-model head is not computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 224
"""Pixels of an image's side."""
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's, of pixels in 0 … 1 (RoboVLMs, base_backbone.py)."""
PROMPT = "<grounding>An image of a robot {}"
"""What the reference makes of an instruction (RoboVLMs, data_utils.py)."""


class Kosmos2Backbone(nn.Module):
    """The vision-language model without its language-model head, and the learned action token.

    `config` is a transformers.Kosmos2Config or its dictionary. Weights are fresh; the names of the parameters are those of the
    released checkpoints.
    """

    def __init__(self, config: Any, attention: str = "sdpa") -> None:
        super().__init__()
        from transformers import Kosmos2Model

        self.backbone = Kosmos2Model(_config(config, attention))
        # transformers 4.52 to 5.22 mask this cross-attention causally under sdpa, silently (huggingface/transformers#39037)
        self.backbone.image_to_text_projection.x_attn.is_causal = False
        self.action_token = nn.Parameter(torch.zeros(self.width))

    @classmethod
    def from_folder(cls, folder: Path, attention: str = "sdpa") -> Kosmos2Backbone:
        """With the weights of a local folder as microsoft/kosmos-2-patch14-224 has them (safetensors), to begin a training from.

        Raises OSError where they are not there, and ValueError where they are not whole. Nothing is downloaded.
        """
        from transformers import Kosmos2Model

        eye = cls(read_config(folder), attention)
        model, told = Kosmos2Model.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        if told["missing_keys"]:
            raise ValueError(
                f"{folder} lacks {', '.join(sorted(told['missing_keys'])[:5])}: copy the whole model again"
            )
        eye.backbone.load_state_dict(model.state_dict())
        return eye

    @property
    def width(self) -> int:
        """Numbers of a token."""
        return int(self.backbone.config.text_config.embed_dim)

    @property
    def queries(self) -> int:
        """Tokens of one image."""
        return int(self.backbone.config.latent_query_num)

    def forward(self, images: Sequence[Tensor], words: Tensor) -> Tensor:
        """Feature (N, D) of frames: per camera, in their order, pixels (N, 3, 224, 224) normalised; words (N, T) with <s>, unpadded.

        The words do not hold the closing </s>.
        """
        tokens = self.look(torch.stack(list(images), 1))
        text = self.embed(words)
        action = self.action_token.expand(len(words), 1, -1)
        sequence = torch.cat([text[:, :1], tokens, text[:, 1:], action], 1)
        states = self.backbone.text_model.model(inputs_embeds=sequence, use_cache=False).last_hidden_state
        return states[:, -1]

    def look(self, pixels: Tensor) -> Tensor:
        """Image tokens (N, cameras·Q, D) of pixels (N, cameras, 3, 224, 224), the last camera's first."""
        count = pixels.shape[1]
        vision = self.backbone.vision_model.model
        patches = vision(pixels.flip(1).flatten(0, 1)).last_hidden_state
        features = F.normalize(vision.post_layernorm(patches), dim=-1)
        tokens = self.backbone.image_to_text_projection(features)[0]
        return tokens.unflatten(0, (-1, count)).flatten(1, 2)

    def embed(self, words: Tensor) -> Tensor:
        """Embedding rows (N, T, D) of word numbers (N, T)."""
        rows: Tensor = self.backbone.text_model.model.embed_tokens(words)
        return rows


def _config(given: Any, attention: str) -> Any:
    from transformers import Kosmos2Config

    config = Kosmos2Config.from_dict(given) if isinstance(given, dict) else given
    for part in (config, config.text_config, config.vision_config):
        part._attn_implementation = attention
    config.text_config.use_cache = False
    return config


def read_config(folder: Path) -> Any:
    """The Kosmos2Config in a local folder of the backbone: config.json as microsoft/kosmos-2-patch14-224 has it."""
    from transformers import Kosmos2Config

    return Kosmos2Config.from_json_file(str(folder / "config.json"))
