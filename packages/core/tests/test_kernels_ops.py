"""Operators made of plain functions: gradients, shapes in compiled graphs, arguments that are written to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from formers.kernels.ops import Saved, define, differentiate, row_major

SCHEMA = "(Tensor x, Tensor? shift, float scale, SymInt size) -> (Tensor, Tensor)"


def launch(x: Tensor, shift: Tensor | None, scale: float, size: int) -> tuple[Tensor, Tensor]:
    assert x.shape[0] == size
    squared = x.detach() ** 2 * scale
    return (squared if shift is None else squared + shift), x.sum(1)


def fake(x: Tensor, shift: Tensor | None, scale: float, size: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(x.shape[:1])


def launch_backward(grad: Tensor, x: Tensor, scale: float) -> Tensor:
    return grad.contiguous() * 2 * x * scale


@pytest.fixture(scope="module")
def square() -> Any:
    square = define("formers_test::square", SCHEMA, launch, fake)
    backward = define(
        "formers_test::square_backward",
        "(Tensor grad, Tensor x, float scale) -> Tensor",
        launch_backward,
        lambda grad, x, scale: torch.empty_like(x),
    )

    def gradients(saved: Saved, given: tuple[Tensor | None, ...]) -> dict[str, Tensor | None]:
        (grad, _) = given
        assert grad is not None
        assert saved.sums.shape == saved.x.shape[:1]
        assert saved.size == len(saved.x)
        return {"x": backward(grad, saved.x, saved.scale), "shift": None if saved.shift is None else grad}

    differentiate(square, gradients, outputs=("", "sums"))
    return square


@pytest.mark.parametrize("shifted", [False, True])
def test_gradients(square: Any, shifted: bool) -> None:
    x = torch.randn(3, 4, requires_grad=True)
    shift = torch.randn(3, 4, requires_grad=True) if shifted else None
    out = square(x, shift, 0.5, 3)[0]
    out.sum().backward()
    torch.testing.assert_close(x.grad, x.detach())
    if shift is not None:
        assert shift.grad is not None
        assert (shift.grad == 1).all()


def test_nothing_is_computed_for_what_needs_no_gradient(square: Any) -> None:
    assert not square(torch.randn(3, 4), None, 1.0, 3)[0].requires_grad


def test_it_keeps_its_promises_to_pytorch(square: Any) -> None:
    torch.library.opcheck(square, (torch.randn(3, 4, requires_grad=True), None, 0.5, 3))


def test_it_is_one_node_of_a_graph(square: Any) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x: square(x, None, 2.0, x.shape[0])[0].sin(), backend="aot_eager", fullgraph=True
    )
    for size in (3, 5, 6):
        x = torch.randn(size, 4, requires_grad=True)
        (gradient,) = torch.autograd.grad(compiled(x).sum(), [x])
        torch.testing.assert_close(gradient, torch.cos(2 * x**2) * 4 * x)
    torch._dynamo.reset()


def test_what_was_not_saved_is_missing() -> None:
    class Context:
        names = ("x",)
        saved_tensors = (torch.ones(1),)
        plain = {"scale": 2.0}  # noqa: RUF012

    saved = Saved(Context())
    assert saved.scale == 2.0
    with pytest.raises(AttributeError, match="colour"):
        _ = saved.colour


def test_an_argument_may_be_written_to() -> None:
    def write(cache: Tensor, value: Tensor) -> None:
        cache[0] = value

    operator = define(
        "formers_test::write",
        "(Tensor(a!) cache, Tensor value) -> ()",
        write,
        lambda cache, value: None,
        mutates=("cache",),
    )
    cache = torch.zeros(2, 3)
    operator(cache, torch.ones(3))
    assert cache[0].tolist() == [1.0, 1.0, 1.0]
    torch.library.opcheck(operator, (torch.zeros(2, 3), torch.ones(3)))


def test_row_major() -> None:
    tensor = torch.randn(3, 4, 5)
    assert row_major(tensor[:, 1:, :2]) is not None
    sliced = tensor[:, 1:, :2]
    assert row_major(sliced) is sliced
    turned = tensor.transpose(1, 2)
    assert row_major(turned).stride(-1) == 1
    assert torch.equal(row_major(turned), turned)
