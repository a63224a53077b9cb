"""The character map inside a SentencePiece model, checked before any text meets it.

The map says which characters become which, such as ``①`` to ``1``. It is a number of bytes, 32 bits, the lowest byte
first; then, in that many bytes, a trie as a double array of 32-bit units (Aoe 1989; the packing is that of the
library darts-clone); then the replacements, as UTF-8, each with a NUL behind it. The ``tokenizers`` library follows
the trie without looking where it leads, and gives up in the middle of a text where it leads nowhere.
"""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict

from formers.errors import CorruptFileError

__all__ = ["MAX_BYTES", "check_charsmap"]

MAX_BYTES = 4 * 2**20
"""Of a map. Those that SentencePiece ships, with all of NFKC, have a quarter of a million."""

_HEAD = 4  # bytes of the first number
_VALUE = 1 << 31  # a unit that holds a place in the replacements, not a step
_LEAF = 1 << 8  # a step with which a key may end
_FAR = 1 << 9  # a step whose distance is counted in blocks of 256
_BLOCK = 0xFF


def check_charsmap(charsmap: bytes, source: str) -> None:
    """Raise unless every text can be followed through the map.

    Raises:
        CorruptFileError: the map is too large or cut short, or its trie leads out of it.
    """
    if len(charsmap) > MAX_BYTES:
        raise CorruptFileError(
            f"{source}: its character map has {len(charsmap):,} bytes; expected at most {MAX_BYTES:,}"
        )
    size = int.from_bytes(charsmap[:_HEAD], "little")
    if not 0 < size <= len(charsmap) - _HEAD or size % _HEAD:
        raise _corrupt(source, f"says that its trie has {size:,} of {len(charsmap):,} bytes")
    units = array("I", charsmap[_HEAD : _HEAD + size])
    if sys.byteorder == "big":
        units.byteswap()
    replacements = charsmap[_HEAD + size :]
    try:
        replacements.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _corrupt(source, f"has replacements that are not UTF-8 ({error})") from error
    if replacements[-1:] not in (b"", b"\0"):
        raise _corrupt(source, "ends in the middle of a replacement")
    _check_trie(units, replacements, source)


def _check_trie(units: array[int], replacements: bytes, source: str) -> None:
    """Follow every key from the root: each step, and each byte that may come after it, must stay in the array."""
    steps: defaultdict[int, list[int]] = defaultdict(list)  # where a node's steps start to its steps
    for place, unit in enumerate(units):
        if unit < _VALUE and unit & _BLOCK:
            steps[place ^ (unit & _BLOCK)].append(place)
    start = _distance(units[0])
    reached = {start}
    waiting = [start]
    while waiting:
        start = waiting.pop()
        if start | _BLOCK >= len(units):
            raise _corrupt(source, f"has a trie of {len(units):,} units that leads to unit {start:,}")
        for place in steps.get(start, ()):
            unit = units[place]
            after = place ^ _distance(unit)
            if unit & _LEAF and after < len(units):
                value = units[after] & ~_VALUE
                if value >= len(replacements) or replacements[value] & 0xC0 == 0x80:
                    raise _corrupt(source, f"has no replacement at its byte {value:,}")
            if after not in reached:
                reached.add(after)
                waiting.append(after)


def _distance(unit: int) -> int:
    """From a step to where the next ones start."""
    return (unit >> 10) << (8 if unit & _FAR else 0)


def _corrupt(source: str, problem: str) -> CorruptFileError:
    return CorruptFileError(f"{source}: its character map {problem}. Download or save it again")
