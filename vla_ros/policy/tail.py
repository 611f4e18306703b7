"""Instructions of a vision-language model: a prompt as the tail of a token sequence, made on the host once per instruction.

The tail (1, T, D) holds the rows of the pieces, scaled and with the positions behind the images, the action token right after the
last of them, and zeros behind that; `text_end` is the action token's place. The rows are mapped from the file: a table of half a
gigabyte costs what a sentence reads of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from vla_ros.policy.manifest import BundleError
from vla_ros.policy.words import InstructionError

EMBEDDING, POSITIONS, ACTION, SCALE = "embedding", "positions", "action", "scale"
NAMES = (EMBEDDING, POSITIONS, ACTION, SCALE)
START, END = "<s>", "</s>"


@dataclass(frozen=True)
class Tail:
    """The text input: rows (1, T, D) and the action token's place in them (1,)."""

    rows: NDArray[Any]
    end: NDArray[np.int64]

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """The inputs of the graph that it is for, by role."""
        return {"text": self.rows, "text_end": self.end}


class TailTable:
    """The language of one bundle. `dtype` is that of the graph's text input. Raises BundleError for files that do not fit."""

    def __init__(self, tokenizer: Path, rows: Path, prompt: str, length: int, dtype: str = "float32") -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._prompt, self._length, self._dtype = prompt, length, dtype
        try:
            file: Any = safe_open(str(rows), "numpy")
            self._rows: Any = file.get_slice(EMBEDDING)
            self._positions, self._action, scale = (file.get_tensor(n) for n in (POSITIONS, ACTION, SCALE))
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{rows}: {error}. Export the policy again.") from None
        self._scale = float(scale.reshape(-1)[0])
        count, width = self._rows.get_shape()
        if self._positions.shape != (length, width):
            raise BundleError(
                f"{rows}: positions {self._positions.shape} for a text of {length}. Export the policy again."
            )
        if self._tokenizer.get_vocab_size() > count:
            raise BundleError(
                f"{tokenizer} has {self._tokenizer.get_vocab_size()} pieces, {rows} has {count} rows: another tokenizer. "
                "Copy the one that belongs to the policy."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the text input: (1, T, D)."""
        return 1, self._length, int(self._rows.get_shape()[1])

    @property
    def vocabulary(self) -> list[str]:
        """Empty: any words may be used."""
        return []

    def pieces(self, sentence: str) -> list[int]:
        """Numbers of the pieces of the prompt with `sentence` in it, without the first and the last token.

        Raises InstructionError for a text that is too long.
        """
        ids = list(self._tokenizer.encode(self._prompt.format(sentence.strip()), add_special_tokens=False).ids)
        if len(ids) + 1 > self._length:
            raise InstructionError(
                f"{len(ids)} pieces in {sentence!r:.200}: the policy takes at most {self._length - 1}, prompt included. "
                "Say it in fewer words, or import the policy again with a larger text_length."
            )
        return ids

    @property
    def pieces_known(self) -> int:
        """How many pieces there are rows for."""
        return int(self._rows.get_shape()[0])

    def text(self, sentence: str) -> Tail:
        """The text input of an instruction. Raises InstructionError."""
        return self.tail(self.pieces(sentence))

    def tail(self, ids: Sequence[int]) -> Tail:
        """The text input of these pieces, at most T - 1."""
        rows = [self._rows[i : i + 1][0] for i in ids]
        filled = np.stack([*rows, self._action]).astype(np.float32) * self._scale
        tail = np.zeros(self.shape, np.float32)
        tail[0, : len(filled)] = filled + self._positions[: len(filled)]
        return Tail(tail.astype(self._dtype), np.array([len(ids)], np.int64))


def save_rows(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write what a TailTable reads: embedding (V, D), positions (T, D) of the tail, action (D,), scale (1,)."""
    save_file({name: np.ascontiguousarray(tensors[name]) for name in NAMES}, path)
    path.chmod(0o644)  # safetensors makes files that only their owner reads
