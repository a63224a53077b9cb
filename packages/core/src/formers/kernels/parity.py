"""Comparing attention kernels with float64: cases, inputs in poisoned memory, the reference, the tolerances.

For the tests of every package that has kernels, ours and others'. They run on a GPU, or in Triton's interpreter where
TRITON_INTERPRET=1 is set before Triton is imported: see docs/adr/0015 and CONTRIBUTING.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from .spans import Spans
from .support import interpreting

__all__ = [
    "DEVICE",
    "TOLERANCES",
    "Case",
    "Inputs",
    "check",
    "edges",
    "keep_mask",
    "poisoned",
    "reference",
    "relative_error",
    "why_not",
]

DEVICE = "cpu" if interpreting() else "cuda"

TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Of the norm of the error over the norm of the reference, which has the same rounded inputs."""

_GUARD = 3  # rows of NaN before and after the tokens


def why_not() -> str:
    """Why kernels cannot run in this process; empty if they can. The reason of a ``pytest.skip``."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    if not interpreting() and not torch.cuda.is_available():
        return "no GPU, and TRITON_INTERPRET is not set"
    return ""


def edges(block: int) -> tuple[int, ...]:
    """Lengths at which tiles of that size go wrong: nothing, one, and around one tile."""
    return 0, 1, block - 1, block, block + 1


@dataclass(frozen=True)
class Case:
    """One attention call.

    Attributes:
        queries: tokens of each document.
        keys: the same for keys; None: they are the queries' documents.
        band: (low, high) of a bias by distance, as :class:`formers.attention.BiasTable` has it; None without bias.
        scale: factor of the scores.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...] | None = None
    heads: int = 2
    key_heads: int | None = None
    head_dim: int = 16
    dtype: torch.dtype = torch.float32
    causal: bool = False
    band: tuple[int, int] | None = None
    scale: float = 0.3

    def __str__(self) -> str:
        marks = [f"{self.queries}" if self.keys is None else f"{self.queries}x{self.keys}"]
        marks += [f"{self.heads}h{self.head_dim}", str(self.dtype).removeprefix("torch.")]
        marks += ["causal"] * self.causal + ([] if self.band is None else [f"band{self.band}"])
        return "-".join(marks).replace(" ", "")

    def inputs(self, seed: int = 0) -> Inputs:
        """Random tensors on the device: slices of larger ones, whose other entries are NaN."""
        generator = torch.Generator().manual_seed(seed)
        keys = self.queries if self.keys is None else self.keys
        key_heads = self.heads if self.key_heads is None else self.key_heads
        q = _within_nan(sum(self.queries), self.heads, self.head_dim, self.dtype, generator)
        k = _within_nan(sum(keys), key_heads, self.head_dim, self.dtype, generator)
        v = _within_nan(sum(keys), key_heads, self.head_dim, self.dtype, generator)
        grad = torch.randn(q.shape, generator=generator).to(self.dtype).to(DEVICE)
        table = None
        if self.band is not None:
            table = torch.randn(self.heads, sum(self.band) + 1, generator=generator).to(DEVICE)
        return Inputs(self, q, k, v, grad, table, _spans(self.queries), _spans(keys))


@dataclass(frozen=True)
class Inputs:
    """The tensors of a case.

    Attributes:
        q: [query tokens, heads, head_dim], not contiguous.
        k: [key tokens, key heads, head_dim], not contiguous.
        v: like ``k``.
        grad: of the output.
        table: float32 [heads, low + high + 1], or None.
        query: where the documents of the queries lie.
        key: where those of the keys lie.
    """

    case: Case
    q: Tensor
    k: Tensor
    v: Tensor
    grad: Tensor
    table: Tensor | None
    query: Spans
    key: Spans

    def leaves(self) -> list[Tensor]:
        """q, k, v and the table if there is one, requiring gradients, with the strides that they have."""
        given = [self.q, self.k, self.v] + ([] if self.table is None else [self.table])
        return [tensor.detach().requires_grad_() for tensor in given]


def reference(
    inputs: Inputs, *, dropout: float = 0.0, kept: Mapping[tuple[int, int], Tensor] | None = None
) -> dict[str, Tensor]:
    """``out``, ``lse`` [heads, query tokens] and the gradients ``q``, ``k``, ``v`` and ``table``, in float64.

    Args:
        inputs: the tensors.
        dropout: the exact probability of dropping.
        kept: with dropout, the mask [queries, keys] of each (document, head); see :func:`keep_mask`.
    """
    case = inputs.case
    leaves = [leaf.detach().double().cpu().requires_grad_() for leaf in inputs.leaves()]
    q, k, v = leaves[:3]
    groups = case.heads // k.shape[1]
    out, lse = torch.zeros_like(q), torch.full((case.heads, len(q)), -torch.inf, dtype=torch.float64)
    rows = []
    for document, (start, end) in enumerate(inputs.query.bounds.T.tolist()):
        key_start, key_end = inputs.key.bounds[:, document].tolist()
        for head in range(case.heads):
            keys, values = (tensor[key_start:key_end, head // groups] for tensor in (k, v))
            scores = q[start:end, head] @ keys.T * case.scale
            ahead = (key_end - key_start) - (end - start)  # the last query stands at the last key
            distance = torch.arange(key_end - key_start) - torch.arange(end - start)[:, None] - ahead
            if case.band is not None:
                low, high = case.band
                scores = scores + leaves[3][head][distance.clamp(-low, high) + low]
            read = distance <= 0 if case.causal else distance == distance
            if not read.numel():
                continue
            scores = torch.where(read, scores, torch.finfo(torch.float64).min)
            probs = torch.where(read, scores.softmax(-1), 0.0)
            if kept is not None:
                mask = kept[document, head].cpu()
                probs = torch.where(mask, probs / (1 - dropout), 0.0)
            rows.append((slice(start, end), head, probs @ values))
            seen = torch.where(read, scores, -torch.inf).logsumexp(-1)
            lse[head, start:end] = seen.detach()
    for span, head, values in rows:
        out = out.index_put((torch.arange(span.start, span.stop), torch.tensor(head)), values)
    found = torch.autograd.grad(out, leaves, inputs.grad.double().cpu(), allow_unused=True)
    names = ("q", "k", "v", "table")[: len(leaves)]
    gradients = {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for name, leaf, gradient in zip(names, leaves, found, strict=True)
    }
    return {"out": out.detach(), "lse": lse, **gradients}


def check(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Compare what ``found`` holds with the reference.

    Raises:
        AssertionError: something is not finite where the reference is, or further from it than
            :data:`TOLERANCES` allow; names all that is.
    """
    wrong = []
    for name, tensor in found.items():
        exact = expected[name]
        if tensor.shape != exact.shape:
            wrong.append(f"{name} has shape {tuple(tensor.shape)}, not {tuple(exact.shape)}")
            continue
        limit = TOLERANCES[torch.float32] if name == "lse" and dtype == torch.float32 else TOLERANCES[dtype]
        error = relative_error(tensor, exact)
        if not error <= limit:
            wrong.append(f"{name} is off by {error:.2e}, more than {limit:.0e}")
    assert not wrong, "; ".join(wrong)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference over that of ``expected``; equal infinities do not differ, NaN always does."""
    found, expected = found.detach().double().cpu(), expected.double().cpu()
    difference = torch.where(found == expected, 0.0, found - expected)
    size = torch.where(expected.isinf(), 0.0, expected).norm()
    return float(difference.norm() / torch.where(size > 0, size, 1.0))


@contextlib.contextmanager
def poisoned() -> Iterator[None]:
    """Memory that PyTorch hands out uninitialised holds NaN meanwhile: what a kernel forgets to write shows."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # which fills by default
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def keep_mask(seed: int, stream: int, rows: int, columns: int, threshold: int) -> Tensor:
    """What :func:`formers.kernels.steps.keep_tile` must give for all of a document's scores, bool [rows, columns].

    Philox4x32 with 7 rounds written out in integers (Salmon et al. 2011, section 2.2).
    """
    word = 0xFFFFFFFF
    groups = -(-columns // 8)
    a = torch.arange(groups).expand(rows, -1)
    b = torch.arange(rows)[:, None].expand(-1, groups)
    c, d = torch.full_like(a, stream), torch.zeros_like(a)
    low_key, high_key = seed & word, seed >> 32 & word
    for _ in range(7):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57  # low 64 bits; the shifts below take no sign along
        a, b, c, d = (
            (right >> 32 & word) ^ b ^ low_key,
            right & word,
            (left >> 32 & word) ^ d ^ high_key,
            left & word,
        )
        low_key, high_key = low_key + 0x9E3779B9 & word, high_key + 0xBB67AE85 & word
    halves = [half for bits in (a, b, c, d) for half in (bits & 0xFFFF, bits >> 16)]
    # a and c come from the products' upper words, b and d from the lower: the order in which a group is filled.
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    return torch.stack([halves[index] for index in order], -1).flatten(1)[:, :columns] >= threshold


def _within_nan(
    tokens: int, heads: int, head_dim: int, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    """[tokens, heads, head_dim] of normal values, cut out of a tensor whose rest is NaN."""
    room = torch.full((tokens + 2 * _GUARD, heads, 2 * head_dim), torch.nan, dtype=dtype)
    room[_GUARD : _GUARD + tokens, :, :head_dim] = torch.randn(
        tokens, heads, head_dim, generator=generator
    ).to(dtype)
    return room.to(DEVICE)[_GUARD : _GUARD + tokens, :, :head_dim]


def _spans(lengths: tuple[int, ...]) -> Spans:
    bounds = list(accumulate(lengths, initial=0))
    pairs = torch.tensor(list(pairwise(bounds)), dtype=torch.int32).view(-1, 2).T.contiguous()
    return Spans(pairs.to(DEVICE), max(lengths, default=0))
