"""A planted violation of each rule is caught: a check that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rules

Plant = Callable[[str, str], Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write one module into an otherwise empty ``src`` folder; gives the folder."""

    def write(file: str, text: str) -> Path:
        path = tmp_path / "src" / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return tmp_path / "src"

    return write


def only(broken: Iterator[str]) -> str:
    (sentence,) = broken
    return sentence


RIGHTWARD = {
    "plain": "import formers.modeling.base",
    "from": "from formers.modeling import PreTrainedModel",
    "from the package": "from formers import auto",
    "relative": "from ..auto import table",
    "inside a function": "def f():\n    from formers.generation import loop",
    "inside a method": "class C:\n    async def f(self):\n        import formers.cli",
    "by name": "import importlib\nimportlib.import_module('formers.testing.suite')",
    "in a try": "try:\n    import formers.cli\nexcept ImportError:\n    pass",
    "same line of the table": "from formers.checkpoint import load",
}


@pytest.mark.parametrize("kind", RIGHTWARD)
def test_an_import_to_the_right_is_caught(plant: Plant, kind: str) -> None:
    source = plant("formers/attention/eager.py", RIGHTWARD[kind])
    assert "is not to the left of attention" in only(rules.direction(source))


@pytest.mark.parametrize(
    "text",
    [
        "from formers.layout import Layout",
        "from .contract import AttentionPass",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from formers.modeling import base",
        "import torch",
    ],
)
def test_an_import_to_the_left_is_allowed(plant: Plant, text: str) -> None:
    assert list(rules.direction(plant("formers/attention/eager.py", text))) == []


def test_the_else_of_type_checking_counts(plant: Plant) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import formers.auto"
    assert "formers.auto" in only(rules.direction(plant("formers/errors.py", text)))


def test_a_module_without_a_layer_is_caught(plant: Plant) -> None:
    assert "add it to LAYERS" in only(
        rules.direction(plant("formers/helpers.py", "from formers import errors"))
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from formers_gpt2 import GPT2Model", "do not know each other"),
        ("try:\n    import formers_gpt2\nexcept ImportError:\n    pass", "do not know each other"),
        ("import importlib\nimportlib.import_module('formers_gpt2.modeling')", "do not know each other"),
        ("from formers.auto import table", "Auto classes"),
        ("from formers import AutoModel", "Auto classes"),
        ("from formers.files import _os", "private"),
        ("import transformers", "tests only"),
    ],
)
def test_an_import_over_a_boundary_is_caught(plant: Plant, text: str, reason: str) -> None:
    source = plant("formers_bert/modeling.py", text)
    assert reason in only(rules.boundaries(source, "formers_bert", ["formers_bert", "formers_gpt2"]))


@pytest.mark.parametrize(
    "text", ["import torch", "from torch import nn", "try:\n    import numpy\nfinally:\n    pass"]
)
@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("formers", "formers/config/base.py"),
        ("formers", "formers/__init__.py"),
        ("formers_bert", "formers_bert/plugin.py"),
        ("formers_bert", "formers_bert/configuration.py"),
    ],
)
def test_a_heavy_import_in_a_light_module_is_caught(plant: Plant, module: str, file: str, text: str) -> None:
    assert "when it is imported" in only(rules.torch_free(plant(file, text), module))


def test_a_heavy_import_inside_a_function_is_allowed(plant: Plant) -> None:
    source = plant("formers/config/base.py", "def f():\n    import torch")
    assert list(rules.torch_free(source, "formers")) == []


def test_a_second_user_of_a_dependency_is_caught(plant: Plant) -> None:
    source = plant("formers/checkpoint/load.py", "def f():\n    import huggingface_hub")
    assert "only" in only(rules.sole_users(source, "formers"))


def test_an_undeclared_dependency_is_caught(plant: Plant) -> None:
    source = plant("formers/config/base.py", "import os\nimport yaml\nimport importlib_metadata")
    assert "yaml" in only(rules.declared(source, "formers", ["importlib-metadata"]))


def test_a_long_module_is_caught(plant: Plant) -> None:
    assert "401 lines" in only(rules.sizes(plant("formers/config/base.py", "x = 1\n" * 401)))


def test_a_long_function_is_caught(plant: Plant) -> None:
    text = "def f():\n" + "    x = 1\n" * 60
    assert "f has 61 lines" in only(rules.sizes(plant("formers/config/base.py", text)))


def test_a_docstring_does_not_count(plant: Plant) -> None:
    text = 'def f():\n    """A\n\n    long\n    story.\n    """\n' + "    x = 1\n" * 59
    assert list(rules.sizes(plant("formers/config/base.py", text))) == []


@pytest.mark.parametrize(
    "line",
    [
        "class BertConfig: ...",
        "kind = 'bert'",
        "# as in T5",
        "t5_bias = 1",
        "x = 'gpt-2'",
        "T5Model = 1",
        "GPT2 = 1",
    ],
)
def test_an_architecture_in_the_core_is_caught(plant: Plant, line: str) -> None:
    broken = list(rules.names(plant("formers/config/base.py", line), ["bert", "gpt2", "gpt-2", "t5"]))
    assert broken
    assert "formers.config.base:1 names" in broken[0]


@pytest.mark.parametrize("line", ["first5 = 1", "part5 = 2", "gt5 = 3", "invert = 4"])
def test_a_word_that_holds_a_short_name_is_allowed(plant: Plant, line: str) -> None:
    assert list(rules.names(plant("formers/config/base.py", line), ["bert", "t5"])) == []
