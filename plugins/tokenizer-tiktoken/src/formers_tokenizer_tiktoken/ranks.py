"""From the ranks of a ``.tiktoken`` file to a pipeline of the ``tokenizers`` library.

A line of the file is a token, its bytes in base64, and its rank, which is also its id. To encode a word, tiktoken takes
the whole word if it is a token; else it joins, again and again, those two neighbours whose union has the lowest rank.
Byte-pair encoding does the same with a list of merges that holds, in the order of ranks, every pair that makes a token.
(Where two overlapping pairs make one and the same token, tiktoken takes the left one, byte-pair encoding the one that
is listed first. No learned vocabulary is known to meet this.)
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from formers.errors import CorruptFileError, LoadError, shorten
from formers.tokenization.bpe_files import ALPHABET, byte_level_bpe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["CL100K", "QWEN", "byte_pairs", "pipeline", "read_ranks"]

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = _LETTERS + r"\p{N}{1,3}" + _REST
"""How text is split into words for the vocabulary ``cl100k_base``."""
QWEN = _LETTERS + r"\p{N}" + _REST
"""How text is split into words for ``qwen.tiktoken``: as there, but each digit is a word."""

_LARGEST = 64 << 20  # bytes; the largest published file has 4 MB
_LONGEST = 1 << 10  # bytes of a token; parts are searched for in time that grows with the square of it


def read_ranks(path: str | os.PathLike[str]) -> dict[bytes, int]:
    """Rank by token, from a ``.tiktoken`` file.

    Raises:
        CorruptFileError: a line is not a token in base64 and a rank, a token or a rank comes twice, or one of the 256
            bytes is no token; the message names file and line.
        LoadError: the file cannot be read.
    """
    source = os.fspath(path)
    try:
        with open(source, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise LoadError(f"{source} cannot be read: {error}") from error
    if len(content) > _LARGEST:
        raise CorruptFileError(f"{source}: more than {_LARGEST:,} bytes; no vocabulary is as long")
    ranks: dict[bytes, int] = {}
    taken: set[int] = set()
    for number, line in enumerate(content.splitlines(), start=1):
        if not line:
            continue
        token, rank = _parse(line, f"{source}, line {number}")
        if token in ranks or rank in taken:
            raise CorruptFileError(
                f"{source}, line {number}: {shorten(line)} repeats an earlier token or rank"
            )
        ranks[token] = rank
        taken.add(rank)
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise CorruptFileError(
            f"{source}: {len(missing)} of the 256 bytes are no tokens, such as {missing[0]:#04x}; the file is "
            "truncated or not a .tiktoken vocabulary. Download it again"
        )
    return ranks


def _parse(line: bytes, place: str) -> tuple[bytes, int]:
    parts = line.split()
    try:
        token = base64.b64decode(parts[0], validate=True)
        rank = int(parts[1])
    except (binascii.Error, ValueError, IndexError) as error:
        raise CorruptFileError(
            f"{place}: {shorten(line)}; expected a token in base64 and its rank"
        ) from error
    if len(parts) != 2 or not 0 < len(token) <= _LONGEST or not 0 <= rank < 1 << 31:
        raise CorruptFileError(
            f"{place}: {shorten(line)}; expected a token of 1 to {_LONGEST} bytes in base64 and its rank"
        )
    return token, rank


def byte_pairs(ranks: Mapping[bytes, int], word: bytes, below: int | None = None) -> list[bytes]:
    """The parts that remain of a word when those two neighbours are joined whose union has the lowest rank.

    Args:
        ranks: of the tokens.
        word: what is taken apart.
        below: only ranks lower than this one are joined; None joins all.
    """
    parts = [word[place : place + 1] for place in range(len(word))]
    while len(parts) > 1:
        unions = [ranks.get(left + right, -1) for left, right in pairwise(parts)]
        known = [rank for rank in unions if rank >= 0 and (below is None or rank < below)]
        if not known:
            break
        place = unions.index(min(known))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


def pipeline(ranks: Mapping[bytes, int], pattern: str, *, special: Iterable[str] = ()) -> Tokenizer:
    """The pipeline that gives the ids of tiktoken.

    Args:
        ranks: of the tokens, all 256 bytes among them.
        pattern: a regular expression whose matches are the words of a text.
        special: further tokens, which are never split; their ids follow the highest rank.
    """
    from tokenizers import AddedToken, Regex
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    ids = {_spelled(token): rank for token, rank in sorted(ranks.items(), key=lambda item: item[1])}
    merges = [
        (_spelled(token[:cut]), _spelled(token[cut:]))
        for token, rank in sorted(ranks.items(), key=lambda item: item[1])
        for cut in _cuts(ranks, token, rank)
    ]
    backend = byte_level_bpe(ids, merges, use_regex=False)
    backend.model.ignore_merges = True
    backend.pre_tokenizer = Sequence(
        [Split(Regex(pattern), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    return backend


def _cuts(ranks: Mapping[bytes, int], token: bytes, rank: int) -> list[int]:
    """Where a token may be put together from two others, the way of lower ranks first."""
    cuts = [cut for cut in range(1, len(token)) if token[:cut] in ranks and token[cut:] in ranks]
    parts = byte_pairs(ranks, token, below=rank) if len(cuts) > 1 else []
    return sorted(cuts, key=lambda cut: len(parts) != 2 or cut != len(parts[0]))


def _spelled(token: bytes) -> str:
    return "".join(ALPHABET[byte] for byte in token)
