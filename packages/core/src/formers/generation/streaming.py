"""Tokens and text as they are generated: what ``model.stream`` yields, and the streamers that transformers users know.

Text is decoded without clean-up of spaces, so that what was given out never has to be taken back. Together the pieces
of a row are ``tokenizer.decode(new_ids, clean_up_tokenization_spaces=False)``.
"""

from __future__ import annotations

import asyncio
import queue
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from formers.errors import GenerationArgumentError

__all__ = [
    "AsyncTextIteratorStreamer",
    "BaseStreamer",
    "StreamStep",
    "TextDeltas",
    "TextIteratorStreamer",
    "TextStreamer",
]

# What decoders put where bytes are not, or not yet, a character: one for a beginning, or for each byte of a stretch
# that ends in one.
_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_LONGEST = 4  # bytes of a character


@dataclass(frozen=True, slots=True)
class StreamStep:
    """What one step decided.

    Attributes:
        ids: int64 [rows, new], usually one new token a row; padding in rows that had ended.
        texts: for each row the text that became certain, perhaps empty; None without a tokenizer.
        finished: for each row whether it has ended.
    """

    ids: Tensor
    texts: tuple[str, ...] | None
    finished: tuple[bool, ...]


class TextDeltas:
    """The text of one row, piece by piece; a piece never ends inside a character.

    Only the ids behind the last piece but one are decoded again, so that the work for a token does not grow with the
    text.

    Args:
        tokenizer: decodes.
        options: arguments of ``tokenizer.decode``.
    """

    def __init__(self, tokenizer: Any, **options: Any) -> None:
        self._tokenizer = tokenizer
        self._options = {"clean_up_tokenization_spaces": False, **options}
        self._clear()

    def _clear(self) -> None:
        self._ids: list[int] = []
        # Those of the last piece, decoded along because a decoder treats the beginning of a text specially.
        self._known = 0
        self._given = ""  # what was given out of the text of _ids
        self._open = 0  # ids since the text last ended with a character

    def push(self, ids: list[int]) -> str:
        """Take further ids and return the text that is certain now."""
        return "".join(map(self._push, ids))

    def _push(self, token: int) -> str:
        self._ids.append(token)
        self._open += 1
        try:
            now = self._decode(self._ids)
        except UnicodeDecodeError:  # of a tokenizer that replaces nothing
            return ""
        broken = len(now) - len(now.rstrip(_INCOMPLETE))
        if not broken:
            self._open = 0
        elif self._open >= _LONGEST:  # one that was begun so long ago would be complete
            broken = min(broken, _LONGEST - 1)
        certain = now[: len(now) - broken]
        piece = certain[len(self._given) :]
        if not piece or (broken and not certain.startswith(self._given)):
            return ""
        self._given = certain
        if not broken:
            self._ids = self._ids[self._known :]
            self._known = len(self._ids)
            self._given = self._decode(self._ids)
        return piece

    def end(self) -> str:
        """The rest of the text, broken characters included."""
        rest = self._decode(self._ids)[len(self._given) :]
        self._clear()
        return rest

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, **self._options)
        return text


class BaseStreamer(ABC):
    """What ``generate(streamer=...)`` calls."""

    @abstractmethod
    def put(self, value: Tensor) -> None:
        """Take the prompt [rows, length] at first, then new tokens: [rows], or [rows, new] if there are several."""

    @abstractmethod
    def end(self) -> None:
        """Take note that everything is generated."""


class TextStreamer(BaseStreamer):
    """Prints the text of one row as it is generated.

    Args:
        tokenizer: decodes.
        skip_prompt: whether the prompt is left out.
        decode_kwargs: arguments of ``tokenizer.decode``, such as ``skip_special_tokens=True``.

    Raises:
        GenerationArgumentError: there is more than one row.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_kwargs = decode_kwargs
        self._begin()

    def _begin(self) -> None:
        self._deltas = TextDeltas(self.tokenizer, **self.decode_kwargs)
        self._prompt_is_next = True

    def put(self, value: Tensor) -> None:
        """Take the tokens of one row, [1, new] or [new]."""
        if value.dim() > 1 and value.shape[0] > 1:
            raise GenerationArgumentError(
                f"{type(self).__name__} prints one row, but there are {value.shape[0]}. Iterate over "
                "model.stream(...), which gives the text of every row."
            )
        is_prompt, self._prompt_is_next = self._prompt_is_next, False
        if is_prompt and self.skip_prompt:
            return
        text = self._deltas.push(value.flatten().tolist())
        if text:
            self.on_finalized_text(text)

    def end(self) -> None:
        """Give out what is left, and be ready for another text."""
        rest = self._deltas.end()
        self._begin()
        self.on_finalized_text(rest, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print; override to do something else with the text."""
        sys.stdout.write(text + "\n" if stream_end else text)
        sys.stdout.flush()


class TextIteratorStreamer(TextStreamer):
    """Gives the text to another thread, which iterates over this object.

    ``model.stream`` gives the same without a thread.

    Args:
        timeout: seconds after which waiting for text raises ``queue.Empty``; None waits for ever.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: queue.Queue[str | None] = queue.Queue()
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Queue the text."""
        self.text_queue.put(text, timeout=self.timeout)
        if stream_end:
            self.text_queue.put(None, timeout=self.timeout)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = self.text_queue.get(timeout=self.timeout)
        if text is None:
            raise StopIteration
        return text


class AsyncTextIteratorStreamer(TextStreamer):
    """Gives the text to the event loop in which it was made: ``async for text in streamer``.

    Args:
        timeout: seconds after which waiting for text raises ``TimeoutError``; None waits for ever.

    Raises:
        RuntimeError: made outside of a running event loop.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.timeout = timeout
        self.loop = asyncio.get_running_loop()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Queue the text, from whatever thread generates."""
        self.loop.call_soon_threadsafe(self.text_queue.put_nowait, text)
        if stream_end:
            self.loop.call_soon_threadsafe(self.text_queue.put_nowait, None)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        async with asyncio.timeout(self.timeout):
            text = await self.text_queue.get()
        if text is None:
            raise StopAsyncIteration
        return text
