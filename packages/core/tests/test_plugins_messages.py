"""The texts, to the letter: they are what a user meets when something is missing."""

from __future__ import annotations

import pytest

from formers import __version__
from formers.plugins import catalogue, environment, messages
from formers.plugins.discovery import Found


@pytest.fixture(autouse=True)
def offline_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue with a made-up architecture, so that the texts do not depend on the real one."""
    data = {
        "packages": {"toy": "formers-toy", "acme-lm": "formers-acme"},
        "class_prefixes": {"Toy": "toy", "AcmeLM": "acme-lm"},
        "name_patterns": [["toy-xl", "toyxl"], ["toy-japanese", "toy-ja"], ["toy", "toy"]],
        "tokenizer_only": ["toy-ja"],
        "look_alikes": {"utoy": "It is not a toy."},
    }
    monkeypatch.setattr(catalogue, "_data", lambda: data)
    for variable in (environment.ALLOW, environment.DENY, environment.PREFER, environment.STRICT):
        monkeypatch.delenv(variable, raising=False)


def found(dist: str, version: str = "1.0.0", name: str = "toy", value: str = "toy_package.plugin:A") -> Found:
    return Found(name, value, "formers.models", dist, version, "/site/x.dist-info")


def test_near_miss() -> None:
    assert messages.unknown("acem", ["acme", "other"]) == (
        "No installed plugin provides model type 'acem'. Did you mean 'acme'?\n"
        "Installed: acme, other. See them with: formers plugins list"
    )


def test_near_miss_of_something_not_installed() -> None:
    assert messages.unknown("ToI", []) == (
        "No installed plugin provides model type 'ToI'. Did you mean 'toy'? Install it: pip install formers-toy\n"
        "Installed: none. See them with: formers plugins list"
    )


def test_a_look_alike_is_not_suggested() -> None:
    assert messages.unknown("utoy", ["toy"]) == (
        "No installed plugin provides model type 'utoy'. It is not a toy.\n"
        "Installed: toy. See them with: formers plugins list\n"
        "A package that provides it has an entry point of this name in the group 'formers.models'."
    )


def test_known_but_not_installed() -> None:
    assert messages.unknown("toy", ["acme"]) == (
        "No installed plugin provides model type 'toy'.\nInstall it: pip install formers-toy"
    )


def test_installed_but_broken() -> None:
    error = ModuleNotFoundError("No module named 'libdoesnotexist'")
    assert messages.load_failed(found("formers-toy"), "toy_package.plugin:A", error) == (
        "Plugin formers-toy 1.0.0 (model type 'toy') failed to load from 'toy_package.plugin:A':\n"
        "ModuleNotFoundError: No module named 'libdoesnotexist'\n"
        "Other plugins are not affected. Details: formers plugins doctor formers-toy. "
        "Disable it: FORMERS_DISABLE_PLUGINS=formers-toy"
    )


def test_installed_but_switched_off() -> None:
    off = [(found("formers-toy"), environment.ALLOW)]
    assert messages.switched_off("toy", off, ["fomers-toy"]) == (
        "Model type 'toy' is provided by formers-toy, which is installed but switched off by FORMERS_PLUGINS.\n"
        "FORMERS_PLUGINS also names ['fomers-toy'], which no installed package with a formers plugin matches."
    )


def test_ambiguous() -> None:
    both = [found("formers-acme-toy"), found("formers-toy", "0.1.0")]
    assert messages.ambiguous("toy", both, None) == (
        "Model type 'toy' is provided by 2 installed packages: formers-acme-toy 1.0.0, formers-toy 0.1.0.\n"
        "Pick one with FORMERS_PREFER=toy=formers-acme-toy, or uninstall the other."
    )


def test_unknown() -> None:
    assert messages.unknown("zzzzzzzz", ["acme"]) == (
        "No installed plugin provides model type 'zzzzzzzz'.\n"
        "Installed: acme. See them with: formers plugins list\n"
        "A package that provides it has an entry point of this name in the group 'formers.models'."
    )


def test_another_plugin_interface() -> None:
    assert messages.api_mismatch("Plugin formers-toy 1.0.0", "formers-toy", (2, 0)) == (
        f"Plugin formers-toy 1.0.0 needs formers plugin API 2.0, but formers {__version__} has 1.0.\n"
        "Upgrade the core: pip install -U formers"
    )
    assert messages.api_mismatch("The architecture 'toy'", None, (0, 9)).endswith(
        "\nBring it up to date, then give it api='1.0'."
    )


def test_code_in_a_folder() -> None:
    text = messages.remote_code("acme", "/models/acme/config.json", trusted=True)
    assert text.splitlines()[0] == (
        "/models/acme/config.json brings its own code (auto_map), and no installed plugin provides model type "
        "'acme'. trust_remote_code=True is not supported yet: formers runs no code out of a model's folder."
    )
    assert "Make it a plugin" in text
    assert "formers does not run it." in messages.remote_code("acme", "config.json", trusted=False)


def test_import_hints() -> None:
    assert messages.import_hint("ToyModel", "toy", []) == (
        "formers has no class 'ToyModel': classes of an architecture come from their own package.\n"
        "Install it: pip install formers-toy\n"
        "Then write: from formers_toy import ToyModel"
    )
    assert messages.import_hint("ToyModel", "toy", [found("formers-toy")]).endswith(
        "Write: from toy_package import ToyModel"
    )


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("ToyModel", "toy"),
        ("ToyForMaskedLM", "toy"),
        ("AcmeLMConfig", "acme-lm"),
        ("MyPluginLMHeadModel", "my_plugin"),
        ("Toyota", None),
        ("Toy", None),
        ("Other", None),
    ],
)
def test_classes_are_recognised_by_their_prefix(name: str, model_type: str | None) -> None:
    assert catalogue.model_type_of_class(name, ("my_plugin",)) == model_type


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("owner/my-toy-base", "toy"),
        ("/models/toy-xl/checkpoint-of-Toy/", "toy"),
        ("some/toy-xl-large", "toyxl"),
        ("toy-japanese", "toy"),
        ("/toy/but/not/here", None),
        ("C:\\toy\\other", None),
    ],
)
def test_name_patterns_read_the_last_component(name: str, model_type: str | None) -> None:
    if model_type is None:
        assert catalogue.name_pattern(name) is None
    else:
        with pytest.warns(UserWarning, match=f"taking {model_type!r}"):
            assert catalogue.name_pattern(name) == model_type


def test_tokenizers_have_patterns_of_their_own() -> None:
    with pytest.warns(UserWarning, match="toy-ja"):
        assert catalogue.name_pattern("toy-japanese", tokenizer=True) == "toy-ja"
