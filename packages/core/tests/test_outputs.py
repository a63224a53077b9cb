from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields

import pytest
import torch
from torch.utils import _pytree

from formers import outputs
from formers.losses import LossTerm
from formers.outputs import BaseModelOutput, ModelOutput, SequenceClassifierOutput

ALL = [getattr(outputs, name) for name in outputs.__all__ if name != "ModelOutput"]


@dataclass
class Toy(ModelOutput):
    a: int | None = None
    b: int | None = None
    c: int | None = None


def test_reads_like_an_object_a_tuple_and_a_mapping() -> None:
    out = Toy(a=1, c=3)
    assert (out.a, out["a"], out[0]) == (1, 1, 1)
    assert out[1] == out[-1] == 3
    assert out[:2] == out.to_tuple() == (1, 3)
    assert list(out) == list(out.keys()) == ["a", "c"]
    assert list(out.values()) == [1, 3]
    assert dict(out) == dict(**out) == dict(out.items()) == {"a": 1, "c": 3}
    assert "a" in out
    assert "b" not in out
    assert len(out) == 2
    assert out.get("b", 5) == 5
    assert out.get("c") == 3
    assert out.b is None
    assert isinstance(out, Mapping)
    assert not Toy()


def test_missing_fields_raise() -> None:
    out = Toy(a=1)
    with pytest.raises(KeyError):
        out["b"]
    with pytest.raises(IndexError):
        out[1]
    with pytest.raises(KeyError, match="did you mean 'a'"):
        out["aa"] = 1
    with pytest.raises(KeyError, match="it has a, b, c"):
        out["zzz"] = 1


def test_assignment_both_ways() -> None:
    out = Toy(a=1)
    out.b = 2
    out["c"] = 3
    assert dict(out) == {"a": 1, "b": 2, "c": 3}
    out.a = None
    assert out.to_tuple() == (2, 3)


@pytest.mark.parametrize(
    "given", [{"a": 1, "c": 2}, [("a", 1), ("c", 2)], (("a", 1), ("c", 2)), iter({"a": 1, "c": 2}.items())]
)
def test_made_from_a_mapping_or_pairs(given: object) -> None:
    assert dict(Toy(given)) == {"a": 1, "c": 2}


def test_a_tuple_of_tensors_stays_what_it_is() -> None:
    states = (torch.zeros(1), torch.ones(1))
    assert Toy(states).a is states
    assert Toy([]).a == []


def test_half_a_mapping_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs of name and value"):
        Toy([("a", 1), 2])
    with pytest.raises(KeyError, match="no field 'x'"):
        Toy({"x": 1})


def test_fields_cannot_be_taken_away() -> None:
    out = Toy(a=1)
    for attempt in (out.pop, out.setdefault, out.update):
        with pytest.raises(TypeError, match="Toy"):
            attempt("a")
    with pytest.raises(TypeError, match="Toy"):
        del out["a"]


def test_an_undecorated_subclass_says_so() -> None:
    class Bare(ModelOutput):
        a: int | None = None

    with pytest.raises(TypeError, match="@dataclass"):
        Bare().to_tuple()


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_class_round_trips(cls: type[ModelOutput]) -> None:
    names = [field.name for field in fields(cls)]
    assert all(field.default is None for field in fields(cls))
    out = cls(**{name: torch.full((1,), float(i)) for i, name in enumerate(names) if i != 1})
    out.loss_terms = {"loss": LossTerm(torch.ones(()), torch.ones(()))}
    for again in (pickle.loads(pickle.dumps(out)), copy.deepcopy(out), copy.copy(out)):
        assert type(again) is cls
        assert list(again) == list(out)
        assert all(torch.equal(x, y) for x, y in zip(again.to_tuple(), out.to_tuple(), strict=True))
        assert again.loss_terms["loss"].sum == 1
    leaves, spec = _pytree.tree_flatten(out)
    assert [leaf.item() for leaf in leaves] == [x.item() for x in out.values()]
    assert list(_pytree.tree_unflatten(leaves, spec)) == list(out)


def test_loss_terms_is_no_field() -> None:
    out = SequenceClassifierOutput(loss=torch.ones(()))
    assert out.loss_terms is None
    out.loss_terms = {}
    assert list(out) == ["loss"]
    assert "loss_terms" not in {field.name for field in fields(out)}


def test_made_and_read_inside_a_compiled_graph() -> None:
    def forward(x: torch.Tensor) -> BaseModelOutput:
        inner = BaseModelOutput(last_hidden_state=x * 2, hidden_states=(x, x + 1))
        return BaseModelOutput(last_hidden_state=inner[0] + inner["hidden_states"][1], attentions=inner[1:])

    x = torch.randn(3)
    out = torch.compile(forward, backend="aot_eager", fullgraph=True)(x)
    assert type(out) is BaseModelOutput
    assert list(out) == ["last_hidden_state", "attentions"]
    assert torch.equal(out.last_hidden_state, forward(x).last_hidden_state)


def test_importing_outputs_leaves_torch_alone_and_pytrees_follow_later() -> None:
    program = """
import sys
from formers.outputs import BaseModelOutput
assert "torch" not in sys.modules
out = BaseModelOutput(last_hidden_state=1)
import torch
from torch.utils import _pytree
assert _pytree.tree_leaves(BaseModelOutput(last_hidden_state=2, attentions=3)) == [2, 3]
"""
    subprocess.run([sys.executable, "-c", program], check=True)
