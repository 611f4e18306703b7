"""A released checkpoint whole, for tests: the recorded one, with a small tokenizer and the facts that it does not say itself."""

import json
import shutil
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from vla_ros.networks.release_facts import TEMPLATE

FIXTURE = Path(__file__).parent / "kosmos_lstm_w8"
WORDS = ["An", "image", "of", "a", "robot", "pick", "up", "the", "red", "green", "blue", "cube", "lift"]


def make_tokenizer(start: str = "<s>") -> Tokenizer:
    """Unigram pieces as KosMos-2 has them: special tokens first, words with their space, letters for the rest."""
    special = [start, "<pad>", "</s>", "<unk>", "<grounding>"]
    pieces = [(name, 0.0) for name in special] + [(f"▁{word}", -2.0) for word in WORDS]
    pieces += [("▁", -3.0)] + [(letter, -8.0) for letter in "abcdefghijklmnopqrstuvwxyzA"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([*special[:4], AddedToken("<grounding>")])
    return tokenizer


def write_release(folder: Path) -> Path:
    """The folder, with checkpoint.pt, config.json, facts.yaml, and kosmos-2 with its tokenizer."""
    shutil.copytree(FIXTURE, folder)
    make_tokenizer().save(str(folder / "kosmos-2/tokenizer.json"))
    (folder / "facts.yaml").write_text(TEMPLATE)
    return folder


def other_head(folder: Path, kind: str, window: int, chunk: int, hidden: int) -> None:
    """Put a head of random weights onto the release in `folder`, with what GPT-2 of its time saved beside its weights."""
    import torch

    from vla_ros.networks.heads.family import HeadConfig, build_head
    from vla_ros.networks.released import KINDS

    torch.manual_seed(3)
    head = build_head(HeadConfig(kind=kind, width=64, hidden=hidden, window=window, chunk=chunk))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    weights = {k: v for k, v in content["state_dict"].items() if "act_head" not in k}
    weights |= {f"model.act_head.{name}": tensor for name, tensor in head.state_dict().items()}
    if kind == "gpt":
        weights["model.act_head.gpt.h.0.attn.bias"] = torch.ones(1, 1, window, window)
        weights["model.act_head.gpt.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save({"state_dict": weights}, folder / "checkpoint.pt")
    settings = json.loads((folder / "config.json").read_text())
    settings["act_head"] |= {"type": next(name for name, k in KINDS.items() if k == kind), "hidden_size": hidden}
    (folder / "config.json").write_text(json.dumps(settings | {"window_size": window, "fwd_pred_next_n": chunk}))
