"""Putting stored tensors into a model: what fits, what is refused, what is reported."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from formers.checkpoint.load import Declarations, load_into
from formers.checkpoint.locate import locate
from formers.checkpoint.rules import Legacy, Rename
from formers.checkpoint.save import write_checkpoint
from formers.checkpoint.source import Checkpoint, StateDict, open_checkpoint
from formers.errors import (
    CorruptFileError,
    FormersWarning,
    LoadError,
    MissingWeightsError,
    MissingWeightsWarning,
    ShapeMismatchError,
    UnexpectedWeightsWarning,
)
from formers.files.commit import Commit
from formers.files.folder import Folder

VOCABULARY, HIDDEN = 12, 4


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList(nn.Linear(HIDDEN, 2 * HIDDEN) for _ in range(2))
        self.norm = nn.LayerNorm(HIDDEN)
        self.register_buffer("position_ids", torch.arange(8), persistent=False)
        self.register_buffer("mean", torch.zeros(HIDDEN))


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base = Base()
        self.decoder = nn.Linear(HIDDEN, VOCABULARY)
        self.classifier = nn.Linear(HIDDEN, 3)


TIES = {"decoder.weight": "base.embeddings.weight"}
DECLARED = Declarations(
    base_prefix="base", optional=(r"^classifier\.",), ignored=(r"position_ids$",), tied=TIES
)


def on_meta(kind: type[nn.Module]) -> Any:
    with torch.device("meta"):
        return kind()


def values(kind: type[nn.Module], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(t.shape, generator=generator) for key, t in kind().state_dict().items()}


def quiet(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def tied_values() -> dict[str, Tensor]:
    state = values(Head)
    return state | {"decoder.weight": state["base.embeddings.weight"]}


def test_a_meta_model_gets_every_weight() -> None:
    model, state = on_meta(Head), tied_values()
    report = load_into(model, StateDict(state), DECLARED)
    assert all(torch.equal(found, state[key]) for key, found in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in model.parameters())
    assert model.decoder.weight is model.base.embeddings.weight
    assert report.tied == TIES
    assert set(report.origins) == set(state) - set(TIES)
    assert [report[key] for key in report] == [[], [], [], []]
    assert report.initialised == []


def test_the_model_shares_nothing_with_a_state_dict() -> None:
    model, state = on_meta(Base), values(Base)
    load_into(model, StateDict(state))
    state["norm.weight"].zero_()
    assert bool(model.norm.weight.any())


def save(folder: Path, state: dict[str, Tensor], **options: Any) -> Checkpoint:
    with Commit(folder) as commit:
        write_checkpoint(commit, state, **options)
    opened = Folder.open(folder)
    return open_checkpoint(opened, locate(opened))


def test_mapped_weights_are_not_copied(tmp_path: Path) -> None:
    checkpoint, model = save(tmp_path, values(Base)), on_meta(Base)
    report = load_into(model, checkpoint)
    for key, tensor in model.state_dict().items():
        assert tensor.data_ptr() == checkpoint.tensor(key).data_ptr()
    assert report.origins["norm.weight"].file == "model.safetensors"
    assert report.source == str(tmp_path / "model.safetensors")


def test_training_on_mapped_weights_does_not_reach_the_file(tmp_path: Path) -> None:
    model = on_meta(Base)
    load_into(model, save(tmp_path, values(Base)))
    before = (tmp_path / "model.safetensors").read_bytes()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_base_and_head_load_each_other() -> None:
    head = tied_values()
    base = on_meta(Base)
    with pytest.warns(
        UnexpectedWeightsWarning, match=r"Weights from state_dict not used in Base: \['classifier\.bias'"
    ):
        report = load_into(base, StateDict(head), DECLARED)
    assert torch.equal(base.layers[1].weight, head["base.layers.1.weight"])
    assert report.unexpected_keys == sorted(key for key in head if not key.startswith("base."))

    model = on_meta(Head)
    with pytest.raises(
        MissingWeightsError, match=r"1 of 11 weights of Head are missing: \['decoder\.bias'\]"
    ):
        load_into(model, StateDict(base.state_dict()), DECLARED)
    declared = Declarations(base_prefix="base", optional=(r"^classifier\.", r"^decoder\.bias$"), tied=TIES)
    with pytest.warns(
        MissingWeightsWarning, match="Weights from Head not initialized from pretrained model state_dict"
    ):
        report = load_into(model, StateDict(base.state_dict()), declared)
    assert (
        report.missing_keys == report.initialised == ["classifier.bias", "classifier.weight", "decoder.bias"]
    )
    assert model.decoder.weight is model.base.embeddings.weight
    assert model.classifier.weight.is_meta


@pytest.mark.parametrize("key", list(values(Base)))
def test_every_weight_that_is_not_optional_must_be_there(key: str) -> None:
    state = {name: value for name, value in values(Base).items() if name != key}
    with pytest.raises(MissingWeightsError, match=rf"1 of 8 weights of Base are missing: \['{key}'\]"):
        load_into(on_meta(Base), StateDict(state))
    model = on_meta(Base)
    with pytest.warns(MissingWeightsWarning, match=key):
        report = load_into(model, StateDict(state), strict=False)
    assert report.initialised == [key]
    assert [name for name, tensor in model.state_dict().items() if tensor.is_meta] == [key]


def test_nothing_matches_is_always_an_error() -> None:
    state = {f"x{index}": torch.ones(1) for index in range(30)}
    for strict in (True, False):
        with pytest.raises(MissingWeightsError, match=r"0 of 8 weights of Base matched.*'x0'.*and 10 more"):
            load_into(on_meta(Base), StateDict(state), Declarations(optional=(".",)), strict=strict)


def test_a_wrong_prefix_is_diagnosed() -> None:
    state = {f"module.{key}": value for key, value in values(Base).items()}
    with pytest.raises(MissingWeightsError, match=r"all 8 keys match after removing the prefix 'module\.'"):
        load_into(on_meta(Base), StateDict(state))


def test_shapes_must_match_and_both_are_named() -> None:
    state = values(Base) | {"norm.weight": torch.ones(5), "layers.0.bias": torch.ones(1, 8)}
    with pytest.raises(ShapeMismatchError) as caught:
        load_into(on_meta(Base), StateDict(state))
    assert "norm.weight: stored as (5,), (4,) in the model" in str(caught.value)
    assert "layers.0.bias: stored as (1, 8), (8,) in the model" in str(caught.value)
    model = on_meta(Base)
    with pytest.warns(MissingWeightsWarning, match="norm.weight"):
        report = load_into(model, StateDict(state), ignore_mismatched_sizes=True)
    assert report.mismatched_keys == [("layers.0.bias", (1, 8), (8,)), ("norm.weight", (5,), (4,))]
    assert report.initialised == ["layers.0.bias", "norm.weight"]
    assert model.norm.weight.is_meta


def test_at_most_twenty_mismatches_are_listed() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(30))

    state = {key: torch.ones(3) for key in Deep().state_dict()}
    with pytest.raises(ShapeMismatchError, match="and 40 more") as caught:
        load_into(on_meta(Deep), StateDict(state))
    assert str(caught.value).count("stored as") == 20


def test_transposed_matrices_are_diagnosed() -> None:
    state = {
        key: value.t() if "layers" in key and value.ndim == 2 else value
        for key, value in values(Base).items()
    }
    with pytest.raises(ShapeMismatchError, match="all 2 tensors of another shape match after transposing"):
        load_into(on_meta(Base), StateDict(state))


KINDS = {
    "float": [torch.float16, torch.bfloat16, torch.float32, torch.float64],
    "integer": [torch.int8, torch.uint8, torch.int32, torch.int64],
    "bool": [torch.bool],
    "complex": [torch.complex64],
}


@pytest.mark.parametrize(
    ("stored", "wanted"),
    list(
        itertools.product(
            itertools.chain.from_iterable(KINDS.values()), [torch.float32, torch.int64, torch.bool]
        )
    ),
)
def test_kinds_must_match_and_types_within_a_kind_are_converted(
    stored: torch.dtype, wanted: torch.dtype
) -> None:
    module: Any = nn.Module()
    module.register_buffer("a", torch.zeros(2, dtype=wanted))
    source = StateDict({"a": torch.ones(2).to(stored)})
    if any(stored in kind and wanted in kind for kind in KINDS.values()):
        report = load_into(module, source, dtype=torch.float32)
        assert module.a.dtype == wanted
        assert bool((module.a == 1).all())
        assert bool(report.dtype_changes) == (stored != wanted)
    else:
        name = str(stored).removeprefix("torch.")
        with pytest.raises(ShapeMismatchError, match=f"a: stored as {name}, "):
            load_into(module, source, dtype=torch.float32, ignore_mismatched_sizes=True)


def test_the_type_of_floating_point_weights() -> None:
    state = values(Base)
    for dtype, kept in ((torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)):
        model = on_meta(Base)
        report = load_into(model, StateDict(state), Declarations(float32=(r"^norm\.",)), dtype=dtype)
        types = {key: tensor.dtype for key, tensor in model.state_dict().items()}
        assert types.pop("norm.weight") == types.pop("norm.bias") == kept
        assert set(types.values()) == {dtype}
        assert report.dtype_changes["mean"] == ("float32", str(dtype).removeprefix("torch."))
        assert ("norm.weight" in report.dtype_changes) == (kept != torch.float32)
    load_into(model, StateDict(state | {"mean": torch.zeros(HIDDEN).double()}))
    assert model.mean.dtype == torch.float64


def test_old_and_renamed_keys_are_read(tmp_path: Path) -> None:
    rules = (Rename("encoder.layer.{i}", "layers.{i}"), Legacy("norm.gamma", "norm.weight"))
    state, model = values(Base), on_meta(Base)
    stored = {
        key.replace("layers.", "encoder.layer.").replace("norm.weight", "norm.gamma"): v
        for key, v in state.items()
    }
    report = load_into(model, StateDict(stored), Declarations(rules=rules))
    assert all(torch.equal(found, state[key]) for key, found in model.state_dict().items())
    assert report.origins["norm.weight"].key == "norm.gamma"
    save(tmp_path, model.state_dict(), rules=rules)
    again = on_meta(Base)
    load_into(again, save(tmp_path, model.state_dict(), rules=rules), Declarations(rules=rules))
    assert all(torch.equal(found, state[key]) for key, found in again.state_dict().items())


def test_ignored_tensors_are_dropped_without_a_word() -> None:
    report = load_into(on_meta(Base), StateDict(values(Base) | {"position_ids": torch.arange(8)}), DECLARED)
    assert report.ignored == ["position_ids"]
    assert report.unexpected_keys == []


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("stored", [s for n in range(4) for s in itertools.combinations("abc", n)])
@pytest.mark.parametrize("equal", [True, False])
def test_law_of_ties(declared: bool, stored: tuple[str, ...], equal: bool) -> None:
    """Every subset of stored members, tied or not, equal or not: nothing is tied against its stored value."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in "abcx":
                setattr(self, name, nn.Parameter(torch.empty(3)))

    state = {name: torch.full((3,), 1.0 if equal else float(ord(name))) for name in stored} | {
        "x": torch.zeros(3)
    }
    ties = {"b": "a", "c": "a"} if declared else {}
    model = on_meta(Tied)
    report = quiet(load_into, model, StateDict(state), Declarations(tied=ties), strict=False)
    for name in stored:
        assert torch.equal(getattr(model, name), state[name])
    if not declared:
        assert report.tied == report.untied == {}
        assert report.initialised == sorted(set("abc") - set(stored))
        return
    assert report.initialised == ([] if stored else ["a", "b", "c"])
    for alias in "bc" if stored else "":
        assert (getattr(model, alias) is model.a) == (alias in report.tied)
        different = alias in stored and not torch.equal(state[alias], model.a)
        assert (alias in report.untied) == different == (alias not in report.tied)


def test_ties_that_do_not_hold_are_warned_about() -> None:
    model, state = on_meta(Head), values(Head)
    with pytest.warns(FormersWarning, match=r"not tied: \['decoder\.weight and base\.embeddings\.weight'\]"):
        report = load_into(model, StateDict(state), DECLARED)
    assert report.untied == TIES
    assert torch.equal(model.decoder.weight, state["decoder.weight"])


@pytest.mark.filterwarnings("error")
def test_ties_that_need_not_hold_are_reported_only() -> None:
    declared = replace(DECLARED, apart=["decoder.weight"])
    assert load_into(on_meta(Head), StateDict(values(Head)), declared).untied == TIES


def test_a_module_that_is_held_twice_is_one_place() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Embedding(3, 2)
            self.embed = self.shared

    for stored in (["shared"], ["embed"], ["shared", "embed"]):
        model = on_meta(Twice)
        load_into(model, StateDict({f"{name}.weight": torch.ones(3, 2) for name in stored}))
        assert torch.equal(model.shared.weight, torch.ones(3, 2))
    with pytest.raises(CorruptFileError, match="one module under both names"):
        load_into(
            on_meta(Twice), StateDict({"shared.weight": torch.ones(3, 2), "embed.weight": torch.zeros(3, 2)})
        )


def test_a_pickle_that_stores_one_tensor_twice_does_not_tie_the_model(tmp_path: Path) -> None:
    state = values(Base)
    torch.save(state | {"norm.bias": state["norm.weight"]}, tmp_path / "pytorch_model.bin")
    folder, model = Folder.open(tmp_path), on_meta(Base)
    load_into(model, quiet(lambda: open_checkpoint(folder, locate(folder))))
    with torch.no_grad():
        model.norm.weight.zero_()
    assert torch.equal(model.norm.bias, state["norm.weight"])


def test_values_that_are_not_finite_can_be_refused() -> None:
    state = values(Base) | {"norm.weight": torch.tensor([1.0, float("nan"), 1, 1])}
    load_into(on_meta(Base), StateDict(state))
    with pytest.raises(CorruptFileError, match=r"'norm\.weight' has NaN"):
        load_into(on_meta(Base), StateDict(state), check_finite=True)


def test_a_state_dict_holds_tensors() -> None:
    for bad in (3, torch.empty(1, device="meta")):
        with pytest.raises(LoadError, match=r"state_dict\['a'\]"):
            StateDict({"a": bad})


def test_nothing_is_read_before_everything_is_decided() -> None:
    class Unreadable(StateDict):
        def tensor(
            self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
        ) -> Tensor:
            raise AssertionError(key)

    state = values(Base)
    for damaged in ({"norm.weight": torch.ones(5)}, {"norm.weight": torch.ones(4, dtype=torch.int64)}):
        with pytest.raises(ShapeMismatchError):
            load_into(on_meta(Base), Unreadable(state | damaged))
    del state["norm.weight"]
    with pytest.raises(MissingWeightsError):
        load_into(on_meta(Base), Unreadable(state))


def test_the_report_is_a_receipt() -> None:
    report = quiet(
        load_into,
        on_meta(Head),
        StateDict(tied_values() | {"extra": torch.ones(1)}),
        DECLARED,
        dtype=torch.float16,
    )
    assert json.loads(report.to_json()) == report.to_dict()
    assert dict(report) == {
        "missing_keys": [],
        "unexpected_keys": ["extra"],
        "mismatched_keys": [],
        "error_msgs": [],
    }
    text = str(report)
    for part in (
        "Head from state_dict: 11 tensors loaded",
        "1 unexpected, dropped: ['extra']",
        "float32 to float16",
    ):
        assert part in text
    with pytest.raises(KeyError):
        report["origins"]


def test_a_real_model_is_filled_as_well() -> None:
    model, state = Base(), values(Base)
    load_into(model, StateDict(state))
    assert all(torch.equal(found, state[key]) for key, found in model.state_dict().items())
