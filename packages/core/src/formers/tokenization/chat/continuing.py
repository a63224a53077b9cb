"""``continue_final_message``: the chat up to the end of its last message, for a model to go on from there.

A mark is put at the end of that message, and the rendered text is cut where the mark comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from formers.errors import TextInputError, shorten

__all__ = ["PRINTABLE", "PRIVATE", "cut", "mark_end", "unused_characters"]

PRINTABLE = (0x13000, 0x1342E)
"""Characters without upper and lower case, which ``repr`` shows as they are: Egyptian hieroglyphs."""
PRIVATE = (0xF0000, 0xFFFFD)
"""Characters that are part of no word: those for private use (Unicode 16, section 23.5)."""


def unused_characters(values: Iterable[Any], count: int, block: tuple[int, int]) -> list[str]:
    """The first characters of a block that are in none of the texts within the values."""
    first, last = block
    pattern = re.compile(f"[{chr(first)}-{chr(last)}]")
    used = {character for text in _texts(values) for character in pattern.findall(text)}
    free = (chr(code) for code in range(first, last + 1) if chr(code) not in used)
    found = [character for _, character in zip(range(count), free, strict=False)]
    if len(found) < count:
        raise TextInputError(
            f"the conversation uses nearly all characters from U+{first:X} to U+{last:X}, of which {count} are needed"
        )
    return found


def mark_end(messages: list[Any], field: str, mark: str, place: str) -> None:
    """Put the mark at the end of the last message, in place; ``messages`` are copies.

    Raises ``TextInputError`` if the message has no such field, or no text in it.
    """
    if not messages:
        raise TextInputError(f"{place} is empty: there is no message for continue_final_message to continue")
    message, where = messages[-1], f"{place}[{len(messages) - 1}]"
    content = message.get(field)
    ending = mark + " "  # the space is gone from the rendered text if the template trims the message
    if isinstance(content, str):
        message[field] = content + ending
        return
    for part in reversed(content) if isinstance(content, (list, tuple)) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            part["text"] += ending
            return
    raise TextInputError(
        f"continue_final_message: {where} has {field}={shorten(content)}; expected text to continue, "
        "or a list with a part that has 'text'"
    )


def cut(text: str, mark: str, field: str) -> str:
    """The text up to the mark.

    Raises ``TextInputError`` if the mark did not come out.
    """
    text = text.replace(json.dumps(mark)[1:-1], mark)  # as tojson(ensure_ascii=true) writes it
    end = text.rfind(mark)
    if end < 0:
        raise TextInputError(
            f"continue_final_message: the template does not show the {field!r} of the last message, or changes it: "
            f"there is no place to continue from. The rendered chat ends with {shorten(text[-80:])}"
        )
    kept = text[:end].replace(mark + " ", "").replace(mark, "")
    return kept if text.startswith(" ", end + len(mark)) else kept.rstrip()


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _texts(value.keys())
            yield from _texts(value.values())
        elif isinstance(value, (list, tuple)):
            yield from _texts(value)
