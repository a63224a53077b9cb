from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from formers import outputs

pytestmark = pytest.mark.parity

NAMES = [name for name in outputs.__all__ if name != "ModelOutput"]


@pytest.fixture(scope="module")
def theirs() -> Any:
    return pytest.importorskip("transformers.modeling_outputs")


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_those_of_transformers_in_their_order(theirs: Any, name: str) -> None:
    ours = [(field.name, field.default) for field in dataclasses.fields(getattr(outputs, name))]
    assert ours == [(field.name, field.default) for field in dataclasses.fields(getattr(theirs, name))]


def behaviour(cls: Any) -> dict[str, Any]:
    """What an output shows of itself, by every way of looking at it."""
    x, y = torch.ones(2), torch.zeros(2)
    out = cls(logits=x, attentions=(y,))
    seen: dict[str, Any] = {
        "keys": list(out.keys()),
        "iteration": list(out),
        "length": len(out),
        "identity": out["logits"] is out.logits is out[0] is x,
        "slice": [len(out[:1]), len(out[1:]), len(out[5:])],
        "items": [(key, type(value)) for key, value in out.items()],
        "as a dict": list(dict(out)),
        "as keywords": list(dict(**out)),
        "tuple": [type(value) for value in out.to_tuple()],
        "contains": ["logits" in out, "loss" in out, "nonsense" in out],
        "get": [out.get("loss"), out.get("loss", 3), out.get("attentions") == (y,)],
        "none": out.loss,
        "from a mapping": list(cls({"logits": x, "loss": y})) and sorted(cls({"logits": x, "loss": y})),
        "from pairs": sorted(cls([("logits", x), ("loss", y)])),
        "first field": list(cls(x)),
        "empty": [len(cls()), bool(cls()), cls().to_tuple()],
    }
    for refused in ("pop", "setdefault", "update"):
        with pytest.raises(Exception):  # noqa: B017 - the types differ
            getattr(out, refused)("logits")
    with pytest.raises(Exception):  # noqa: B017
        del out["logits"]
    for key, error in (("loss", KeyError), ("nonsense", KeyError), (7, IndexError)):
        with pytest.raises(error):
            out[key]
    out.loss = y
    out["hidden_states"] = (x,)
    seen["after assignment"] = sorted(out.keys())
    return seen


@pytest.mark.parametrize("name", ["CausalLMOutput", "SequenceClassifierOutput", "TokenClassifierOutput"])
def test_an_output_behaves_like_transformers(theirs: Any, name: str) -> None:
    assert behaviour(getattr(outputs, name)) == behaviour(getattr(theirs, name))
