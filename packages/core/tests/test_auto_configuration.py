from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formers import Architecture, AutoConfig, PreTrainedConfig
from formers.errors import ConfigValidationError, LoadError, PluginConflictError, UnknownModelTypeError
from formers.plugins import catalogue, registry


class AcmeConfig(PreTrainedConfig):
    model_type = "auto-acme"
    size: int = 4


class PairConfig(PreTrainedConfig):
    model_type = "auto-pair"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    data = {
        "packages": {"auto-paid": "formers-paid"},
        "class_prefixes": {},
        "name_patterns": [["acme", "auto-acme"]],
        "tokenizer_only": [],
        "look_alikes": {},
    }
    monkeypatch.setattr(catalogue, "_data", lambda: data)
    with registry.temporary_registrations():
        AutoConfig.register("auto-acme", AcmeConfig)
        yield


def write(folder: Path, **content: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))
    return str(folder)


def test_a_folder_a_file_and_a_saved_configuration_load(tmp_path: Path) -> None:
    AcmeConfig(size=9).save_pretrained(tmp_path / "saved")
    loaded = AutoConfig.from_pretrained(tmp_path / "saved")
    assert type(loaded) is AcmeConfig
    assert loaded == AcmeConfig(size=9)
    path = tmp_path / "my_configuration.json"
    path.write_text(json.dumps({"model_type": "auto-acme", "size": 3}))
    assert AutoConfig.from_pretrained(str(path)).size == 3  # type: ignore[attr-defined]
    assert AutoConfig.from_json_file(path).size == 3  # type: ignore[attr-defined]
    write(tmp_path / "outer" / "inner", model_type="auto-acme", size=5)
    assert AutoConfig.from_pretrained(tmp_path / "outer", subfolder="inner").size == 5  # type: ignore[attr-defined]


def test_keyword_arguments_override_or_are_returned(tmp_path: Path) -> None:
    folder = write(tmp_path, model_type="auto-acme")
    config = AutoConfig.from_pretrained(folder, output_attentions=True, foo=False)
    assert config.output_attentions is True
    assert not hasattr(config, "foo")
    config, unused = AutoConfig.from_pretrained(
        folder, output_attentions=True, foo=False, size=2, return_unused_kwargs=True
    )
    assert (config.output_attentions, config.size, unused) == (True, 2, {"foo": False})


def test_the_old_singular_spelling_of_the_documentation(tmp_path: Path) -> None:
    folder = write(tmp_path, model_type="auto-acme")
    config, unused = AutoConfig.from_pretrained(
        folder, output_attention=True, foo=False, return_unused_kwargs=True
    )
    assert config.output_attention == True  # type: ignore[attr-defined] # noqa: E712 - as it is printed there
    assert config.output_attentions is True
    assert unused == {"foo": False}


def test_an_alias_is_a_type_like_any_other(tmp_path: Path) -> None:
    """Several model types may share one configuration class; nothing is wrong with their files."""
    registry.register(Architecture("auto-pair", config=f"{__name__}:PairConfig", aliases=("auto-twin",)))
    assert type(AutoConfig.from_pretrained(write(tmp_path, model_type="auto-twin"))) is PairConfig


def test_for_model() -> None:
    assert AutoConfig.for_model("auto-acme", size=8) == AcmeConfig(size=8)


def test_it_cannot_be_constructed() -> None:
    with pytest.raises(OSError, match="from_pretrained"):
        AutoConfig()
    with pytest.raises(TypeError, match="AutoConfig cannot be constructed"):
        AutoConfig("somewhere")


@pytest.mark.parametrize("flag", [False, None, True])
def test_code_in_a_folder_is_never_run(tmp_path: Path, flag: bool | None) -> None:
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w')"
    folder = write(tmp_path / "a", model_type="auto-alien", auto_map={"AutoConfig": "code.AlienConfig"})
    (tmp_path / "a" / "code.py").write_text(source)
    with pytest.raises(UnknownModelTypeError) as error:
        AutoConfig.from_pretrained(folder, trust_remote_code=flag, code_revision="main")
    assert str(tmp_path / "a") in str(error.value)
    assert ("not supported yet" in str(error.value)) is bool(flag)
    assert "plugin" in str(error.value)
    known = write(tmp_path / "b", model_type="auto-acme", auto_map={"AutoConfig": "code.AlienConfig"})
    (tmp_path / "b" / "code.py").write_text(source)
    assert type(AutoConfig.from_pretrained(known, trust_remote_code=flag)) is AcmeConfig
    assert not canary.exists()


def test_trust_is_never_read_from_the_folder(tmp_path: Path) -> None:
    folder = write(
        tmp_path, model_type="auto-alien", auto_map={"AutoConfig": "/abs/code.C"}, trust_remote_code=True
    )
    with pytest.raises(UnknownModelTypeError, match="formers does not run it"):
        AutoConfig.from_pretrained(folder)


def test_a_missing_type_is_guessed_from_the_name_with_a_warning(tmp_path: Path) -> None:
    folder = write(tmp_path / "my-acme-base", size=6)
    with pytest.warns(UserWarning, match="taking 'auto-acme'"):
        config = AutoConfig.from_pretrained(folder)
    assert (type(config), config.size) == (AcmeConfig, 6)  # type: ignore[attr-defined]
    nameless = write(tmp_path / "acme" / "x", size=6)
    with pytest.raises(
        UnknownModelTypeError, match=r"config\.json has no model_type.*'[^']*/acme/x' suggests none"
    ):
        AutoConfig.from_pretrained(nameless)


@pytest.mark.parametrize("model_type", ["../../os", 5, ["auto-acme"], "", "auto-acne"])
def test_strange_types_are_named_with_the_file(tmp_path: Path, model_type: object) -> None:
    folder = write(tmp_path, model_type=model_type)
    with pytest.raises(UnknownModelTypeError) as error:
        AutoConfig.from_pretrained(folder)
    assert repr(model_type) in str(error.value)
    assert f"{folder}/config.json" in str(error.value)
    assert "auto-acme" in str(error.value)


def test_a_type_that_can_be_installed(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelTypeError, match="pip install formers-paid"):
        AutoConfig.from_pretrained(write(tmp_path, model_type="auto-paid"))


def test_no_configuration_at_all(tmp_path: Path) -> None:
    (tmp_path / "other.txt").touch()
    with pytest.raises(LoadError, match=r"config\.json.*other\.txt"):
        AutoConfig.from_pretrained(tmp_path)
    with pytest.raises(OSError, match="does not exist"):
        AutoConfig.from_pretrained("./nowhere")


def test_registration_is_checked() -> None:
    with pytest.raises(PluginConflictError, match="auto-acme"):
        AutoConfig.register("auto-acme", AcmeConfig)
    AutoConfig.register("auto-acme", AcmeConfig, exist_ok=True)
    with pytest.raises(ValueError, match="registered as 'auto-other'"):
        AutoConfig.register("auto-other", AcmeConfig)
    for wrong in (object, AcmeConfig(), "AcmeConfig", None):
        with pytest.raises(ConfigValidationError, match="subclass of PreTrainedConfig"):
            AutoConfig.register("auto-new", wrong)  # type: ignore[arg-type]
