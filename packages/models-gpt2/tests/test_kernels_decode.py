"""A tiny GPT-2 whose steps beside a cache of fixed shapes run ``gpt2_decode``: the same numbers as without a cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

from formers import AttentionUnsupported
from formers.attention import AttentionRequest
from formers.cache import StaticCache
from formers.kernels.support import interpreting
from formers_gpt2 import GPT2LMHeadModel
from formers_gpt2.configuration import tiny_config
from formers_gpt2.decode import DECODE

pytestmark = pytest.mark.kernels

ROOM = 40  # in the interpreter 4 parts of one tile of 16 keys
PAD = torch.tensor([[1] * ROOM, [0] * 5 + [1] * (ROOM - 5), [0] * 13 + [1] * (ROOM - 13)])


def models(**options: Any) -> tuple[GPT2LMHeadModel, GPT2LMHeadModel]:
    """Two models of the same weights: one eager, one with the kernels wherever they can serve."""
    torch.manual_seed(0)
    made = [
        GPT2LMHeadModel.from_config(tiny_config(**options), attn_implementation=attention)
        for attention in ("eager", "gpt2_decode,sdpa")
    ]
    with torch.no_grad():
        for parameter in made[0].parameters():
            parameter.normal_(0.0, 0.3)
    made[1].load_state_dict(made[0].state_dict())
    first, second = (model.to(parity.DEVICE).eval() for model in made)
    return first, second


def tokens(*shape: int) -> Tensor:
    return torch.randint(2, 64, shape, device=parity.DEVICE)


def filled(model: GPT2LMHeadModel, ids: Tensor, room: Tensor | None) -> StaticCache:
    """A cache of fixed shapes with a prompt in it, and NaN behind that."""
    cache = StaticCache(config=model.config, max_cache_len=ROOM)
    length = ids.shape[1]
    model(ids, attention_mask=None if room is None else room[:, :length], past_key_values=cache)
    cache.fix_shapes()
    for layer in cache._static_layers():
        assert layer.room is not None
        for tensor in layer.room:
            tensor[:, :, length:] = torch.nan
    return cache


@pytest.mark.parametrize("padded", [False, True], ids=["", "padded on the left"])
@torch.no_grad()
def test_cached_is_as_uncached(padded: bool) -> None:
    """From before the end of a tile to behind it; what the cache holds beyond its length is never read."""
    eager, ours = models(n_positions=64)
    ids, room = tokens(3, 36), PAD.to(parity.DEVICE) if padded else None
    mask = None if room is None else room[:, :36]
    expected = eager(ids, attention_mask=mask, use_cache=False).logits
    for prompt, length in ((14, 18), (31, 34)):
        cache = filled(ours, ids[:, :prompt], room)
        for column in range(prompt, length):
            logits = ours(ids[:, column : column + 1], attention_mask=room, past_key_values=cache).logits
            torch.testing.assert_close(logits[:, 0], expected[:, column], rtol=1e-4, atol=1e-5)
        assert cache.get_seq_length() == length
    assert ours.attention_report().names("decode") == ["gpt2_decode"]
    assert ours.attention_report().names("prefill") == ["sdpa"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@torch.no_grad()
def test_in_half_precision(dtype: torch.dtype) -> None:
    eager, ours = models(n_layer=1)
    ids = tokens(2, 20)
    expected = eager(ids, use_cache=False).logits[:, -1]
    half = ours.to(dtype)
    found = half(ids[:, 19:], past_key_values=filled(half, ids[:, :19], None)).logits[:, 0]
    error = parity.relative_error(found, expected)
    plain = parity.relative_error(eager.to(dtype)(ids, use_cache=False).logits[:, -1], expected)
    assert error <= 2 * plain


@torch.no_grad()
def test_rows_may_change_places() -> None:
    """As those of beams do between two steps."""
    eager, ours = models(n_layer=1)
    ids, rows = tokens(3, 20), torch.tensor([2, 0, 0], device=parity.DEVICE)
    cache = filled(ours, ids[:, :18], None)
    ours(ids[:, 18:19], past_key_values=cache)
    cache.reorder_cache(rows)
    found = ours(ids[:, 19:], past_key_values=cache).logits[:, 0]
    moved = torch.cat([ids[rows, :19], ids[:, 19:]], 1)
    torch.testing.assert_close(found, eager(moved, use_cache=False).logits[:, -1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_row_of_padding_only() -> None:
    eager, ours = models(n_layer=1)
    ids, room = tokens(2, 12), torch.ones(2, ROOM, dtype=torch.int64, device=parity.DEVICE)
    room[1] = 0
    cache = filled(ours, ids[:, :11], room)
    found = ours(ids[:, 11:], attention_mask=room, past_key_values=cache).logits[:, 0]
    expected = eager(ids, attention_mask=room[:, :12], use_cache=False).logits[:, -1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_heads_that_were_pruned() -> None:
    eager, ours = models(n_head=4)
    for model in (eager, ours):
        model.prune_heads({0: [1, 2]})
    ids = tokens(2, 9)
    found = ours(ids[:, 8:], past_key_values=filled(ours, ids[:, :8], None)).logits[:, 0]
    torch.testing.assert_close(found, eager(ids, use_cache=False).logits[:, -1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_step_is_one_graph() -> None:
    """Compiled once, for every step, with a mask."""
    torch._dynamo.reset()
    counter: Any = CompileCounterWithBackend("aot_eager")
    eager, ours = models(n_positions=64)
    compiled = torch.compile(ours, backend=counter, fullgraph=True)
    ids, room = tokens(3, 24), PAD.to(parity.DEVICE)
    expected = eager(ids, attention_mask=room[:, :24], use_cache=False).logits
    cache = filled(ours, ids[:, :18], room)
    for column in range(18, 24):
        logits = compiled(ids[:, column : column + 1], attention_mask=room, past_key_values=cache).logits
        torch.testing.assert_close(logits[:, 0], expected[:, column], rtol=1e-4, atol=1e-5)
    assert counter.frame_count == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("search", [{}, {"do_sample": True}], ids=["greedy", "sampling"])
def test_generation_token_for_token(search: dict[str, Any]) -> None:
    """Cached, with fixed shapes, as uncached; prompts of two lengths."""
    torch._dynamo.reset()
    eager, ours = models(n_layer=1, pad_token_id=0)
    ids = tokens(2, 7)
    mask = torch.ones_like(ids)
    ids[1, :3] = mask[1, :3] = 0
    given = {"attention_mask": mask, "max_new_tokens": 6, "min_new_tokens": 6, **search}
    fixed = {"cache_implementation": "static", "compile_config": {"backend": "eager"}}
    found = []
    for model, options in ((eager, {"use_cache": False}), (ours, fixed)):
        torch.manual_seed(1)
        found.append(model.generate(ids, **given, **options))
    assert torch.equal(*found)
    assert "gpt2_decode" in ours.attention_report().names("decode")
    torch._dynamo.reset()


class TestSelection:
    def request(self, *needs: str, **changes: Any) -> AttentionRequest:
        options: dict[str, Any] = {"phase": "decode", "dtype": torch.float32, "heads": 2, "head_dim": 8}
        options |= {"device": parity.DEVICE, **changes}
        return AttentionRequest("gpt2", needs=frozenset(needs), **options)

    def test_what_it_serves(self) -> None:
        assert not DECODE.supports(self.request("causal", "cache", "fixed", "padding", "bias"))
        assert not DECODE.supports(self.request("cross", "cache", "padding"))

    @pytest.mark.parametrize("need", ["probs", "head_mask", "dense_mask", "packed", "dropout", "bias_grad"])
    def test_what_it_refuses(self, need: str) -> None:
        (reason,) = DECODE.supports(self.request("causal", "cache", "fixed", need))
        assert reason

    @pytest.mark.parametrize("phase", ["train", "encode", "prefill"])
    def test_other_phases(self, phase: str) -> None:
        (reason,) = DECODE.supports(self.request("causal", "cache", "fixed", phase=phase))
        assert reason.endswith(f"not for {phase}")

    def test_a_cache_whose_length_the_host_counts(self) -> None:
        (reason,) = DECODE.supports(self.request("causal", "cache"))
        assert "fix_shapes()" in reason

    def test_the_remedy_is_told_and_works(self) -> None:
        _, model = models(n_layer=1)
        model.set_attn_implementation("gpt2_decode")
        with pytest.raises(AttentionUnsupported, match="'gpt2_decode,auto' to fall back on it"):
            model(tokens(1, 3))
        model.set_attn_implementation("gpt2_decode,auto")
        model(tokens(1, 3))

    @pytest.mark.skipif(not interpreting(), reason="on a GPU it may")
    @torch.no_grad()
    def test_the_interpreter_does_not_select_it_by_itself(self) -> None:
        _, model = models(n_layer=1)
        model.set_attn_implementation(None)
        model(tokens(1, 1), past_key_values=filled(model, tokens(1, 3), None))
        assert "gpt2_decode" not in model.attention_report().names()


@torch.no_grad()
def test_calls_that_selection_would_not_make() -> None:
    _, model = models(n_layer=1)
    ids = tokens(1, 3)
    step: list[Any] = []
    model.transformer.h[0].attn.register_forward_pre_hook(lambda module, args: step.append(args[1].step))
    model(ids[:, 2:], past_key_values=filled(model, ids[:, :2], None))
    model(ids[:, 2:], past_key_values=StaticCache(config=model.config, max_cache_len=ROOM))
    q = torch.zeros(1, 2, 8, device=parity.DEVICE)
    with pytest.raises(ValueError, match="probabilities"):
        DECODE(q, q, q, step[1], scale=1.0, head_mask=q)
    with pytest.raises(ValueError, match="no fixed shapes"):
        DECODE(q, q, q, step[2], scale=1.0)
