"""Streams: what they yield is what ``generate`` returns, in pieces of whole characters, and ending one frees it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import threading
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from byte_level import END, MERGES, VOCABULARY
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizer import WORDS, small
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from torch import Tensor
from toy_causal import ToyForCausalLM, toy_causal

from formers.errors import GenerationArgumentError, GenerationError
from formers.generation.steps import Steps
from formers.generation.strategies import Generated
from formers.generation.streaming import (
    AsyncTextIteratorStreamer,
    BaseStreamer,
    StreamStep,
    TextDeltas,
    TextIteratorStreamer,
    TextStreamer,
)
from formers.tokenization import TokenizersBackend
from formers.tokenization.bpe_files import byte_level_bpe

EOS, PAD = VOCABULARY[END], 0
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {"do_sample": True, "top_k": 0, "temperature": 1.5},
    "several samples": {"do_sample": True, "num_return_sequences": 3},
    "beams": {"num_beams": 3},
    "all beams": {"num_beams": 3, "num_return_sequences": 3},
    "sampled beams": {"num_beams": 3, "num_return_sequences": 2, "do_sample": True},
    "groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "num_return_sequences": 4},
}


@cache
def byte_level() -> TokenizersBackend:
    backend = byte_level_bpe(VOCABULARY, MERGES)
    return TokenizersBackend(tokenizer_object=backend, eos_token=END, clean_up_tokenization_spaces=True)


@cache
def byte_fallback() -> TokenizersBackend:
    """Words that begin with a mark for the space before them; other characters as bytes."""
    words = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁the", "▁cat", "s", "▁", "."]
    backend = Tokenizer(BPE({word: index for index, word in enumerate(words)}, [], byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return TokenizersBackend(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def model() -> ToyForCausalLM:
    """Writes bytes, many of them no characters, and now and then the end."""
    model = toy_causal(seed=3, vocab_size=len(VOCABULARY), max_position_embeddings=256)
    with torch.no_grad():
        model.head.bias[EOS] += 2.0
        model.head.bias[128:256] += 1.0
    return model


def collected(steps: list[StreamStep]) -> tuple[Tensor, list[str]]:
    """The ids and the texts of all steps."""
    texts = ["".join(pieces) for pieces in zip(*(step.texts or () for step in steps), strict=True)]
    return torch.cat([step.ids for step in steps], dim=1), texts


def until_end(row: list[int]) -> list[int]:
    return row[: row.index(EOS) + 1] if EOS in row else row


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("special", [True, False])
def test_a_stream_is_what_generate_returns(model: ToyForCausalLM, name: str, special: bool) -> None:
    tokenizer = byte_level()
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    options = {"max_new_tokens": 24, "eos_token_id": EOS, "pad_token_id": PAD} | STRATEGIES[name]
    torch.manual_seed(0)
    whole = model.generate(ids, **options)[:, 3:]
    torch.manual_seed(0)
    steps = list(model.stream(ids, tokenizer=tokenizer, skip_special_tokens=special, **options))
    rows, texts = collected(steps)
    assert torch.equal(rows, whole)
    assert steps[-1].finished == (True,) * len(whole)
    wanted = [until_end(row) for row in whole.tolist()]
    assert texts == [
        tokenizer.decode(row, skip_special_tokens=special, clean_up_tokenization_spaces=False)
        for row in wanted
    ]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rows=st.integers(1, 3),
    options=st.fixed_dictionaries(
        {"max_new_tokens": st.integers(10, 30)},
        optional={
            "do_sample": st.just(True),
            "num_beams": st.integers(1, 3),
            "repetition_penalty": st.floats(0.8, 2.0),
            "min_new_tokens": st.integers(0, 10),
            "use_cache": st.booleans(),
            "top_p": st.floats(0.3, 1.0),
        },
    ),
)
@pytest.mark.filterwarnings("ignore::formers.errors.GenerationWarning")
def test_a_stream_is_what_generate_returns_with_any_settings(
    model: ToyForCausalLM, seed: int, rows: int, options: dict[str, Any]
) -> None:
    torch.manual_seed(seed)
    ids = torch.randint(0, 256, (rows, 3))
    ids[ids == PAD] += 1
    options = {"eos_token_id": EOS, "pad_token_id": PAD} | options
    whole = model.generate(ids, **options)[:, 3:]
    torch.manual_seed(seed)
    torch.randint(0, 256, (rows, 3))
    given_ids, texts = collected(list(model.stream(ids, tokenizer=byte_level(), **options)))
    assert torch.equal(given_ids, whole)
    assert texts == [
        byte_level().decode(until_end(row), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for row in whole.tolist()
    ]


def test_assisted_generation_streams_several_tokens_a_step(model: ToyForCausalLM) -> None:
    ids = torch.tensor([[1, 2, 3, 1, 2, 3]])
    options = {"max_new_tokens": 24, "eos_token_id": EOS, "pad_token_id": PAD}
    steps = list(model.stream(ids, assistant_model=model, tokenizer=byte_level(), **options))
    rows, texts = collected(steps)
    assert len(steps) < rows.shape[1]
    assert torch.equal(rows, model.generate(ids, **options)[:, 6:])
    assert texts == byte_level().batch_decode([until_end(row) for row in rows.tolist()], True, False)
    assert steps[-1].finished == (True,)


def test_a_row_that_has_ended_is_finished_and_says_nothing_more(model: ToyForCausalLM) -> None:
    forced = [[65, 66, EOS, 67], [65, 66, 67, EOS]]

    def force(input_ids: Tensor, scores: Tensor) -> Tensor:
        column = input_ids.shape[1] - 1
        wanted = torch.tensor([row[column] for row in forced])
        return torch.full_like(scores, -torch.inf).scatter(1, wanted[:, None], 0.0)

    steps = list(
        model.stream(
            torch.tensor([[1], [2]]),
            logits_processor=[force],
            max_new_tokens=9,
            eos_token_id=EOS,
            pad_token_id=PAD,
            tokenizer=byte_level(),
            skip_special_tokens=False,
        )
    )
    assert [step.finished for step in steps] == [(False, False), (False, False), (True, False), (True, True)]
    assert steps[-1].ids.tolist() == [[PAD], [EOS]]
    assert steps[2].texts is not None
    assert steps[2].texts[0] == END
    assert steps[-1].texts == ("", END)


def test_without_a_tokenizer_only_ids_are_there(model: ToyForCausalLM) -> None:
    steps = list(model.stream(torch.tensor([[1]]), max_new_tokens=3, pad_token_id=PAD))
    assert [step.texts for step in steps] == [None, None, None]
    assert [tuple(step.ids.shape) for step in steps] == [(1, 1)] * 3


def pieces_of(tokenizer: Any, ids: list[int], size: int, **options: Any) -> list[str]:
    deltas = TextDeltas(tokenizer, **options)
    pieces = [deltas.push(ids[start : start + size]) for start in range(0, len(ids), size)]
    return [*pieces, deltas.end()]


TEXT_BYTES = st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(TEXT_BYTES | st.binary(max_size=4) | st.just(None), max_size=8),
    size=st.integers(1, 4),
    skip=st.booleans(),
)
def test_pieces_add_up_to_the_text_byte_by_byte(parts: list[bytes | None], size: int, skip: bool) -> None:
    from formers.tokenization.bpe_files import ALPHABET

    ids = []
    for part in parts:
        ids += [EOS] if part is None else [VOCABULARY[ALPHABET[byte]] for byte in part]
    tokenizer = byte_level()
    pieces = pieces_of(tokenizer, ids, size, skip_special_tokens=skip)
    assert "".join(pieces) == tokenizer.decode(ids, skip, clean_up_tokenization_spaces=False)


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=40), size=st.integers(1, 3))
def test_pieces_of_any_tokens_add_up(ids: list[int], size: int) -> None:
    assert "".join(pieces_of(byte_level(), ids, size)) == byte_level().decode(
        ids, clean_up_tokenization_spaces=False
    )


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(0, len(WORDS) - 1), max_size=20), size=st.integers(1, 3), skip=st.booleans())
def test_pieces_of_words_keep_their_spaces(ids: list[int], size: int, skip: bool) -> None:
    pieces = pieces_of(small(), ids, size, skip_special_tokens=skip)
    assert "".join(pieces) == small().decode(ids, skip, clean_up_tokenization_spaces=False)


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.sampled_from(["▁the", "▁cat", "s", "▁", ".", "é", "€", "😀", "日本"]), max_size=10),
    size=st.integers(1, 4),
)
def test_pieces_of_a_tokenizer_with_byte_fallback_add_up(parts: list[str], size: int) -> None:
    tokenizer = byte_fallback()
    known = tokenizer.get_vocab()
    ids = []
    for part in parts:
        ids += [known[part]] if part in known else [known[f"<0x{byte:02X}>"] for byte in part.encode()]
    assert "".join(pieces_of(tokenizer, ids, size)) == tokenizer.decode(ids)


def test_broken_bytes_do_not_hold_the_text_back() -> None:
    known = byte_fallback().get_vocab()
    ids = [known[token] for token in ("<0x41>", "<0xE2>", "▁cat", "s", "▁the")]
    assert pieces_of(byte_fallback(), ids, 1)[2:] == ["\N{REPLACEMENT CHARACTER} cat", "s", " the", ""]
    stuck = [128] * 50  # the second byte of nothing
    pieces = pieces_of(byte_level(), stuck, 1)
    assert pieces[10] != ""
    assert "".join(pieces) == byte_level().decode(stuck)


def test_no_piece_ends_inside_a_character() -> None:
    text = "naïve 😀 日本 été"
    from formers.tokenization.bpe_files import ALPHABET

    ids = [VOCABULARY[ALPHABET[byte]] for byte in text.encode()]
    pieces = pieces_of(byte_level(), ids, 1)
    assert [piece for piece in pieces if piece] == list(text)


def test_a_tokenizer_that_refuses_broken_bytes_is_asked_again() -> None:
    class Strict:
        def decode(self, ids: list[int], **options: Any) -> str:
            return bytes(ids).decode("utf-8")

    assert pieces_of(Strict(), list("aé€".encode()), 1) == ["a", "", "é", "", "", "€", ""]
    with pytest.raises(UnicodeDecodeError):
        pieces_of(Strict(), [0xE2, 0x82], 1)


def test_the_work_for_a_piece_does_not_grow() -> None:
    longest = 0

    class Counting:
        def decode(self, ids: list[int], **options: Any) -> str:
            nonlocal longest
            longest = max(longest, len(ids))
            return byte_level().decode(ids, **options)

    pieces_of(Counting(), [65] * 1000, 1)
    assert longest <= 3


# Streamers.

OPTIONS: dict[str, Any] = {"max_new_tokens": 20, "pad_token_id": PAD, "eos_token_id": None}


def text_of(model: ToyForCausalLM, ids: Tensor, start: int = 0) -> str:
    row = model.generate(ids, **OPTIONS)[0, start:].tolist()
    return str(byte_level().decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("skip", [True, False])
def test_a_text_streamer_prints(
    model: ToyForCausalLM, skip: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = torch.tensor([[65, 66, 67]])
    streamer = TextStreamer(byte_level(), skip_prompt=skip, skip_special_tokens=True)
    for _ in range(2):  # it can be used again
        model.generate(ids, streamer=streamer, **OPTIONS)
        assert capsys.readouterr().out == text_of(model, ids, 3 if skip else 0) + "\n"


def test_a_text_streamer_refuses_several_rows(model: ToyForCausalLM) -> None:
    with pytest.raises(GenerationArgumentError, match=r"2\. Iterate over model\.stream"):
        model.generate(torch.tensor([[1], [2]]), streamer=TextStreamer(byte_level()), **OPTIONS)


class Noting(BaseStreamer):
    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...] | str] = []

    def put(self, value: Tensor) -> None:
        self.shapes.append(tuple(value.shape))

    def end(self) -> None:
        self.shapes.append("end")


def test_a_streamer_gets_the_prompt_the_tokens_and_the_end(model: ToyForCausalLM) -> None:
    noting = Noting()
    model.generate(torch.ones(2, 3, dtype=torch.long), streamer=noting, **(OPTIONS | {"max_new_tokens": 2}))
    assert noting.shapes == [(2, 3), (2,), (2,), "end"]


def test_a_streamer_hears_of_the_end_when_generation_fails(model: ToyForCausalLM) -> None:
    noting = Noting()
    with pytest.raises(RuntimeError, match="broken"):
        model.generate(torch.tensor([[1]]), streamer=noting, logits_processor=[failing_at(3)], **OPTIONS)
    assert noting.shapes == [(1, 1), (1,), (1,), "end"]


def test_an_iterator_streamer_gives_text_to_another_thread(model: ToyForCausalLM) -> None:
    ids = torch.tensor([[65, 66, 67]])
    streamer = TextIteratorStreamer(byte_level(), skip_prompt=True, timeout=60, skip_special_tokens=True)
    thread = threading.Thread(target=model.generate, args=(ids,), kwargs={"streamer": streamer, **OPTIONS})
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert len(pieces) > 1
    assert "".join(pieces) == text_of(model, ids, 3)


def test_an_iterator_streamer_does_not_wait_for_ever() -> None:
    with pytest.raises(queue.Empty):
        next(TextIteratorStreamer(byte_level(), timeout=0.01))

    async def wait() -> None:
        await anext(AsyncTextIteratorStreamer(byte_level(), timeout=0.01))

    with pytest.raises(TimeoutError):
        asyncio.run(wait())


def test_an_async_streamer_gives_text_to_the_event_loop(model: ToyForCausalLM) -> None:
    ids = torch.tensor([[65, 66, 67]])

    async def read() -> list[str]:
        streamer = AsyncTextIteratorStreamer(
            byte_level(), skip_prompt=True, timeout=60, skip_special_tokens=True
        )
        generating = asyncio.to_thread(model.generate, ids, streamer=streamer, **OPTIONS)
        task = asyncio.create_task(generating)
        pieces = [piece async for piece in streamer]
        await task
        return pieces

    assert "".join(asyncio.run(read())) == text_of(model, ids, 3)
    with pytest.raises(RuntimeError, match="event loop"):
        AsyncTextIteratorStreamer(byte_level())


# Endings.


def failing_at(length: int, error: BaseException | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    def processor(input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] == length:
            raise error or RuntimeError("broken")
        return scores

    return processor


class Watched(ToyForCausalLM):
    """Notes the cache that it returned last."""

    cache: weakref.ref[Any] | None = None
    running = 0
    delay: threading.Event | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.running += 1
        if self.delay is not None and self.running > 2:
            assert self.delay.wait(60)
        output = super().forward(*args, **kwargs)
        self.cache = weakref.ref(output.past_key_values)
        return output

    def cache_is_alive(self) -> bool:
        assert self.cache is not None
        return self.cache() is not None


@pytest.fixture
def watched(model: ToyForCausalLM) -> Watched:
    watched = Watched(model.config).eval()
    watched.load_state_dict(model.state_dict())
    return watched


def test_closing_a_stream_frees_the_cache_at_once(watched: Watched) -> None:
    gc.disable()
    try:
        steps = watched.stream(torch.tensor([[1, 2]]), **OPTIONS)
        next(steps)
        assert watched.cache_is_alive()
        steps.close()
        assert not watched.cache_is_alive()
        assert list(steps) == []
    finally:
        gc.enable()


def test_leaving_a_loop_frees_the_cache_at_once(watched: Watched) -> None:
    gc.disable()
    try:
        for _ in watched.stream(torch.tensor([[1, 2]]), **OPTIONS):
            assert watched.cache_is_alive()
            break
        assert not watched.cache_is_alive()
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_an_exception_in_a_stream_carries_what_was_generated(
    model: ToyForCausalLM, error: BaseException
) -> None:
    ids = torch.tensor([[1, 2]])
    steps = model.stream(ids, logits_processor=[failing_at(5, error)], **OPTIONS)
    seen = []
    with pytest.raises(type(error)) as caught:
        seen.extend(steps)
    assert len(seen) == 3
    assert torch.equal(
        caught.value.sequences,  # type: ignore[attr-defined]
        torch.cat([ids, *(step.ids for step in seen)], dim=1),
    )


def test_scores_without_a_choice_raise_with_what_was_streamed(model: ToyForCausalLM) -> None:
    def spoil(input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores * torch.nan if input_ids.shape[1] == 5 else scores

    steps = model.stream(torch.tensor([[1, 2]]), logits_processor=[spoil], **OPTIONS)
    seen = []
    with pytest.raises(GenerationError) as caught:
        seen.extend(steps)
    assert caught.value.sequences is not None
    assert caught.value.sequences.shape == (1, 5)
    assert (len(seen), caught.value.step) == (3, 3)


def test_a_wrong_call_is_refused_before_the_first_step(model: ToyForCausalLM) -> None:
    with pytest.raises(GenerationArgumentError, match="max_new_tokens"):
        model.stream(torch.tensor([[1]]), max_new_token=3)
    with pytest.raises(GenerationArgumentError, match="one sequence") as caught:
        list(model.stream(torch.tensor([[1], [2]]), assistant_model=model, **OPTIONS))
    assert not hasattr(caught.value, "__notes__")


def test_steps_leave_the_result_behind(model: ToyForCausalLM) -> None:
    result = Generated(torch.tensor([[1]]))

    class Run:
        closed = False

        def close(self) -> None:
            self.closed = True

    class Once:
        name, priority = "once", 0

        def decode(self, run: Any) -> Any:
            yield torch.tensor([[1]])
            return result

    run = Run()
    steps = Steps(Once(), run)  # type: ignore[arg-type]
    assert len(list(steps)) == 1
    assert steps.generated is result
    assert run.closed


class LateLook:
    """Goes on with padding after every row has ended, as a run does that looks at the device once in a while."""

    name, priority = "late_look", 0

    def decode(self, run: Any) -> Any:
        for token in (65, EOS, 66, 67):
            added = run.append(torch.full((run.rows,), token))
            run.finished |= added == EOS
            yield added[:, None]
        return Generated(run.tokens[:, : run.length - 2])


def test_what_was_begun_behind_the_end_is_not_given_out(model: ToyForCausalLM) -> None:
    ids = torch.ones(2, 3, dtype=torch.long)
    options = {"custom_generate": LateLook(), "eos_token_id": EOS, "pad_token_id": PAD}
    steps = list(model.stream(ids, tokenizer=byte_level(), **options))
    rows, texts = collected(steps)
    assert texts == [byte_level().decode([65])] * 2
    noting = Noting()
    assert torch.equal(model.generate(ids, streamer=noting, **options)[:, 3:], rows)
    assert noting.shapes == [(2, 3), (2,), (2,), "end"]


def test_a_function_that_generates_is_one_finished_step(model: ToyForCausalLM) -> None:
    def double(model: Any, input_ids: Tensor, **given: Any) -> Tensor:
        return torch.cat((input_ids, input_ids), dim=1)

    (step,) = model.stream(torch.tensor([[65, 66], [66, 65]]), custom_generate=double, pad_token_id=PAD)
    assert step.ids.tolist() == [[65, 66], [66, 65]]
    assert step.finished == (True, True)


# The asynchronous form.


def test_an_asynchronous_stream_is_the_stream(model: ToyForCausalLM) -> None:
    ids = torch.tensor([[1, 2], [3, 4]])
    options = OPTIONS | {"do_sample": True, "tokenizer": byte_level()}
    torch.manual_seed(0)
    wanted = collected(list(model.stream(ids, **options)))

    async def read() -> list[StreamStep]:
        return [step async for step in model.astream(ids, **options)]

    torch.manual_seed(0)
    rows, texts = collected(asyncio.run(read()))
    assert torch.equal(rows, wanted[0])
    assert texts == wanted[1]


def test_the_event_loop_goes_on_while_a_step_runs(watched: Watched) -> None:
    watched.delay = threading.Event()

    async def read() -> int:
        stream = watched.astream(torch.tensor([[1, 2]]), **OPTIONS)
        await anext(stream)
        await anext(stream)
        third = asyncio.ensure_future(anext(stream))
        while watched.running < 3:
            await asyncio.sleep(0.001)
        assert not third.done()
        assert watched.delay is not None
        watched.delay.set()
        await third
        return 1 + len([step async for step in stream])

    assert asyncio.run(read()) == OPTIONS["max_new_tokens"] - 2


def test_cancelling_waits_for_the_step_and_frees_the_cache(watched: Watched) -> None:
    watched.delay = threading.Event()

    async def cancel() -> int:
        async def consume() -> None:
            async for _ in watched.astream(torch.tensor([[1, 2]]), **OPTIONS):
                pass

        task = asyncio.create_task(consume())
        while watched.running < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()  # impatience does not change it
        await asyncio.sleep(0.01)
        assert not task.done()
        assert watched.delay is not None
        watched.delay.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return watched.running

    assert asyncio.run(cancel()) == 3
    gc.collect()
    assert not watched.cache_is_alive()
    assert not [
        one for one in threading.enumerate() if one.name.startswith("formers-stream") and one.is_alive()
    ]


def test_leaving_an_asynchronous_loop_closes_the_run(watched: Watched) -> None:
    async def read() -> bool:
        async with contextlib.aclosing(watched.astream(torch.tensor([[1, 2]]), **OPTIONS)) as stream:
            async for _ in stream:
                break
        return watched.cache_is_alive()

    assert asyncio.run(read()) is False


def test_exceptions_reach_the_asynchronous_loop(model: ToyForCausalLM) -> None:
    async def read(**options: Any) -> None:
        async for _ in model.astream(torch.tensor([[1, 2]]), **(OPTIONS | options)):
            pass

    with pytest.raises(GenerationArgumentError, match="Did you mean"):
        asyncio.run(read(max_new_token=3))
    with pytest.raises(RuntimeError, match="broken") as caught:
        asyncio.run(read(logits_processor=[failing_at(5)]))
    assert caught.value.sequences.shape == (1, 5)  # type: ignore[attr-defined]
