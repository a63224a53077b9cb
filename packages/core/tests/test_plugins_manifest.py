from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from fake_dists import python

from formers.errors import ConfigValidationError
from formers.plugins.manifest import API_VERSION, Architecture


def manifest(**changes: Any) -> Architecture:
    fields: dict[str, Any] = {
        "config": "acme.configuration:AcmeConfig",
        "tokenizer": "acme.tokenization:AcmeTokenizer",
        "auto": {
            "AutoModel": "acme.modeling:AcmeModel",
            "AutoModelForMaskedLM": ("acme.modeling:AcmeForMaskedLM", "acme.modeling:AcmeOther"),
        },
        "attention": {"acme-fast": "acme.kernels:FAST"},
        "capabilities": ["packed"],
        "aliases": ("acme-2",),
    }
    return Architecture("acme", **{**fields, **changes})


def test_fields_are_normalised_and_read_only() -> None:
    architecture = manifest()
    assert architecture.model_types == ("acme", "acme-2")
    assert architecture.auto["AutoModel"] == ("acme.modeling:AcmeModel",)
    assert architecture.capabilities == {"packed"}
    assert architecture.api_version <= API_VERSION
    with pytest.raises(AttributeError, match="frozen"):
        architecture.config = "other:Config"
    with pytest.raises(AttributeError, match="frozen"):
        del architecture.config
    with pytest.raises(TypeError):
        architecture.auto["AutoModel"] = ()  # type: ignore[index]
    with pytest.raises(AttributeError):
        architecture.__dict__  # noqa: B018 - slots: there is nowhere to put a misspelt attribute


def test_roles_give_references() -> None:
    architecture = manifest(slow_tokenizer="acme.tokenization:Slow")
    assert architecture.references("AutoConfig") == ("acme.configuration:AcmeConfig",)
    assert architecture.references("AutoTokenizer") == ("acme.tokenization:AcmeTokenizer",)
    assert architecture.references("AutoTokenizer:slow") == ("acme.tokenization:Slow",)
    assert len(architecture.references("AutoModelForMaskedLM")) == 2
    assert architecture.references("AutoModelForCTC") == ()
    assert architecture.auto_names == ("AutoConfig", "AutoTokenizer", "AutoModel", "AutoModelForMaskedLM")
    assert manifest(tokenizer=None).references("AutoTokenizer") == ()


def test_equality_copies_and_pickles() -> None:
    assert manifest() == manifest()
    assert hash(manifest()) == hash(manifest())
    assert manifest() != manifest(api="1.1")
    assert pickle.loads(pickle.dumps(manifest())) == manifest()
    assert copy.deepcopy(manifest()) == manifest()
    assert "acme" in repr(manifest())


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Architecture of API 1\.0 has no field 'tokeniser'"):
        manifest(tokeniser="acme:T")
    newer = f"{API_VERSION[0]}.{API_VERSION[1] + 1}"
    assert manifest(api=newer, invented_later="acme:T").api == newer, (
        "refused by the registry, with both versions"
    )


def test_a_type_may_have_tokenizers_only() -> None:
    architecture = Architecture("acme-text", slow_tokenizer="acme.tokenization:Slow")
    assert architecture.config is None
    assert architecture.auto_names == ("AutoTokenizer",)
    assert architecture.references("AutoConfig") == architecture.references("AutoTokenizer") == ()
    assert pickle.loads(pickle.dumps(architecture)) == architecture
    for nothing in ({}, {"tokenizer": "acme:T", "auto": {"AutoModel": "acme:M"}}):
        with pytest.raises(ConfigValidationError, match="config=None is not a reference"):
            Architecture("acme-text", **nothing)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("config", "acme.configuration.AcmeConfig", "config='acme.configuration.AcmeConfig'"),
        ("config", None, "config=None"),
        ("config", "acme.configuration:", "package.module:Name"),
        ("config", "../acme:Config", "package.module:Name"),
        ("tokenizer", "acme", "tokenizer='acme'"),
        ("slow_tokenizer", 3, "slow_tokenizer=3"),
        ("tiny", "acme:tiny()", "tiny="),
        ("api", "1", "MAJOR.MINOR"),
        ("api", 1.0, "MAJOR.MINOR"),
        ("api", "1.x", "MAJOR.MINOR"),
        ("auto", ["AutoModel"], "not a dict"),
        ("auto", {"Model": "acme:M"}, "Auto class"),
        ("auto", {"AutoModel": ()}, "auto['AutoModel']=()"),
        ("auto", {"AutoModel": ("A", "c", "m", "e")}, "auto['AutoModel']='A'"),
        ("auto", {"AutoConfig": "acme:C"}, "field 'config'"),
        ("auto", {"AutoTokenizer": "acme:C"}, "field 'tokenizer'"),
        ("attention", {"": "acme:A"}, "attention=''"),
        ("attention", {"fast": "acme"}, "attention['fast']='acme'"),
        ("capabilities", "packed", "capabilities='packed'"),
        ("aliases", "acme-2", "aliases='acme-2'"),
        ("aliases", ["a/b"], "aliases='a/b'"),
    ],
)
def test_wrong_fields_are_named(field: str, value: object, said: str) -> None:
    with pytest.raises(ConfigValidationError) as error:
        manifest(**{field: value})
    assert said in str(error.value)


@pytest.mark.parametrize("model_type", ["", "a b", "../x", "a/b", 5, None])
def test_model_type_is_a_plain_name(model_type: Any) -> None:
    with pytest.raises(ConfigValidationError, match="model_type="):
        Architecture(model_type, config="acme:Config")


def test_importing_the_manifest_is_light() -> None:
    code = """
    import sys
    before = set(sys.modules)
    from formers import Architecture
    print(*sorted(name for name in set(sys.modules) - before if not name.startswith("formers")))
    """
    extra = set(python(code).stdout.split())
    assert extra.isdisjoint(
        {"torch", "numpy", "typing", "dataclasses", "pluggy", "importlib_metadata", "re", "json"}
    )
