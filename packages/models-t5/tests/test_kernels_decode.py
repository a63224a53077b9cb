"""A tiny T5 whose decoder's steps run ``t5_decode``: the same numbers as without a cache, by eager attention."""

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

from formers.attention import AttentionPass, AttentionRequest, DenseBias
from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache
from formers.layout import Layout
from formers_t5 import T5ForConditionalGeneration
from formers_t5.configuration import tiny_config
from formers_t5.decode import DECODE

pytestmark = pytest.mark.kernels

ROOM = 40  # in the interpreter 4 parts of one tile of 16 keys
PAD = torch.tensor([[1] * ROOM, [0] * 5 + [1] * (ROOM - 5), [0] * 13 + [1] * (ROOM - 13)])
SOURCE = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]])


def models(**options: Any) -> tuple[T5ForConditionalGeneration, T5ForConditionalGeneration]:
    """Two models of the same weights: one eager, one with the kernels wherever they can serve."""
    torch.manual_seed(0)
    made = [
        T5ForConditionalGeneration.from_config(tiny_config(**options), attn_implementation=attention)
        for attention in ("eager", "t5_decode,sdpa")
    ]
    with torch.no_grad():
        for key, parameter in made[0].named_parameters():
            parameter.normal_(0.0, 2.0 if "relative_attention_bias" in key else 0.3)
    made[1].load_state_dict(made[0].state_dict())
    first, second = (model.to(parity.DEVICE).eval() for model in made)
    return first, second


def tokens(*shape: int) -> Tensor:
    return torch.randint(2, 64, shape, device=parity.DEVICE)


def source(rows: int, *, padded: bool = True) -> dict[str, Tensor]:
    mask = SOURCE[:rows].to(parity.DEVICE)
    return {"input_ids": tokens(rows, 6), "attention_mask": mask if padded else torch.ones_like(mask)}


class Decoder:
    """The steps of a model over a cache of fixed shapes, with NaN behind what is filled."""

    def __init__(self, model: Any, given: dict[str, Tensor], ids: Tensor, room: Tensor | None) -> None:
        self.own = StaticCache(config=model.config, max_cache_len=ROOM)
        self.cache = EncoderDecoderCache(self.own, DynamicCache())
        self.options: dict[str, Any] = {
            "attention_mask": given["attention_mask"],
            "encoder_outputs": model.encoder(**given),
            "past_key_values": self.cache,
            "use_cache": True,
        }
        length = ids.shape[1]
        mask = None if room is None else room[:, :length]
        model(**self.options, decoder_input_ids=ids, decoder_attention_mask=mask)
        self.own.fix_shapes()
        for layer in self.own._static_layers():
            assert layer.room is not None
            for tensor in layer.room:
                tensor[:, :, length:] = torch.nan
        if room is not None:
            self.options["decoder_attention_mask"] = room

    def step(self, model: Any, ids: Tensor) -> Tensor:
        logits: Tensor = model(**self.options, decoder_input_ids=ids).logits[:, 0]
        return logits


@pytest.mark.parametrize("padded", [False, True], ids=["", "padded"])
@torch.no_grad()
def test_cached_is_as_uncached(padded: bool) -> None:
    """Beyond the reach of the bias's table too; with padding on the left, and gaps in the source."""
    eager, ours = models(relative_attention_max_distance=12, num_layers=1)
    given, ids = source(3, padded=padded), tokens(3, 36)
    room = PAD.to(parity.DEVICE) if padded else None
    mask = None if room is None else room[:, :36]
    expected = eager(**given, decoder_input_ids=ids, decoder_attention_mask=mask, use_cache=False).logits
    for prompt, length in ((15, 17), (31, 33)):
        decoder = Decoder(ours, given, ids[:, :prompt], room)
        for column in range(prompt, length):
            logits = decoder.step(ours, ids[:, column : column + 1])
            torch.testing.assert_close(logits, expected[:, column], rtol=1e-4, atol=1e-4)
    assert ours.decoder.attention_report().names("decode") == ["t5_decode"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@torch.no_grad()
def test_in_half_precision(dtype: torch.dtype) -> None:
    eager, ours = models(num_layers=1, num_decoder_layers=1)
    given, ids = source(2), tokens(2, 20)
    full = {"decoder_input_ids": ids, "use_cache": False}
    expected = eager(**given, **full).logits[:, -1]
    half = ours.to(dtype)
    found = Decoder(half, given, ids[:, :19], None).step(half, ids[:, 19:])
    error = parity.relative_error(found, expected)
    plain = parity.relative_error(eager.to(dtype)(**given, **full).logits[:, -1], expected)
    assert error <= 2 * plain


@torch.no_grad()
def test_rows_may_change_places() -> None:
    eager, ours = models(num_layers=1, num_decoder_layers=1)
    given, ids, rows = source(3), tokens(3, 20), torch.tensor([2, 0, 0], device=parity.DEVICE)
    decoder = Decoder(ours, given, ids[:, :18], None)
    decoder.step(ours, ids[:, 18:19])
    decoder.cache.reorder_cache(rows)
    decoder.options["attention_mask"] = given["attention_mask"][rows]
    found = decoder.step(ours, ids[:, 19:])
    moved = {name: tensor[rows] for name, tensor in given.items()}
    ids = torch.cat([ids[rows, :19], ids[:, 19:]], 1)
    expected = eager(**moved, decoder_input_ids=ids, use_cache=False).logits[:, -1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_heads_that_were_pruned() -> None:
    eager, ours = models(num_heads=4, num_layers=1, num_decoder_layers=1)
    for model in (eager, ours):
        model.decoder.block[0].layer[0].SelfAttention.prune_heads([1, 2])
    given, ids = source(2), tokens(2, 9)
    found = Decoder(ours, given, ids[:, :8], None).step(ours, ids[:, 8:])
    expected = eager(**given, decoder_input_ids=ids, use_cache=False).logits[:, -1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_step_is_one_graph() -> None:
    torch._dynamo.reset()
    counter: Any = CompileCounterWithBackend("aot_eager")
    eager, ours = models(num_layers=1, num_decoder_layers=1)
    compiled = torch.compile(ours, backend=counter, fullgraph=True)
    given, ids, room = source(3), tokens(3, 22), PAD.to(parity.DEVICE)
    mask = room[:, :22]
    expected = eager(**given, decoder_input_ids=ids, decoder_attention_mask=mask, use_cache=False).logits
    decoder = Decoder(ours, given, ids[:, :18], room)
    for column in range(18, 22):
        logits = decoder.step(compiled, ids[:, column : column + 1])
        torch.testing.assert_close(logits, expected[:, column], rtol=1e-4, atol=1e-4)
    assert counter.frame_count == 1
    torch._dynamo.reset()


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed shapes", "beams that share a source"])
def test_generation_token_for_token(fixed: bool) -> None:
    """Cached as uncached. Beams run without fixed shapes: the kernels serve their cross-attention."""
    torch._dynamo.reset()
    eager, ours = models(num_layers=1, num_decoder_layers=1)
    given: dict[str, Any] = {**source(2), "max_new_tokens": 6, "min_new_tokens": 6}
    options: dict[str, Any] = {"cache_implementation": "static"}
    if fixed:
        options["compile_config"] = {"backend": "eager"}
    else:
        given["num_beams"] = 3
    assert torch.equal(eager.generate(**given, use_cache=False), ours.generate(**given, **options))
    assert "t5_decode" in ours.decoder.attention_report().names("decode")
    torch._dynamo.reset()


class TestSelection:
    def request(self, *needs: str) -> AttentionRequest:
        return AttentionRequest("t5", "decode", parity.DEVICE, torch.float32, 2, 8, frozenset(needs))

    def test_what_it_serves(self) -> None:
        assert not DECODE.supports(self.request("causal", "cache", "fixed", "padding", "bias"))
        assert not DECODE.supports(self.request("cross", "cache", "padding"))

    @pytest.mark.parametrize(
        "needs",
        [("causal", "cache", "bias"), ("causal", "cache", "fixed", "bias_grad"), ("cross", "cache", "bias")],
        ids=" ".join,
    )
    def test_what_it_refuses(self, needs: tuple[str, ...]) -> None:
        (reason,) = DECODE.supports(self.request(*needs))
        assert reason

    def test_a_bias_that_is_not_by_distance(self) -> None:
        q = torch.zeros(1, 2, 8, device=parity.DEVICE)
        rows = Layout(1, 1, device=q.device)
        with pytest.raises(ValueError, match="by distance"):
            DECODE(q, q, q, AttentionPass(rows, rows), scale=1.0, bias=DenseBias(torch.zeros(1, 1, 1, 1)))
