"""From ``padding``, ``truncation``, ``max_length`` and their companions to what is to be done, checked.

The two results have the form in which the ``tokenizers`` library shows its own settings, so that they can be
compared with these.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypedDict

from formers.errors import TextInputError, shorten
from formers.tokenization.strategies import PaddingStrategy, TruncationStrategy, choose

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = [
    "LARGE",
    "UNLIMITED",
    "Padding",
    "Truncation",
    "check_room",
    "maximum",
    "natural",
    "notice_length",
    "padding_for",
    "side",
    "truncation_for",
]

Side = Literal["left", "right"]

UNLIMITED = int(1e30)  # model_max_length of a tokenizer that does not know its model's
LARGE = int(1e20)  # a limit above this one is none
LONGEST = 2**27  # tokens of a row; where memory runs out, the tokenizers library ends the process


class Truncation(TypedDict):
    """Cut to ``max_length`` tokens, special ones included; the pieces overlap by ``stride``."""

    max_length: int
    stride: int
    strategy: str
    direction: str


class Padding(TypedDict):
    """Pad to ``length``, or to the longest row where that is None."""

    length: int | None
    pad_to_multiple_of: int | None
    pad_id: int
    pad_token: str
    pad_type_id: int
    direction: str


def truncation_for(
    tokenizer: PreTrainedTokenizerBase,
    truncation: bool | str | None,
    padding: bool | str,
    max_length: SupportsIndex | None,
    stride: SupportsIndex,
) -> Truncation | None:
    """The truncation that a call asks for, or None.

    ``truncation=None`` means ``False``, except that ``max_length`` without any padding cuts, with a notice.
    """
    if truncation is None:
        if max_length is None or padding is not False:
            return None
        tokenizer.notice(
            "max_length",
            f"max_length={max_length!r} is given without truncation: 'longest_first' is used. "
            "Pass truncation=True to ask for that, or truncation=False to keep everything.",
        )
        strategy = TruncationStrategy.LONGEST_FIRST
    elif isinstance(truncation, bool):
        strategy = TruncationStrategy.LONGEST_FIRST if truncation else TruncationStrategy.DO_NOT_TRUNCATE
    else:
        strategy = choose(TruncationStrategy, "truncation", truncation)
    if strategy is TruncationStrategy.DO_NOT_TRUNCATE:
        return None
    limit = tokenizer.model_max_length if max_length is None else natural("max_length", max_length)
    if limit > LARGE:
        tokenizer.notice(
            "truncation",
            "truncation is asked for without max_length, and the tokenizer has no model_max_length: "
            "nothing is cut. Pass max_length.",
        )
        return None
    return {
        "max_length": limit,
        "stride": natural("stride", stride),
        "strategy": strategy.value,
        "direction": tokenizer.truncation_side,
    }


def padding_for(
    tokenizer: PreTrainedTokenizerBase,
    padding: bool | str,
    truncation: Truncation | None,
    max_length: SupportsIndex | None,
    pad_to_multiple_of: SupportsIndex | None,
    padding_side: str | None,
) -> Padding | None:
    """The padding that a call asks for, or None. Raises ``TextInputError`` if there is no padding token."""
    if isinstance(padding, bool):
        strategy = PaddingStrategy.LONGEST if padding else PaddingStrategy.DO_NOT_PAD
    else:
        strategy = choose(PaddingStrategy, "padding", padding)
    if strategy is PaddingStrategy.DO_NOT_PAD:
        return None
    length = None
    if strategy is PaddingStrategy.MAX_LENGTH:
        length = tokenizer.model_max_length if max_length is None else natural("max_length", max_length)
        if length > LARGE:
            tokenizer.notice(
                "padding",
                "padding='max_length' without max_length, and the tokenizer has no model_max_length: "
                "nothing is padded. Pass max_length.",
            )
            return None
        if length > LONGEST:
            raise TextInputError(
                f"padding='max_length' to {length:,} tokens: expected at most {LONGEST:,}; pass a smaller max_length"
            )
    elif max_length is not None and truncation is None:
        tokenizer.notice(
            "ignored_max_length",
            f"max_length={max_length!r} has no effect: padding=True pads to the longest row, and truncation is "
            "off. Use padding='max_length' to pad to it, truncation=True to cut to it.",
        )
    multiple = (
        None if pad_to_multiple_of is None else natural("pad_to_multiple_of", pad_to_multiple_of) or None
    )
    if multiple is not None and multiple > LONGEST:
        raise TextInputError(f"pad_to_multiple_of={multiple:,}: expected at most {LONGEST:,}")
    if multiple is not None and truncation is not None and truncation["max_length"] % multiple:
        raise TextInputError(
            f"pad_to_multiple_of={multiple}: rows are also cut to max_length={truncation['max_length']}, which "
            "is not a multiple of it; expected a max_length that is"
        )
    token, token_id = tokenizer.pad_token, tokenizer.pad_token_id
    if token is None or token_id is None:
        raise TextInputError(
            "padding is asked for, but the tokenizer has no padding token. Choose one: "
            "tokenizer.pad_token = tokenizer.eos_token, or tokenizer.add_special_tokens({'pad_token': '[PAD]'})"
        )
    return {
        "length": length,
        "pad_to_multiple_of": multiple,
        "pad_id": token_id,
        "pad_token": token,
        "pad_type_id": tokenizer.pad_token_type_id,
        "direction": tokenizer.padding_side if padding_side is None else side("padding_side", padding_side),
    }


def check_room(truncation: Truncation, special: int) -> None:
    """Raise unless the special tokens fit into ``max_length`` and the pieces advance."""
    room = truncation["max_length"] - special
    if room < 0:
        raise TextInputError(
            f"max_length={truncation['max_length']} has no room for the {special} special tokens that are added; "
            f"expected at least {special}, or add_special_tokens=False"
        )
    if truncation["stride"] and truncation["stride"] >= room:
        raise TextInputError(
            f"stride={truncation['stride']} is too large: max_length={truncation['max_length']} less {special} "
            f"special tokens leaves {room} tokens to a piece; expected a stride below that"
        )


def notice_length(tokenizer: PreTrainedTokenizerBase, ids: list[Any]) -> None:
    """Warn once of a row, or of rows, of more tokens than the model can take."""
    limit = tokenizer.model_max_length
    if limit > LARGE or not ids:
        return
    longest = len(ids) if isinstance(ids[0], int) else max(map(len, ids))
    if longest > limit:
        tokenizer.notice(
            "length",
            f"a row of {longest} tokens is longer than the {limit} that the model can take. "
            "Pass truncation=True, or verbose=False if that is what you want.",
        )


def natural(argument: str, value: SupportsIndex) -> int:
    """``value`` as an int of at least 0, or a ``TextInputError`` that names the argument."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TextInputError(f"{argument}={shorten(value)}: expected a whole number") from None
    if number < 0 or isinstance(value, bool):
        raise TextInputError(f"{argument}={shorten(value)}: expected a whole number of at least 0")
    return number


def maximum(argument: str, value: float) -> int:
    """``value`` as a limit; a float (old files have ``1e30``) must be whole."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return natural(argument, value)  # type: ignore[arg-type]  # natural refuses other floats


def side(argument: str, value: object) -> Side:
    """``value`` if it is "left" or "right"."""
    if value == "left":
        return "left"
    if value == "right":
        return "right"
    raise TextInputError(f"{argument}={shorten(value)}: expected 'left' or 'right'")
