"""A released checkpoint whole, for tests: the recorded one, with a small tokenizer and the facts that it does not say itself."""

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
