"""Released checkpoints of the RoboVLMs family: a file of weights, its training configuration and a folder of the backbone.

    checkpoint.pt   {"state_dict": {"model.…": tensor}}, as Lightning writes it and RoboVLMs releases it
    config.json     the training configuration beside it
    kosmos-2/       config.json of microsoft/kosmos-2-patch14-224 (the weights of the backbone are in the checkpoint)

Nothing in the file is executed. The reference loads with strict=False, so that a wrong file loads in silence; here every key that is
missing or left over is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vla_ros.networks.backbones.kosmos2 import Kosmos2Backbone, read_config
from vla_ros.networks.heads.family import Head, HeadConfig, build_head
from vla_ros.networks.release_file import Checkpoint, ReleaseError, first_line, read_checkpoint

KINDS = {"LSTMDecoder": "lstm", "GPTDecoder": "gpt", "FCDecoder": "mlp"}
"""Names of the heads in a training configuration."""
_UNUSED = re.compile(r"(act_head\.gpt\.h\.\d+\.attn\.(bias|masked_bias)|backbone\.text_model\.lm_head\.weight)")
"""GPT-2's mask, which is no weight, and the language-model head, which is not computed."""
_FIXED = {"norm_action": True, "regular_action": False, "use_mu_law": False}
"""What these settings must be, and are where they are not given: an action's numbers mean something else otherwise."""
_SAVED = ("model", "window_size", "fwd_pred_next_n", "use_hand_rgb", "norm_action", "norm_min", "norm_max", "tcp_rel")
_SAVED_HEAD = ("type", "hidden_size", "action_space", "history_type", "latent", "down_sample")
"""Settings that are compared with those saved in the checkpoint: no weight tells the window of an LSTM, or an action's range."""
_LISTED = 12


@dataclass(frozen=True)
class Release:
    """A training configuration as far as it decides what the network is."""

    head: str
    hidden: int
    window: int
    chunk: int
    cameras: int
    settings: dict[str, Any]


class Family(nn.Module):
    """Backbone and head of one checkpoint."""

    def __init__(self, eye: Kosmos2Backbone, head: Head) -> None:
        super().__init__()
        self.eye, self.head = eye, head


def read_release(path: Path) -> Release:
    """The training configuration in a JSON file. Raises ReleaseError for what this version cannot build."""
    settings = _json(path)
    head = _get(settings, path, "act_head", dict)
    if settings.get("model") != "kosmos":
        raise ReleaseError(f"{path}: model is {settings.get('model')!r}: only kosmos can be imported so far")
    kind = _get(head, path, "type", str)
    if kind not in KINDS:
        raise ReleaseError(f"{path}: act_head.type is {kind!r}: known are {', '.join(KINDS)}")
    for key, wanted in {"latent": 1, "down_sample": "none", "action_dim": 7, "history_type": "post"}.items():
        if head.get(key, wanted) != wanted:
            raise ReleaseError(f"{path}: act_head.{key} is {head[key]!r}: only {wanted!r} can be imported so far")
    for key, value in _FIXED.items():
        if settings.get(key, False) is not value:
            raise ReleaseError(f"{path}: {key} is {settings.get(key)!r}: only {value!r} can be imported so far")
    return Release(
        KINDS[kind],
        _count(head, path, "hidden_size"),
        _count(settings, path, "window_size"),  # the head's own values are overwritten by these
        _count(settings, path, "fwd_pred_next_n"),
        2 if _get(settings, path, "use_hand_rgb", bool) else 1,
        settings,
    )


def load_release(checkpoint: Path, config: Path, backbone: Path, attention: str = "sdpa") -> tuple[Family, Release]:
    """The network of a checkpoint, in fp32 and eval mode, and its configuration. Raises ReleaseError."""
    release = read_release(config)
    network = Family(*_blank(release, backbone, attention)).eval()
    read = read_checkpoint(checkpoint)
    _compare(release, read, checkpoint, config)
    _fill(network, read.weights, checkpoint, release)
    return network, release


def _compare(release: Release, read: Checkpoint, checkpoint: Path, config: Path) -> None:
    """Raises ReleaseError where the checkpoint was saved with other settings than those of the configuration."""
    ours, theirs = release.settings["act_head"], read.settings.get("act_head") or {}
    pairs = [(key, release.settings.get(key), read.settings.get(key)) for key in _SAVED]
    pairs += [(f"act_head.{key}", ours.get(key), theirs.get(key)) for key in _SAVED_HEAD]
    for key, given, saved in pairs:
        if None not in (given, saved) and given != saved:
            raise ReleaseError(
                f"{config}: {key} is {given!r}, and {checkpoint} was trained with {saved!r} (its hyper_parameters). "
                "Name the configuration of this checkpoint."
            )


def _blank(release: Release, backbone: Path, attention: str) -> tuple[Kosmos2Backbone, Head]:
    try:
        eye = Kosmos2Backbone(read_config(backbone), attention)
    except Exception as error:  # what transformers raises for a value of another type has no base class of its own
        raise ReleaseError(
            f"{backbone}: no config.json of KosMos-2 there ({first_line(error)}): name a folder with the files of "
            "microsoft/kosmos-2-patch14-224"
        ) from None
    config = HeadConfig(
        kind=release.head, width=eye.width, hidden=release.hidden, window=release.window, chunk=release.chunk
    )
    return eye, build_head(config)


def _fill(network: Family, weights: Mapping[str, Tensor], path: Path, release: Release) -> None:
    """Put the weights in. Raises ReleaseError unless they are exactly those that the network has, and finite."""
    wanted = _named(network)
    given = {key: value for key, value in weights.items() if not _UNUSED.fullmatch(key)}
    told = f"{path}: its configuration says a {release.head} head, window {release.window}, chunk {release.chunk}"
    for verb, keys in (("lacks", wanted.keys() - given.keys()), ("has, beyond that,", given.keys() - wanted.keys())):
        if keys:
            raise ReleaseError(
                f"{told}; the checkpoint {verb} {_listing(keys)}. Is this the config of this checkpoint?"
            )
    for key, parameter in wanted.items():
        value = given[key]
        if value.shape != parameter.shape:
            raise ReleaseError(
                f"{told}; {key} is {tuple(value.shape)} in the checkpoint and {tuple(parameter.shape)} by the "
                "configuration. Is this the config of this checkpoint, and the backbone's folder the right one?"
            )
        if not torch.isfinite(value).all():
            raise ReleaseError(
                f"{path}: {key} is not finite. Copy the file again; where the training diverged, take an earlier checkpoint"
            )
        with torch.no_grad():
            parameter.copy_(value)


def _named(network: Family) -> dict[str, nn.Parameter]:
    """The parameters by their names in a released checkpoint."""
    eye = dict(network.eye.named_parameters())
    return eye | {f"act_head.{name}": p for name, p in network.head.named_parameters()}


def _listing(keys: Any) -> str:
    names = sorted(keys)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ReleaseError(f"{path} is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise ReleaseError(f"{path} holds no settings: name the training configuration beside the checkpoint")
    return settings


def _get(settings: dict[str, Any], path: Path, key: str, kind: type) -> Any:
    value = settings.get(key)
    if not isinstance(value, kind):
        raise ReleaseError(f"{path}: {key} is {value!r}: a RoboVLMs training configuration has a {kind.__name__} there")
    return value


def _count(settings: dict[str, Any], path: Path, key: str) -> int:
    value = _get(settings, path, key, int)
    if isinstance(value, bool) or value < 1:
        raise ReleaseError(f"{path}: {key} is {value!r}: it must be a whole number from 1 on")
    return int(value)
