"""Corrupting text for BERT's masked-token prediction (Devlin et al. 2018, arXiv 1810.04805, section 3.1, task 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from formers.collating import (
    IGNORED,
    Draws,
    Feature,
    batch_of,
    fraction,
    ordinary_tokens,
    padded,
    read_features,
    whole,
)
from formers.errors import ConfigValidationError, TextInputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from formers import BatchEncoding, PreTrainedTokenizerBase

__all__ = ["DataCollatorForLanguageModeling"]

PREFIX = "##"  # of a piece that goes on with a word
ROUNDING = 1e-9  # 0.7 + 0.2 + 0.1 is a little more than 1


class DataCollatorForLanguageModeling:
    """Makes batches in which some tokens are to be predicted: anew at each call, so that every epoch differs.

    Each token that is neither special nor padding is selected with a probability of 15 %. Of those selected, 80 %
    become the mask token, 10 % another ordinary token, and 10 % stay; the labels of all others are -100.

    A feature is what the tokenizer returns for one text, or a row of ids. With a ``special_tokens_mask``, only what
    this marks is special; without it, all special tokens of the tokenizer are. Other fields with one number for
    a text, such as ``next_sentence_label``, are passed on.

    Args:
        tokenizer: has the mask token and the padding.
        mlm: False for a decoder: nothing is corrupted, and the labels are the ids.
        whole_word_mask: words are selected, and with them all their tokens, each of which then has a fate of its own.
            Words are what a feature's ``word_ids`` say (``encoding.word_ids()``); without this field a token that
            begins with ``##`` goes on with a word.
        mlm_probability: of a token, or a word, to be selected.
        mask_replace_prob: of a selected token to become the mask token.
        random_replace_prob: of a selected token to become another one.
        pad_to_multiple_of: round the length of a batch up to a multiple of it.
        return_tensors: "pt" or "np".
        seed: the same batches for the same seed; a numpy ``Generator`` is used as it is.

    Raises:
        ConfigValidationError: a setting lies outside its range, or the tokenizer has no mask token.
        MissingExtraError: numpy is not installed.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        mlm: bool = True,
        whole_word_mask: bool = False,
        mlm_probability: float = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        pad_to_multiple_of: int | None = None,
        return_tensors: str = "pt",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self._draws = Draws(seed, type(self).__name__)
        self.tokenizer = tokenizer
        self.mlm = mlm
        self.whole_word_mask = whole_word_mask
        self.mlm_probability = fraction("mlm_probability", mlm_probability)
        self.mask_replace_prob = fraction("mask_replace_prob", mask_replace_prob)
        self.random_replace_prob = fraction("random_replace_prob", random_replace_prob)
        if mask_replace_prob + random_replace_prob > 1 + ROUNDING:
            raise ConfigValidationError(
                f"mask_replace_prob={mask_replace_prob} and random_replace_prob={random_replace_prob}: "
                "expected at most 1 together."
            )
        self.pad_to_multiple_of = (
            None if pad_to_multiple_of is None else whole("pad_to_multiple_of", pad_to_multiple_of)
        )
        self.return_tensors = return_tensors
        if mlm:
            self._mask, self._replacements = _replacements(tokenizer)
        self._pieces = _pieces(tokenizer) if whole_word_mask else []

    def __call__(self, features: Sequence[Feature]) -> BatchEncoding:
        """The batch of some features: ``input_ids``, ``attention_mask``, ``labels``, and what else they hold.

        Raises:
            TextInputError: there are none, or one is wrong; the message has its index.
        """
        rows = read_features(features)
        words = [_words_of(index, row) for index, row in enumerate(rows)]
        batch = padded(self.tokenizer, rows, multiple=self.pad_to_multiple_of)
        ordinary = ordinary_tokens(self.tokenizer, batch)
        batch.pop("special_tokens_mask", None)
        if self.mlm:
            number = self._word_numbers(batch["input_ids"], words) if self.whole_word_mask else None
            batch["input_ids"], batch["labels"] = self._corrupted(batch["input_ids"], ordinary, number)
        else:
            import numpy as np

            batch["labels"] = np.where(batch["attention_mask"] == 1, batch["input_ids"], IGNORED)
        return batch_of(batch, self.return_tensors)

    def _corrupted(
        self, ids: NDArray[np.int64], ordinary: NDArray[np.bool_], words: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Corrupted ids and labels, both [rows, length]; ``words`` has the number of each token's word."""
        import numpy as np

        random = self._draws.generator
        chance = random.random(ids.shape)
        if words is not None:
            chance = np.take_along_axis(chance, words, axis=1)
        selected = ordinary & (chance < self.mlm_probability)
        fate = random.random(ids.shape)
        masked = selected & (fate < self.mask_replace_prob)
        swapped = selected & ~masked & (fate < self.mask_replace_prob + self.random_replace_prob)
        corrupted = np.where(masked, self._mask, ids)
        corrupted[swapped] = self._others(ids[swapped], random)
        return corrupted, np.where(selected, ids, IGNORED)

    def _others(self, ids: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """For each id another ordinary one, all equally likely."""
        import numpy as np

        known = self._replacements
        place = np.searchsorted(known, ids).clip(max=len(known) - 1)
        is_known = known[place] == ids
        drawn = random.integers(len(known) - is_known)
        chosen: NDArray[np.int64] = known[drawn + (is_known & (drawn >= place))]
        return chosen

    def _word_numbers(
        self, ids: NDArray[np.int64], words: Sequence[Sequence[int | None] | None]
    ) -> NDArray[np.int64]:
        """The number of each token's word in its row, [rows, length]; less than the row's length."""
        import numpy as np

        begins = ~np.isin(ids, self._pieces)
        begins[:, :1] = False  # so that numbers begin with 0
        left = self.tokenizer.padding_side == "left"
        for row, own in zip(begins, words, strict=True):
            if own is None:
                continue
            changes = [one is None or one != before for before, one in zip((None, *own), own, strict=False)]
            row[slice(len(row) - len(own), None) if left else slice(len(own))] = changes
            row[:1] = False
        numbers: NDArray[np.int64] = begins.cumsum(axis=1)
        return numbers


def _words_of(index: int, row: dict[str, Any]) -> Sequence[int | None] | None:
    """The ``word_ids`` of a feature, taken out of it; None if there are none."""
    if "labels" in row:
        raise TextInputError(
            f"features[{index}] has labels, which this collator makes itself; leave the field out"
        )
    words: Sequence[int | None] | None = row.pop("word_ids", None)
    if words is not None and len(words) != len(row["input_ids"]):
        raise TextInputError(
            f"features[{index}]: word_ids has {len(words)} items, but there are {len(row['input_ids'])} ids; "
            "expected one for each"
        )
    return words


def _replacements(tokenizer: PreTrainedTokenizerBase) -> tuple[int, NDArray[np.int64]]:
    """The mask token, and the ordinary tokens in ascending order."""
    import numpy as np

    mask = tokenizer.mask_token_id
    if mask is None:
        raise ConfigValidationError(
            "The tokenizer has no mask token, which masked-token prediction needs; set tokenizer.mask_token, or "
            "pass mlm=False."
        )
    ids = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids))
    if len(ids) < 2:
        raise ConfigValidationError(
            f"The vocabulary has {len(ids)} ordinary tokens; replacing one with another needs two."
        )
    return mask, np.array(ids, dtype=np.int64)


def _pieces(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids of tokens that go on with a word."""
    return [
        index
        for token, index in tokenizer.get_vocab().items()
        if token.startswith(PREFIX) and token != PREFIX
    ]
