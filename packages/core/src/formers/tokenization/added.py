"""Finding added tokens in text, exactly as the ``tokenizers`` library finds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from tokenizers import AddedToken

__all__ = ["AddedTokens"]

Piece = tuple[str, AddedToken | None]

# White space and word characters as Unicode's properties have them, which differ a little from Python's.
_SPACE = "\t\n\v\f\r\x20\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_WORD = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nl", "Nd", "Mn", "Mc", "Me", "Pc"})
_WORD_TOO = ((0x200C, 0x200D), (0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))


class AddedTokens:
    """Tokens that text is split at before anything else.

    Those that are not ``normalized`` are found in the text as it is; the others in what is left of it, both
    normalised. Of several at one place the longest counts. ``single_word`` wants no word character beside the
    token; ``lstrip`` and ``rstrip`` let it swallow the white space there.

    Args:
        tokens: the tokens; empty ones are left out.
    """

    __slots__ = ("_later", "_normalised", "_plain")

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        found = list(tokens)
        self._plain = _Finder({token.content: token for token in found if not token.normalized})
        self._normalised = [token for token in found if token.normalized]
        self._later: _Finder | None = None

    def split(self, text: str, normalise: Callable[[str], str], split_special: bool) -> Iterator[Piece]:
        """The pieces of a text, each an added token or ``(text between them, None)``.

        Args:
            text: the text.
            normalise: what makes the vocabulary's form of a text; the same at every call.
            split_special: special tokens are ordinary text.
        """
        later = self._later
        if later is None:
            later = self._later = _Finder({normalise(token.content): token for token in self._normalised})
        for piece, token in self._plain.split(text, split_special):
            if token is not None or not later:
                yield piece, token
                continue
            parts = list(later.split(normalise(piece), split_special))
            yield from parts if any(found is not None for _, found in parts) else ((piece, None),)


class _Finder:
    """Finds tokens by the text that stands for each."""

    __slots__ = ("_pattern", "_tokens")

    def __init__(self, tokens: dict[str, AddedToken]) -> None:
        self._tokens = tokens
        longest_first = sorted(filter(None, tokens), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def split(self, text: str, split_special: bool) -> Iterator[Piece]:
        """The pieces of a text, empty ones left out."""
        done = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token = self._tokens[match[0]]
            start, stop = match.span()
            if token.special and split_special:
                continue
            if token.single_word and (_is_word(text[start - 1 : start]) or _is_word(text[stop : stop + 1])):
                continue
            if token.lstrip:
                start = done + len(text[done:start].rstrip(_SPACE))
            if token.rstrip:
                stop = len(text) - len(text[stop:].lstrip(_SPACE))
            if done < start:
                yield text[done:start], None
            yield token.content, token
            done = stop
        if done < len(text):
            yield text[done:], None


def _is_word(char: str) -> bool:
    """Whether ``char``, one character or none, is part of a word."""
    if not char:
        return False
    from unicodedata import category  # few tokens ask

    return category(char) in _WORD or any(first <= ord(char) <= last for first, last in _WORD_TOO)
