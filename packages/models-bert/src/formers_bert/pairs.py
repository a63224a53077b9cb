"""Pairs of segments for BERT's next sentence prediction (Devlin et al. 2018, arXiv 1810.04805, section 3.1, task 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from formers.collating import Draws, fraction, whole
from formers.errors import ConfigValidationError, TextInputError, shorten

if TYPE_CHECKING:
    import numpy as np

    from formers import BatchEncoding, PreTrainedTokenizerBase

__all__ = ["sentence_pairs"]

Document = list[list[int]]  # the ids of each sentence


def sentence_pairs(
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Sequence[str]],
    max_length: int = 512,
    short_probability: float = 0.1,
    seed: int | np.random.Generator | None = None,
) -> Iterator[dict[str, Any]]:
    """Go through the documents once and make pairs of segments of them, each of one or more whole sentences.

    With a probability of 50 %, independent of everything else, the second segment is what follows the first;
    otherwise it is from another document, and what follows is used for the next pair. Pairs too long are cut, the
    longer segment first. A last sentence that has nothing to follow it is left out.

    Args:
        tokenizer: puts its special tokens around the pairs.
        documents: the sentences of each.
        max_length: tokens of a pair, special ones included.
        short_probability: of a pair that is made for a random shorter length, as short texts will come, too.
        seed: the same pairs for the same seed; a numpy ``Generator`` is used as it is.

    Yields:
        Features for :class:`~formers_bert.DataCollatorForLanguageModeling` and ``BertForPreTraining``: ``input_ids``,
        ``token_type_ids``, ``attention_mask``, ``special_tokens_mask`` and ``next_sentence_label``, which is 0
        where the second segment follows the first, and 1 where it does not.

    Raises:
        ConfigValidationError: a setting lies outside its range, or ``max_length`` leaves no room for two tokens.
        TextInputError: fewer than two documents have a token, or one is no list of texts.
        MissingExtraError: numpy is not installed.
    """
    draws = Draws(seed, "sentence_pairs")
    special = tokenizer.num_special_tokens_to_add(pair=True)
    room = whole("max_length", max_length) - special
    if room < 2:
        raise ConfigValidationError(
            f"max_length={max_length}: expected at least {special + 2}, for a token of each segment and {special} "
            "special ones."
        )
    short = fraction("short_probability", short_probability)
    texts = [_encoded(tokenizer, index, document) for index, document in enumerate(documents)]
    texts = [document for document in texts if document]
    if len(texts) < 2:
        raise TextInputError(
            f"{len(texts)} of {len(documents)} documents have a token; expected at least two, because half of the "
            "second segments are from another document"
        )
    return _pairs(tokenizer, texts, max_length, room, short, draws.generator)


def _encoded(tokenizer: PreTrainedTokenizerBase, index: int, sentences: Sequence[str]) -> Document:
    """The ids of the sentences that have any."""
    if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
        raise TextInputError(f"documents[{index}]={shorten(sentences)}: expected a list of sentences")
    if not sentences:
        return []
    rows = tokenizer(list(sentences), add_special_tokens=False, verbose=False)["input_ids"]
    return [row for row in rows if row]


def _pairs(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Document],
    max_length: int,
    room: int,
    short: float,
    random: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    for index, document in enumerate(texts):
        start = 0
        while start < len(document) - 1:
            wanted = room if random.random() >= short else int(random.integers(2, room + 1))
            end = _end(document, start, wanted, least=2)
            middle = int(random.integers(start + 1, end))
            first = [token for sentence in document[start:middle] for token in sentence]
            follows = random.random() < 0.5
            if follows:
                second = [token for sentence in document[middle:end] for token in sentence]
            else:
                second = _elsewhere(texts, index, max(1, wanted - len(first)), random)
            row: BatchEncoding = tokenizer.prepare_for_model(
                first,
                second,
                truncation="longest_first",
                max_length=min(max_length, wanted + max_length - room),
                return_attention_mask=True,
                return_token_type_ids=True,
                return_special_tokens_mask=True,
            )
            yield {**row, "next_sentence_label": int(not follows)}
            start = end if follows else middle


def _end(document: Document, start: int, wanted: int, least: int) -> int:
    """Behind the sentence from ``start`` on with which there are ``wanted`` tokens, and ``least`` sentences."""
    end, count = start, 0
    while end < len(document) and (count < wanted or end < start + least):
        count += len(document[end])
        end += 1
    return end


def _elsewhere(texts: Sequence[Document], index: int, wanted: int, random: np.random.Generator) -> list[int]:
    """About so many tokens from anywhere in another document than ``index``."""
    other = int(random.integers(len(texts) - 1))
    document = texts[other + (other >= index)]
    start = int(random.integers(len(document)))
    sentences = document[start : _end(document, start, wanted, least=1)]
    return [token for sentence in sentences for token in sentence]
