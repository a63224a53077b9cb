"""Kernels as operators of PyTorch, so that they have gradients and fit into compiled graphs.

A launch becomes a ``torch.library.custom_op``: a graph sees one opaque operator whose outputs' shapes it knows. The
backward is a second operator. (``triton_op``, which would show the kernel to the compiler, refuses interpreted kernels
under torch 2.11 and fails to compile them under 2.13; see docs/adr/0015.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Saved", "define", "differentiate", "row_major"]

_DEVICES = ("cpu", "cuda")


class Saved:
    """What a backward finds of its forward: tensors by name, and everything else by name.

    Attribute access gives either; tensors go through ``save_for_backward``, as checkpointing and hooks want it.
    """

    def __init__(self, ctx: Any) -> None:
        values: dict[str, Any] = dict(ctx.plain)
        values.update(zip(ctx.names, ctx.saved_tensors, strict=True))
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None


def define(
    name: str,
    schema: str,
    launch: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    mutates: Iterable[str] = (),
) -> Any:
    """Register an operator and return it, callable.

    Args:
        name: ``"package::operator"``.
        schema: such as ``"(Tensor q, SymInt longest, float scale) -> (Tensor, Tensor)"``; sizes that may vary are
            SymInt.
        launch: computes it; called with real tensors on a CPU (where kernels are interpreted) or GPU. Its outputs share
            no memory with its inputs.
        fake: the same outputs as empty tensors; called with shapes only.
        mutates: names of the arguments that it writes to.
    """
    operator = torch.library.custom_op(
        name, launch, mutates_args=tuple(mutates), device_types=_DEVICES, schema=schema
    )
    operator.register_fake(fake)
    return operator


def differentiate(
    operator: Any,
    backward: Callable[[Saved, tuple[Tensor | None, ...]], dict[str, Tensor | None]],
    *,
    outputs: tuple[str, ...] = (),
) -> None:
    """Give an operator its gradient.

    Args:
        operator: from :func:`define`.
        backward: from the saved arguments and outputs, and the gradients of the outputs, to the gradients of the
            arguments that have one, by name. It calls the operator's backward operator. Gradients come as autograd has
            them, expanded views too: :func:`row_major` is for the launch.
        outputs: names under which the outputs are saved, in their order; "" for one that is not needed.
    """
    arguments = [argument.name for argument in operator._opoverload._schema.arguments]

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        results = output if isinstance(output, tuple) else (output,)
        values = dict(zip(arguments, inputs, strict=True))
        values.update((name, value) for name, value in zip(outputs, results, strict=False) if name)
        ctx.names = tuple(name for name, value in values.items() if isinstance(value, Tensor))
        ctx.plain = {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        ctx.save_for_backward(*(values[name] for name in ctx.names))

    def apply(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        found = backward(Saved(ctx), gradients)
        return tuple(found.get(name) for name in arguments)

    operator.register_autograd(apply, setup_context=setup)


def row_major(tensor: Tensor) -> Tensor:
    """The tensor itself if its last axis is dense, else a copy that is: what pointer arithmetic in a kernel assumes."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] <= 1 else tensor.contiguous()
