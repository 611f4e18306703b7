"""Instructions that can be followed, and those that cannot."""

from pathlib import Path

import numpy as np
import pytest

from vla_ros.policy.manifest import BundleError
from vla_ros.policy.words import InstructionError, WordTable, make_tokenizer


@pytest.fixture
def table(bundle: Path) -> WordTable:
    return WordTable(bundle / "tokenizer.json", bundle / "text.safetensors", 8)


def test_case_and_punctuation_do_not_matter(table: WordTable) -> None:
    plain, loud = table.text("pick up the red cube"), table.text("  Pick up... the RED cube!")
    np.testing.assert_array_equal(plain.rows, loud.rows)
    np.testing.assert_array_equal(plain.mask, [[1, 1, 1, 1, 1, 0, 0, 0]])
    assert plain.rows.shape == table.shape == (1, 8, 2)
    assert plain.rows[0, 5:].max() == 0


def test_the_order_of_words_does(table: WordTable) -> None:
    assert not np.array_equal(table.text("red cube").rows, table.text("cube red").rows)


def test_unknown_words_and_the_known_ones_are_named(table: WordTable) -> None:
    with pytest.raises(
        InstructionError, match=r"'sing', 'song' in 'sing the song'.*knows: block, blue, cube, lift, pick"
    ):
        table.text("sing the song")


def test_too_many_words(table: WordTable) -> None:
    with pytest.raises(InstructionError, match=r"9 words in .* at most 8"):
        table.text("the " * 9)


@pytest.mark.parametrize("text", ["!?", "   ", ""])
def test_no_words(table: WordTable, text: str) -> None:
    with pytest.raises(InstructionError, match="no words"):
        table.text(text)


def test_the_pad_is_not_a_word(table: WordTable) -> None:
    with pytest.raises(InstructionError, match="'pad'"):
        table.text("[pad]")


def test_words_without_rows(bundle: Path) -> None:
    make_tokenizer(["one", "two"]).save(str(bundle / "tokenizer.json"))
    with pytest.raises(BundleError, match=r"4 words.*rows"):
        WordTable(bundle / "tokenizer.json", bundle / "text.safetensors", 8)
