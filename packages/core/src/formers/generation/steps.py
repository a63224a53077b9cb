"""Running a strategy step by step, so that nothing generated is lost however it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import GenerationArgumentError, GenerationError

from .streaming import BaseStreamer, StreamStep, TextDeltas

if TYPE_CHECKING:
    from .state import Decoding
    from .strategies import Generated, Strategy

__all__ = ["Steps", "feed", "stream_in_thread", "stream_steps"]


class Steps:
    """Iterates over what a strategy yields.

    An exception on the way, also Ctrl-C, leaves with the tokens so far in its attribute ``sequences``.

    Attributes:
        generated: the whole result; there when the iteration has come to its end.
    """

    generated: Generated

    def __init__(self, strategy: Strategy, run: Decoding) -> None:
        self._strategy, self._run = strategy, run

    def __iter__(self) -> Iterator[Tensor]:
        run = self._run
        try:
            self.generated = yield from self._strategy.decode(run)
        except (GenerationError, GenerationArgumentError, GeneratorExit):
            raise
        except BaseException as error:
            error.sequences = run.tokens.clone()  # type: ignore[attr-defined]
            error.add_note(f"{run.steps} tokens had been generated; they are in this exception's .sequences.")
            raise
        finally:
            run.close()


def feed(streamer: BaseStreamer, steps: Steps, run: Decoding) -> None:
    """Run the steps and give their tokens to a streamer, which hears of the end also if that is an exception."""
    streamer.put(run.tokens.cpu())
    try:
        over = False
        for tokens in steps:
            if not over:  # columns that were begun before anyone had looked are padding
                ids = tokens.cpu()
                streamer.put(ids[:, 0] if ids.shape[1] == 1 else ids)
            over = bool(run.finished.all())
    finally:
        streamer.end()


@torch.no_grad()
def stream_steps(
    strategy: Strategy, run: Decoding, tokenizer: Any, options: Mapping[str, Any]
) -> Generator[StreamStep]:
    """The steps of a run, with the text of each row if there is a tokenizer."""
    texts: _Texts | None = None
    ended: tuple[bool, ...] = ()
    for tokens in Steps(strategy, run):
        if ended and all(ended):
            continue  # begun before anyone had looked
        ids = tokens.cpu()
        over = len(run.finished) != len(ids)  # the rows to return were chosen among those of the run
        ended = (True,) * len(ids) if over else tuple(run.finished.tolist())
        if tokenizer is not None:
            texts = texts or _Texts(run, [TextDeltas(tokenizer, **options) for _ in ids])
        yield StreamStep(ids, None if texts is None else texts.push(ids.tolist(), ended), ended)


async def stream_in_thread(
    begin: Callable[[], Generator[StreamStep]],
) -> AsyncGenerator[StreamStep]:
    """What ``begin()`` iterates over, each step of it run in a thread of its own.

    Cancelling waits for the step that is under way, as a model cannot be interrupted; then the run is closed.
    """
    # All steps run in one thread: what torch compiles may belong to the thread that first ran it.
    threads = ThreadPoolExecutor(1, thread_name_prefix="formers-stream")
    steps: Generator[StreamStep] | None = None
    try:
        steps = await _result(threads, begin)
        while (step := await _result(threads, next, steps, None)) is not None:
            yield step
    finally:
        if steps is not None:
            steps.close()
        threads.shutdown(wait=False)


async def _result(threads: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in the thread; it has come to its end there when this leaves, also if cancelled."""
    running = asyncio.wrap_future(threads.submit(function, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        running.exception()  # looked at, so that nobody reports it as forgotten
        raise


class _Texts:
    """The texts of all rows of a run."""

    def __init__(self, run: Decoding, deltas: list[TextDeltas]) -> None:
        self._ends, self._padding = run.plan.eos_token_ids, run.plan.pad_token_id
        self._deltas = deltas
        self._ended: tuple[bool, ...] = (False,) * len(deltas)

    def push(self, rows: list[list[int]], ended: tuple[bool, ...]) -> tuple[str, ...]:
        """The text that each row's new ids make certain."""
        pieces = []
        for delta, row, was_over, is_over in zip(self._deltas, rows, self._ended, ended, strict=True):
            piece = "" if was_over else delta.push(self._without_padding(row) if is_over else row)
            pieces.append(piece + delta.end() if is_over and not was_over else piece)
        self._ended = ended
        return tuple(pieces)

    def _without_padding(self, row: list[int]) -> list[int]:
        """The last ids of a row up to its end; several tokens decided at once may have padding behind them."""
        for place, token in enumerate(row):
            if token in self._ends:
                return row[: place + 1]
        length = len(row)
        while length > 1 and row[length - 1] == self._padding:
            length -= 1
        return row[:length]
