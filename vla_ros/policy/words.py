"""Instructions: from a sentence to the rows of its words, looked up once per instruction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from vla_ros.policy.manifest import BundleError

PAD = "[pad]"
UNKNOWN = "[unknown]"
ROWS = "embedding"


class InstructionError(Exception):
    """An instruction that the policy cannot follow. The text names the words and what it knows."""


@dataclass(frozen=True)
class Text:
    """The text input: rows (1, T, E) float32, mask (1, T) float32, 1 for a word and 0 behind the last one."""

    rows: NDArray[np.float32]
    mask: NDArray[np.float32]

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """The inputs of the graph that it is for, by role."""
        return {"text": self.rows, "text_mask": self.mask}


def make_tokenizer(sentences: Iterable[str]) -> Tokenizer:
    """A tokenizer of whole words, lower case, that knows the words of `sentences` in alphabetical order."""
    tokenizer = Tokenizer(models.WordLevel({PAD: 0, UNKNOWN: 1}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("removed")]
    )
    words = sorted({word for sentence in sentences for word, _ in _split(tokenizer, sentence)})
    tokenizer.model = models.WordLevel(
        {PAD: 0, UNKNOWN: 1} | {word: number + 2 for number, word in enumerate(words)}, unk_token=UNKNOWN
    )
    return tokenizer


def _split(tokenizer: Tokenizer, sentence: str) -> list[tuple[str, tuple[int, int]]]:
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(sentence))
    return list(pieces)


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """The words that the tokenizer knows, in alphabetical order."""
    return sorted(word for word in tokenizer.get_vocab() if word not in (PAD, UNKNOWN))


def encode(tokenizer: Tokenizer, sentence: str, length: int) -> list[int]:
    """Numbers of the words of `sentence`. Raises InstructionError for unknown words, for too many, and for none."""
    encoding = tokenizer.encode(sentence)
    unknown = [word for word, _ in _split(tokenizer, sentence) if tokenizer.token_to_id(word) is None]
    if unknown:
        raise InstructionError(
            f"the policy does not know {', '.join(map(repr, dict.fromkeys(unknown)))} in {sentence!r:.200}. "
            f"It knows: {', '.join(vocabulary(tokenizer))}."
        )
    if len(encoding.ids) > length:
        raise InstructionError(f"{len(encoding.ids)} words in {sentence!r:.200}: the policy takes at most {length}")
    if not encoding.ids:
        raise InstructionError(f"no words in {sentence!r:.200}: an empty instruction means idle")
    return list(encoding.ids)


class WordTable:
    """The words of one bundle: `tokenizer.json`, `text.safetensors` and the length of the text input."""

    def __init__(self, tokenizer: Path, rows: Path, length: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._rows: NDArray[np.float32] = load_file(rows)[ROWS].astype(np.float32, copy=False)
        self._length = length
        if self._tokenizer.get_vocab_size() != len(self._rows):
            raise BundleError(
                f"{tokenizer} has {self._tokenizer.get_vocab_size()} words, {rows} has {len(self._rows)} rows. "
                "Export the policy again."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the text input: (1, T, E)."""
        return 1, self._length, int(self._rows.shape[1])

    @property
    def vocabulary(self) -> list[str]:
        """The words that an instruction may have."""
        return vocabulary(self._tokenizer)

    def text(self, sentence: str) -> Text:
        """The text input of an instruction. Raises InstructionError."""
        ids = encode(self._tokenizer, sentence, self._length)
        rows = np.zeros((1, self._length, self._rows.shape[1]), np.float32)
        mask = np.zeros((1, self._length), np.float32)
        rows[0, : len(ids)] = self._rows[ids]
        mask[0, : len(ids)] = 1
        return Text(rows, mask)
