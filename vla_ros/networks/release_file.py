"""The file of a released checkpoint, read without running anything that is in it.

    {"state_dict": {"model.…": tensor}, "hyper_parameters": {"configs": {…}}, …}

as Lightning writes it (LightningModule.save_hyperparameters) and RoboVLMs releases it. Only the weights have to be there.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_WEIGHTS = ("state_dict", "model_state_dict")
_CODE = re.compile(r"GLOBAL ([\w.]+)")
"""Where torch names what it refuses to call."""


class ReleaseError(Exception):
    """A checkpoint that cannot be used. The text names the file, the key, and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors by their name in the network, and the training configuration that was saved with them: empty where none was."""

    weights: Mapping[str, Tensor]
    settings: Mapping[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Tensors are mapped from the file where its form allows it, so that reading costs no memory. Raises ReleaseError."""
    content = _content(path)
    found = next((content[name] for name in _WEIGHTS if name in content), None) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise ReleaseError(f"{path} has no state_dict: it is not a checkpoint as RoboVLMs releases them")
    for key, value in found.items():
        if not isinstance(value, Tensor):
            raise ReleaseError(f"{path}: {key} in its state_dict is a {type(value).__name__}, no tensor: copy it again")
    weights = {key.removeprefix("module.").removeprefix("model."): value for key, value in found.items()}
    return Checkpoint(weights, _settings(content))


def _content(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle's protocol, in a file that is then refused
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise ReleaseError(f"{path} is not there: name the checkpoint (.pt)") from None
    except pickle.UnpicklingError as error:
        code = _CODE.search(str(error))
        what = f"holds more than tensors, {code[1]} among it" if code else "is damaged, or no file of tensors"
        raise ReleaseError(
            f"{path} {what}, and code in a file is never run here. Copy it again, or save its tensors alone where you trust it: "
            f"""torch.save({{"state_dict": torch.load("{path.name}", weights_only=False)["state_dict"]}}, "weights.pt")"""
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ReleaseError(f"{path} is no whole checkpoint ({first_line(error)}): copy it again") from None


def _settings(content: Mapping[str, Any]) -> Mapping[str, Any]:
    saved = content.get("hyper_parameters")
    settings = saved.get("configs", saved) if isinstance(saved, dict) else None
    return settings if isinstance(settings, dict) else {}


def first_line(error: Exception) -> str:
    """Of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
