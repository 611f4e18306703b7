"""What turns an instruction into the text input of a policy, as its manifest says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from vla_ros.policy.manifest import Words
from vla_ros.policy.tail import TailTable
from vla_ros.policy.words import WordTable


class Text(Protocol):
    """The text input of one instruction."""

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """The inputs of the graph that it is for, by role."""


class Language(Protocol):
    """Makes text inputs."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the text input: (1, T, E)."""

    @property
    def vocabulary(self) -> list[str]:
        """The words that an instruction may have; empty where any may."""

    def text(self, sentence: str) -> Text:
        """The text input of an instruction. Raises InstructionError."""


def open_language(folder: Path, words: Words, dtype: str = "float32") -> Language:
    """The language of the bundle in `folder`; `dtype` is that of the graph's text input. Raises BundleError."""
    tokenizer, rows = folder / words.tokenizer, folder / words.rows
    if words.kind == "tail":
        return TailTable(tokenizer, rows, words.prompt, words.length, dtype)
    return WordTable(tokenizer, rows, words.length)
