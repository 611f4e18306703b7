"""The schedule of the reference, and the one that remembers nothing.

What RoboVLMs' evaluation does at every step (model_wrapper.py, base_backbone.py, base_policy.py), on the same weights: the sentence is
split into pieces and embedded again; each image goes through the vision tower on its own; the language model runs over all tokens
and the closing </s>, keeps all hidden states and computes the logits of the whole vocabulary for every token; the LSTM is run
again over the features of the window. In fp32, by eager attention: the precision that its configurations name is read as that.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from vla_ros.networks.backbones.kosmos2 import PIXEL_MEAN, PIXEL_STD
from vla_ros.networks.released import Family
from vla_ros.networks.speed.models import pieces


class Reference(nn.Module):
    """The network of `family`, run as its authors run it. Weights are shared, but for what names the attention."""

    def __init__(self, family: Family, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer, self.head, self.action = tokenizer, family.head, family.eye.action_token
        model = _eager(family.eye.backbone)
        self.text, self.projection = _with_logits(model.text_model.model), model.image_to_text_projection
        self.vision, self.config = model.vision_model.model, model.config
        device = self.action.device
        mean, std = (torch.tensor(x, device=device).view(1, 3, 1, 1) * 255 for x in (PIXEL_MEAN, PIXEL_STD))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("scale", 1 / std, persistent=False)

    def step(self, images: Sequence[Tensor], sentence: str, past: Tensor) -> tuple[Tensor, Tensor]:
        """One step with the newest frame: images (1, 224, 224, 3) uint8 per camera, features of the frames before (k, D).

        Returns the chunk (chunk, 7), its gripper as a logit, and the features with the newest one behind.
        """
        features = torch.cat([past, self.encode(images, sentence)])[-self.head.config.window :]
        return self.head(features[None])[0, -1], features

    def window(self, images: Sequence[Tensor], sentence: str) -> Tensor:
        """One step of a policy that keeps nothing: images (W, 224, 224, 3) per camera through everything -> chunk (chunk, 7)."""
        return self.head(self.encode(images, sentence)[None])[0, -1]

    def encode(self, images: Sequence[Tensor], sentence: str) -> Tensor:
        """Features (N, D) of N frames."""
        count, settings = len(images[0]), self.config.text_config
        ids = [settings.bos_token_id, *pieces(self.tokenizer, sentence), settings.eos_token_id]
        rows = self.text.model.embed_tokens(torch.tensor([ids], device=self.action.device)).expand(count, -1, -1)
        tokens = [self._look(pixels) for pixels in reversed(list(images))]
        action = self.action.expand(count, 1, -1)
        sequence = torch.cat([rows[:, :1], *tokens, rows[:, 1:-1], action, rows[:, -1:]], 1)
        mask = torch.ones(sequence.shape[:2], dtype=torch.int64, device=sequence.device)
        said = self.text(inputs_embeds=sequence, attention_mask=mask, output_hidden_states=True, use_cache=False)
        feature: Tensor = said.hidden_states[-1][:, -2]
        return feature

    def _look(self, image: Tensor) -> Tensor:
        """Tokens (N, Q, D) of one camera's images (N, 224, 224, 3) uint8."""
        pixels = (image.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        patches = self.vision.post_layernorm(self.vision(pixels).last_hidden_state)
        tokens: Tensor = self.projection(F.normalize(patches, dim=-1))[0]
        return tokens


def _eager(model: nn.Module) -> nn.Module:
    """The same weights in modules of their own, whose attention is eager."""
    shared = {id(x): x for x in [*model.parameters(), *model.buffers()]}
    twin = copy.deepcopy(model, shared)
    for part in (twin.config, twin.config.text_config, twin.config.vision_config):
        part._attn_implementation = "eager"
    return twin


def _with_logits(transformer: nn.Module) -> nn.Module:
    """The language model around its layers, with the logits' matrix, which is the embedding's."""
    from transformers.models.kosmos2.modeling_kosmos2 import Kosmos2TextForCausalLM

    with torch.device("meta"):
        model = Kosmos2TextForCausalLM(transformer.config)
    model.model = transformer
    model.lm_head.weight = transformer.embed_tokens.weight
    return model.eval()
