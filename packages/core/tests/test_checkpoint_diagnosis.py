"""A corpus of damaged checkpoints, each with the diagnosis that a user should read."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from published_keys import NAMES, published_keys

from formers.checkpoint.diagnosis import diagnose

Shapes = dict[str, tuple[int, ...]]


def model(layers: int = 3, hidden: int = 8) -> Shapes:
    shapes: Shapes = {"toy.embeddings.weight": (32, hidden), "toy.norm.weight": (hidden,), "head.bias": (32,)}
    for layer in range(layers):
        for name in ("query", "dense"):
            shapes[f"toy.layers.{layer}.{name}.weight"] = (2 * hidden, hidden)
            shapes[f"toy.layers.{layer}.{name}.bias"] = (2 * hidden,)
        shapes[f"toy.layers.{layer}.norm.weight"] = (hidden,)
    return shapes


def renamed(change: Callable[[str], str]) -> Shapes:
    return {change(name): shape for name, shape in model().items()}


COUNT = len(model())
CORPUS: dict[str, tuple[Shapes, str]] = {
    "data parallel": (
        renamed(lambda n: f"module.{n}"),
        f"all {COUNT} keys match after removing the prefix 'module.'",
    ),
    "compiled": (renamed(lambda n: f"_orig_mod.{n}"), "removing the prefix '_orig_mod.'"),
    "lightning": (renamed(lambda n: f"model.net.{n}"), "removing the prefix 'model.net.'"),
    "prefix lost": (
        {n.removeprefix("toy."): s for n, s in model().items() if n.startswith("toy.")},
        "adding the prefix 'toy.'",
    ),
    "another prefix": (
        renamed(lambda n: n.replace("toy.", "bear.")),
        "replacing the prefix 'toy.'|prefix 'bear.' by 'toy.'",
    ),
    "wrapped inside": (
        renamed(lambda n: n.replace("toy.layers.", "toy._wrapped.layers.")),
        "'toy._wrapped.' by 'toy.'|removing '_wrapped.'",
    ),
    "wrapped in each layer": (
        renamed(
            lambda n: n.replace(".query.", ".base_layer.query.").replace(".dense.", ".base_layer.dense.")
        ),
        "removing 'base_layer.'",
    ),
    "old names": (renamed(lambda n: n.replace("norm.weight", "norm.gamma")), "renaming 'gamma' to 'weight'"),
    "another name": (renamed(lambda n: n.replace(".query.", ".q_lin.")), "renaming 'q_lin' to 'query'"),
    "layers counted from one": (
        renamed(lambda n: ".".join(str(int(p) + 1) if p.isdecimal() else p for p in n.split("."))),
        "adding -1 to the layer numbers",
    ),
    "two mistakes": (
        renamed(lambda n: "module." + n.replace("norm.weight", "norm.gamma")),
        f"all {COUNT} keys match after removing the prefix 'module.' and renaming 'gamma' to 'weight'",
    ),
    "transposed": (
        {n: s[::-1] if "layers" in n else s for n, s in model().items()},
        "all 6 tensors of another shape match after transposing",
    ),
    "too few layers": (model(layers=2), r"2 layers 'toy.layers\.', the model 3"),
    "too many layers": (model(layers=5), r"5 layers 'toy.layers\.', the model 3"),
    "prefix and an extra tensor": (
        renamed(lambda n: f"module.{n}") | {"module.other": (3,)},
        f"all {COUNT} keys match after removing the prefix 'module.'",
    ),
    "prefix and a lost tensor": (
        {f"module.{n}": s for n, s in model().items() if n != "head.bias"},
        f"{COUNT - 1} of {COUNT} keys match after removing the prefix 'module.'",
    ),
}


@pytest.mark.parametrize("name", CORPUS)
def test_the_mistake_is_named(name: str) -> None:
    stored, text = CORPUS[name]
    found = diagnose(stored, model())
    assert found is not None
    assert re.search(text, found)


@pytest.mark.parametrize(
    "stored",
    [model(), {}, {"something": (1,)}, {f"vision.block.{i}.conv": (3, 3) for i in range(9)}, model(hidden=9)],
)
def test_no_diagnosis_is_made_up(stored: Shapes) -> None:
    assert diagnose(stored, model()) is None


@pytest.mark.parametrize("name", NAMES)
def test_published_lists_behind_a_prefix_are_diagnosed_quickly(name: str) -> None:
    expected = {key: shape for key, (shape, _) in published_keys(name).items()}
    stored = {f"module.{key}": shape for key, shape in expected.items()}
    assert diagnose(stored, expected) == f"all {len(expected)} keys match after removing the prefix 'module.'"
