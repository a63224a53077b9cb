from __future__ import annotations

import ast
from pathlib import Path

import pytest
from fake_dists import Site, python

import formers

WITHOUT_TORCH = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "torch" else find(name, *rest)
"""


def mirror() -> dict[str, str]:
    """From each name that type checkers see to its module."""
    tree = ast.parse(Path(formers.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname == alias.name
    }


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    assert mirror() == formers._MODULE_OF


@pytest.mark.parametrize("name", sorted(formers._MODULE_OF))
def test_every_name_is_there(name: str) -> None:
    value = getattr(formers, name)
    assert value.__module__.startswith(f"formers.{formers._MODULE_OF[name].partition('.')[0]}") or name in (
        "hookimpl",
        "AddedToken",
    )


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; old = set(sys.modules); import formers; print(*sorted(set(sys.modules) - old))"
    assert python(code).stdout.split() == ["__future__", "formers", "formers._version"]


def test_names_are_listed_and_kept() -> None:
    assert set(dir(formers)) == set(formers.__all__)
    assert "AutoConfig" in dir(formers)
    assert formers.AutoConfig is formers.AutoConfig
    assert "AutoConfig" in vars(formers)


@pytest.mark.parametrize("name", ["nothing", "__wrapped__", "Nothing", "AutoNothing", "_private"])
def test_a_name_that_nobody_has_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(formers, name)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("TFAutoModel", "Use AutoModel."),
        ("TFAutoModelForMaskedLM", "Use AutoModelForMaskedLM."),
        ("FlaxAutoModelForSeq2SeqLM", "Use AutoModelForSeq2SeqLM."),
        ("TFAutoModelWithLMHead", "Use AutoModelWithLMHead."),
        ("TFPreTrainedModel", "Use PreTrainedModel."),
        ("TFAutoSomething", "no 'TFAutoSomething'"),
    ],
)
def test_other_frameworks_are_refused(name: str, instead: str) -> None:
    with pytest.raises(ImportError, match="formers is for PyTorch only") as error:
        getattr(formers, name)
    assert str(error.value).endswith(f"{instead}" if "Use" in instead else f"has {instead}.")


def test_architecture_classes_come_from_their_package(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.architecture("formers-acme-lm", "acme-lm")
    code = """
    import sys
    try:
        from formers import {name}
    except ImportError as error:
        print(error)
    print(any(module.startswith("formers_acme_lm") for module in sys.modules))
    """
    text = python(code.format(name="AcmeLMForMaskedLM"), site).stdout
    assert "Write: from formers_acme_lm import AcmeLMForMaskedLM" in text
    assert text.splitlines()[-1] == "False", "the plugin is not imported for its hint"
    assert "formers is for PyTorch only" in python(code.format(name="TFAcmeLMModel"), site).stdout
    installable = python(code.format(name="T5ForConditionalGeneration"), site, FORMERS_PLUGINS="").stdout
    assert "from formers_t5 import T5ForConditionalGeneration" in installable


def test_without_torch_the_extra_is_named() -> None:
    code = WITHOUT_TORCH + "from formers import {name}"
    for name in ("AutoModel", "AutoModelForMaskedLM", "PreTrainedModel", "DynamicCache", "Layout"):
        done = python(code.format(name=name), check=False)
        assert (
            f'MissingExtraError: {name} needs PyTorch, which is not installed: pip install "formers[torch]"'
            in (done.stderr)
        )


def test_without_torch_configurations_and_tokenizers_work(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.architecture("formers-acme", "acme")
    (tmp_path / "config.json").write_text('{"model_type": "acme", "size": 3}')
    code = WITHOUT_TORCH + (
        "from formers import Architecture, AutoConfig, AutoTokenizer, BatchEncoding, ModelOutput, PreTrainedConfig\n"
        f"assert AutoConfig.from_pretrained({str(tmp_path)!r}).size == 3\n"
        "from formers.auto.models import AutoModel\n"
        f"AutoModel.from_pretrained({str(tmp_path)!r})"
    )
    done = python(code, site, check=False)
    assert "MissingExtraError: AutoModel needs PyTorch" in done.stderr
