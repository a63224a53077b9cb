from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fake_dists import Site, python
from small_tokenizer import NAMES, ROLES, folder_of, pipeline

from formers import (
    Architecture,
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizer,
    PreTrainedTokenizerFast,
)
from formers.errors import (
    ConfigValidationError,
    LoadError,
    PluginConflictError,
    PluginWarning,
    UnknownModelTypeError,
    UnsupportedHeadError,
)
from formers.plugins import catalogue, registry


class AcmeConfig(PreTrainedConfig):
    model_type = "acme"


class AcmeTokenizer(PreTrainedTokenizer):
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt"}

    def __init__(self, vocab_file: str, **settings: Any) -> None:
        self.words = Path(vocab_file).read_text("utf-8").split()
        super().__init__(**settings)

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def get_vocab(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}


class AcmeTokenizerFast(PreTrainedTokenizerFast):
    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "vocab.txt",
        "tokenizer_file": "tokenizer.json",
    }


class PlainTokenizer(PreTrainedTokenizerFast):
    pass


class WholeTextTokenizer(PreTrainedTokenizerFast):
    pass


class WholeTextCTCTokenizer(PreTrainedTokenizerFast):
    pass


ACME = Architecture(
    "acme",
    config=f"{__name__}:AcmeConfig",
    tokenizer=f"{__name__}:AcmeTokenizerFast",
    slow_tokenizer=f"{__name__}:AcmeTokenizer",
    aliases=("acme-2",),
)


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(
        sys.modules, __name__, sys.modules.get(__name__) or sys.modules[AcmeConfig.__module__]
    )
    with registry.temporary_registrations():
        yield


@pytest.fixture
def acme() -> None:
    registry.register(ACME)


def write(folder: Path, name: str, **data: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(data), "utf-8")
    return folder


def test_it_is_not_constructed() -> None:
    with pytest.raises(OSError, match="from_pretrained"):
        AutoTokenizer()


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("name", ["AcmeTokenizer", "AcmeTokenizerFast"])
@pytest.mark.parametrize("model_type", ["acme", "acme-2", None])
def test_the_class_that_the_settings_name(name: str, model_type: str | None, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f", tokenizer_class=name)
    if model_type is not None:
        write(folder, "config.json", model_type=model_type)
    assert type(AutoTokenizer.from_pretrained(folder)) is AcmeTokenizerFast
    (folder / "vocab.txt").write_text("a b")
    assert type(AutoTokenizer.from_pretrained(folder, use_fast=False)) is AcmeTokenizer


@pytest.mark.usefixtures("acme")
def test_the_class_of_the_model_type(tmp_path: Path) -> None:
    folder = write(folder_of(tmp_path / "f"), "config.json", model_type="acme")
    assert type(AutoTokenizer.from_pretrained(folder)) is AcmeTokenizerFast
    unknown = write(folder, "tokenizer_config.json", **ROLES, tokenizer_class="NobodysTokenizer")
    assert type(AutoTokenizer.from_pretrained(unknown)) is AcmeTokenizerFast


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_the_generic_class_by_name(name: str, tmp_path: Path) -> None:
    folder = write(folder_of(tmp_path / "f", tokenizer_class=name), "config.json", model_type="acme")
    assert type(AutoTokenizer.from_pretrained(folder)) is PreTrainedTokenizerFast


@pytest.mark.usefixtures("acme")
def test_config_and_tokenizer_type_decide(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    assert type(AutoTokenizer.from_pretrained(folder)) is PreTrainedTokenizerFast
    assert type(AutoTokenizer.from_pretrained(folder, config=AcmeConfig())) is AcmeTokenizerFast
    assert type(AutoTokenizer.from_pretrained(folder, tokenizer_type="acme")) is AcmeTokenizerFast
    write(folder, "config.json", model_type="another")
    assert type(AutoTokenizer.from_pretrained(folder, config=AcmeConfig())) is AcmeTokenizerFast
    with pytest.raises(UnknownModelTypeError, match="acmee"):
        AutoTokenizer.from_pretrained(folder, tokenizer_type="acmee")


@pytest.mark.usefixtures("acme")
def test_settings_go_to_the_class(tmp_path: Path) -> None:
    folder = write(folder_of(tmp_path / "f"), "config.json", model_type="acme")
    (folder / "sub").mkdir()
    folder_of(folder / "sub", model_max_length=5)
    tokenizer = AutoTokenizer.from_pretrained(folder, subfolder="sub", pad_token="cat", bos_token="<s>")
    assert (tokenizer.model_max_length, tokenizer.pad_token, tokenizer.bos_token) == (5, "cat", "<s>")


@pytest.mark.usefixtures("acme")
def test_one_vocabulary_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", "config.json", model_type="acme")
    (folder / "vocab.txt").write_text("a b")
    assert AutoTokenizer.from_pretrained(folder / "vocab.txt", use_fast=False).get_vocab() == {"a": 0, "b": 1}
    folder_of(folder)
    assert type(AutoTokenizer.from_pretrained(folder / "tokenizer.json")) is AcmeTokenizerFast


def test_without_the_plugin_the_generic_class_returns_the_same_fields(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    pipeline().save(str(folder / "tokenizer.json"))
    assert AutoTokenizer.from_pretrained(folder).model_input_names == ["input_ids", "attention_mask"]
    write(folder, "config.json", model_type="acme")
    write(folder, "tokenizer_config.json", tokenizer_class="AcmeTokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer) is PreTrainedTokenizerFast
    assert tokenizer.model_input_names == NAMES
    tokenizer.save_pretrained(tmp_path / "saved")
    registry.register(ACME)
    assert type(AutoTokenizer.from_pretrained(tmp_path / "saved")) is AcmeTokenizerFast


def test_without_the_plugin_and_without_a_pipeline_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {**catalogue._data(), "packages": {"acme-lm": "formers-acme"}}
    monkeypatch.setattr(catalogue, "_data", lambda: known)
    folder = write(tmp_path / "f", "config.json", model_type="acme-lm")
    (folder / "vocab.txt").touch()
    with registry.temporary_registrations(), pytest.raises(UnknownModelTypeError) as caught:
        AutoTokenizer.from_pretrained(folder)
    assert "pip install formers-acme" in str(caught.value)
    assert "holds no tokenizer.json" in str(caught.value)


def test_nothing_to_go_by(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="does not say which tokenizer it holds: looked for tokenizer_config"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_the_name_is_the_last_clue(tmp_path: Path) -> None:
    folder = tmp_path / "my-xlm-roberta"
    folder.mkdir()
    (folder / "vocab.txt").touch()
    with (
        pytest.warns(PluginWarning, match="xlm-roberta"),
        pytest.raises(UnknownModelTypeError, match="xlm-roberta"),
    ):
        AutoTokenizer.from_pretrained(folder)


def test_a_type_without_a_tokenizer(tmp_path: Path) -> None:
    registry.register(Architecture("silent", config=f"{__name__}:AcmeConfig"))
    folder = write(tmp_path / "f", "config.json", model_type="silent")
    with pytest.raises(UnsupportedHeadError, match="'silent' has no tokenizer"):
        AutoTokenizer.from_pretrained(folder)
    with pytest.raises(UnsupportedHeadError, match="'silent' has no tokenizer"):
        AutoTokenizer.from_pretrained(folder, tokenizer_type="silent")
    assert type(AutoTokenizer.from_pretrained(folder_of(folder))) is PreTrainedTokenizerFast


def test_code_in_the_folder_is_never_run(tmp_path: Path) -> None:
    folder = write(
        folder_of(tmp_path / "f", auto_map={"AutoTokenizer": ["evil.Tok", None]}),
        "config.json",
        model_type="x",
    )
    (folder / "evil.py").write_text("raise SystemExit")
    assert type(AutoTokenizer.from_pretrained(folder)) is PreTrainedTokenizerFast
    with pytest.raises(UnknownModelTypeError, match="plugin"):
        AutoTokenizer.from_pretrained(folder, trust_remote_code=True)


def test_registering(tmp_path: Path) -> None:
    folder = write(folder_of(tmp_path / "f"), "config.json", model_type="acme")
    (folder / "vocab.txt").write_text("a b")
    registry.register_config("acme", AcmeConfig)
    AutoTokenizer.register(AcmeConfig, AcmeTokenizer, AcmeTokenizerFast)
    assert type(AutoTokenizer.from_pretrained(folder)) is AcmeTokenizerFast
    assert type(AutoTokenizer.from_pretrained(folder, use_fast=False)) is AcmeTokenizer
    assert type(AutoTokenizer.from_pretrained(folder, config=AcmeConfig())) is AcmeTokenizerFast
    with pytest.raises(PluginConflictError, match="exist_ok"):
        AutoTokenizer.register(AcmeConfig, fast_tokenizer_class=PlainTokenizer)
    AutoTokenizer.register(AcmeConfig, fast_tokenizer_class=PlainTokenizer, exist_ok=True)
    assert type(AutoTokenizer.from_pretrained(folder)) is PlainTokenizer


def test_the_argument_of_transformers_5_takes_either_kind(tmp_path: Path) -> None:
    folder = write(folder_of(tmp_path / "f"), "config.json", model_type="acme")
    (folder / "vocab.txt").write_text("a b")
    registry.register_config("acme", AcmeConfig)
    AutoTokenizer.register(AcmeConfig, tokenizer_class=AcmeTokenizer)
    assert type(AutoTokenizer.from_pretrained(folder)) is AcmeTokenizer
    AutoTokenizer.register(AcmeConfig, tokenizer_class=PlainTokenizer)
    assert type(AutoTokenizer.from_pretrained(folder)) is PlainTokenizer


@pytest.mark.parametrize("name", ["WholeTextTokenizer", "WholeTextCTCTokenizer"])
def test_a_type_that_has_tokenizers_only(name: str, tmp_path: Path) -> None:
    """It is found by the class in the settings, beside the configuration of a model of another type."""
    registry.register(Architecture("whole_text", tokenizer=f"{__name__}:{name}"))
    registry.register(ACME)
    folder = write(folder_of(tmp_path / "f", tokenizer_class=name), "config.json", model_type="acme")
    assert type(AutoTokenizer.from_pretrained(folder)) is globals()[name]
    own = write(folder_of(tmp_path / "g"), "config.json", model_type="whole_text")
    AutoTokenizer.register(AcmeConfig, AcmeTokenizer, exist_ok=True)
    assert type(AutoTokenizer.from_pretrained(own)) is globals()[name]
    assert type(AutoTokenizer.from_pretrained(own, tokenizer_type="whole_text")) is globals()[name]
    with pytest.raises(UnsupportedHeadError, match=r"'whole_text' .* has tokenizers only"):
        AutoConfig.from_pretrained(own)


def test_only_a_slow_class(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", "config.json", model_type="acme")
    (folder / "vocab.txt").write_text("a b")
    registry.register_config("acme", AcmeConfig)
    AutoTokenizer.register(AcmeConfig, AcmeTokenizer)
    assert type(AutoTokenizer.from_pretrained(folder)) is AcmeTokenizer


@pytest.mark.parametrize(
    "classes",
    [
        {},
        {"slow_tokenizer_class": AcmeTokenizerFast},
        {"fast_tokenizer_class": AcmeTokenizer},
        {"tokenizer_class": object},
        {"tokenizer_class": "AcmeTokenizer"},
        {"slow_tokenizer_class": AcmeTokenizer, "fast_tokenizer_class": AcmeTokenizer},
        {"tokenizer_class": PlainTokenizer, "fast_tokenizer_class": AcmeTokenizerFast},
    ],
    ids=str,
)
def test_registering_what_is_no_such_class(classes: dict[str, Any]) -> None:
    with pytest.raises(ConfigValidationError, match=r"AutoTokenizer\.register"):
        AutoTokenizer.register(AcmeConfig, **classes)
    assert not registry.registered_classes("AutoTokenizer")
    assert not registry.registered_classes("AutoTokenizer:slow")


@pytest.mark.parametrize(
    ("arguments", "slow", "fast"),
    [
        ((AcmeTokenizer, AcmeTokenizerFast), AcmeTokenizer, AcmeTokenizerFast),
        ((AcmeTokenizer,), AcmeTokenizer, None),
        ((AcmeTokenizerFast,), None, AcmeTokenizerFast),
        ((None, AcmeTokenizer), AcmeTokenizer, None),
        ((AcmeTokenizer, None, AcmeTokenizerFast), AcmeTokenizer, AcmeTokenizerFast),
        ((AcmeTokenizerFast, AcmeTokenizer, AcmeTokenizerFast), AcmeTokenizer, AcmeTokenizerFast),
    ],
)
def test_registering_in_the_forms_of_both_ages(
    arguments: tuple[Any, ...], slow: type | None, fast: type | None
) -> None:
    AutoTokenizer.register(AcmeConfig, *arguments)
    assert registry.registered_classes("AutoTokenizer:slow") == [one for one in (slow,) if one is not None]
    assert registry.registered_classes("AutoTokenizer") == [one for one in (fast,) if one is not None]


def test_registering_a_pair_is_all_or_nothing() -> None:
    AutoTokenizer.register(AcmeConfig, slow_tokenizer_class=AcmeTokenizer)
    with pytest.raises(PluginConflictError, match="AutoTokenizer:slow already has a class for AcmeConfig"):
        AutoTokenizer.register(
            AcmeConfig, slow_tokenizer_class=AcmeTokenizer, fast_tokenizer_class=AcmeTokenizerFast
        )
    assert registry.registered_classes("AutoTokenizer") == []


def test_an_installed_plugin_in_a_fresh_process(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.module(
        "acme_lm.plugin",
        """
        from formers import Architecture
        ARCHITECTURE = Architecture("acme", config="acme_lm.config:C", tokenizer="acme_lm.tok:AcmeTokenizer")
    """,
    )
    site.module(
        "acme_lm.tok",
        """
        from formers import PreTrainedTokenizerFast
        class AcmeTokenizer(PreTrainedTokenizerFast): pass
    """,
    )
    site.dist("formers-acme", models={"acme": "acme_lm.plugin:ARCHITECTURE"})
    folder = write(folder_of(tmp_path / "f"), "config.json", model_type="acme")
    code = f"""
import sys
from formers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})
print(type(tokenizer).__name__, tokenizer("the cat").input_ids)
print("torch" in sys.modules, "huggingface_hub" in sys.modules)
"""
    assert python(code, site).stdout.split("\n")[:2] == ["AcmeTokenizer [2, 4, 5, 3]", "False False"]
