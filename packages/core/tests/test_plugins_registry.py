from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_dists import Site

from formers.errors import (
    ConfigValidationError,
    PluginConflictError,
    PluginLoadError,
    PluginWarning,
    UnknownModelTypeError,
    UnsupportedHeadError,
)
from formers.plugins.discovery import scan
from formers.plugins.manifest import Architecture
from formers.plugins.registry import Registry

MODELING = """
class Model: pass
class ForMaskedLM: pass
class OtherForMaskedLM: pass
"""
PLAIN = """
class Config:
    model_type = {model_type!r}
    architectures = None
"""
HEADS = (
    'auto={"AutoModel": "{p}.modeling:Model", '
    '"AutoModelForMaskedLM": ("{p}.modeling:ForMaskedLM", "{p}.modeling:OtherForMaskedLM")}'
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for variable in (
        "FORMERS_PLUGINS",
        "FORMERS_DISABLE_PLUGINS",
        "FORMERS_PREFER",
        "FORMERS_STRICT_PLUGINS",
    ):
        monkeypatch.delenv(variable, raising=False)
    site = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def registry_of(*sites: Site) -> Registry:
    index = scan([str(site) for site in sites])
    return Registry(lambda: index)


def plugin(site: Site, dist: str, model_type: str, version: str = "1.0.0", extra: str = "") -> str:
    """A plugin without torch or a real configuration class."""
    package = site.architecture(
        dist, model_type, version, extra or HEADS.replace("{p}", dist.replace("-", "_"))
    )
    site.module(f"{package}.configuration", PLAIN.format(model_type=model_type))
    site.module(f"{package}.modeling", MODELING)
    return package


def config_of(registry: Registry, model_type: str, **attributes: Any) -> Any:
    config = registry.config_class_for(model_type)()
    for name, value in attributes.items():
        setattr(config, name, value)
    return config


# -- installed plugins -------------------------------------------------------------------------------------------------


def test_an_installed_type_is_found_and_imported_step_by_step(site: Site) -> None:
    plugin(site, "reg-acme", "acme")
    plugin(site, "reg-other", "other")
    registry = registry_of(site)
    assert registry.known_model_types() == ["acme", "other"]
    assert "reg_acme" not in sys.modules
    architecture = registry.architecture_for("acme")
    assert architecture is registry.architecture_for("acme")
    assert "reg_acme.plugin" in sys.modules
    assert "reg_acme.configuration" not in sys.modules
    config = config_of(registry, "acme")
    assert registry.architecture_of_config(config) is architecture
    assert "reg_acme.modeling" not in sys.modules
    assert registry.auto_class_for("AutoModel", config).__qualname__ == "Model"
    assert "reg_other" not in sys.modules


def test_the_configuration_chooses_among_several_classes(site: Site) -> None:
    plugin(site, "reg-several", "several")
    registry = registry_of(site)

    def chosen(*architectures: str) -> str:
        config = config_of(registry, "several", architectures=list(architectures))
        return registry.auto_class_for("AutoModelForMaskedLM", config).__name__

    assert chosen() == "ForMaskedLM"
    assert chosen("OtherForMaskedLM") == "OtherForMaskedLM"
    assert chosen("Unrelated", "OtherForMaskedLM", "ForMaskedLM") == "OtherForMaskedLM"
    assert chosen("Unrelated") == "ForMaskedLM"


def test_a_missing_head_names_the_heads_there_are(site: Site) -> None:
    plugin(site, "reg-heads", "heads")
    registry = registry_of(site)
    with pytest.raises(UnsupportedHeadError) as error:
        registry.auto_class_for("AutoModelForCTC", config_of(registry, "heads"))
    assert str(error.value).splitlines()[:2] == [
        "AutoModelForCTC has no class for model type 'heads' (configuration Config).",
        "Auto classes that this type has: AutoModel, AutoModelForMaskedLM.",
    ]


def test_aliases_are_served_by_their_manifest(site: Site) -> None:
    plugin(site, "reg-alias", "alias", extra='aliases=("alias-2",)')
    (site.path / "reg_alias-1.0.0.dist-info" / "entry_points.txt").write_text(
        "[formers.models]\nalias = reg_alias.plugin:ARCHITECTURE\n"
        "alias-2 = reg_alias.plugin:ARCHITECTURE\nstray = reg_alias.plugin:ARCHITECTURE\n"
    )
    registry = registry_of(site)
    assert registry.config_class_for("alias-2") is registry.config_class_for("alias")
    with pytest.raises(PluginLoadError, match="'stray', which is not one of its aliases"):
        registry.architecture_for("stray")


# -- broken plugins ----------------------------------------------------------------------------------------------------

FAULTS = {
    "import-error": ("import libdoesnotexist", "ModuleNotFoundError: No module named 'libdoesnotexist'"),
    "syntax-error": ("def broken(:", "SyntaxError"),
    "system-exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "key-error": ("{}['missing']", "KeyError: 'missing'"),
    "base-exception": ("class Panic(BaseException): pass\nraise Panic('C level')", "Panic: C level"),
    "missing-attribute": ("", "has no attribute 'ARCHITECTURE'"),
    "not-a-manifest": ("ARCHITECTURE = 5", "it is of type int, not a formers.Architecture"),
    "wrong-field": (
        "from formers.plugins.manifest import Architecture\nARCHITECTURE = Architecture('x', config='nothing')",
        "config='nothing' is not a reference",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_plugin_breaks_its_own_type_only(site: Site, fault: str) -> None:
    source, said = FAULTS[fault]
    package = f"broken_{fault.replace('-', '_')}"
    site.dist("formers-broken", "1.2.3", models={"broken": f"{package}.plugin:ARCHITECTURE"})
    site.module(f"{package}.plugin", source)
    plugin(site, "reg-sound", "sound")
    registry = registry_of(site)
    for _ in range(2):  # the failure is remembered, and each time a new object
        with pytest.raises(PluginLoadError) as error:
            registry.architecture_for("broken")
        text = str(error.value)
        assert said in text
        assert "Plugin formers-broken 1.2.3 (model type 'broken')" in text
        assert f"{package}.plugin:ARCHITECTURE" in text
        assert "FORMERS_DISABLE_PLUGINS=formers-broken" in text
        assert error.value.__cause__ is not None
    if fault in ("import-error", "key-error"):
        frames = []
        traceback = error.value.__cause__.__traceback__
        while traceback is not None:
            frames.append(traceback.tb_frame.f_code.co_filename)
            traceback = traceback.tb_next
        assert frames[-1].endswith(f"{package}/plugin.py")
    assert registry.architecture_for("sound").model_type == "sound"
    assert registry.known_model_types() == ["broken", "sound"]


def test_a_missing_module_and_a_stale_dist_info(site: Site) -> None:
    site.dist("formers-gone", models={"gone": "gone_package.plugin:ARCHITECTURE"})
    with pytest.raises(PluginLoadError, match="No module named 'gone_package'"):
        registry_of(site).architecture_for("gone")


def test_interrupting_an_import_is_not_a_plugin_failure(site: Site) -> None:
    site.dist("formers-slow", models={"slow": "slow_plugin:ARCHITECTURE"})
    site.module("slow_plugin", "raise KeyboardInterrupt")
    registry = registry_of(site)
    with pytest.raises(KeyboardInterrupt):
        registry.architecture_for("slow")
    site.module("slow_plugin", "import formers_that_is_not_there")
    sys.path_importer_cache.clear()
    with pytest.raises(PluginLoadError):
        registry.architecture_for("slow")


def test_a_class_that_cannot_be_imported_is_the_plugins_fault(site: Site) -> None:
    package = plugin(site, "reg-half", "half")
    site.module(f"{package}.modeling", "raise RuntimeError('no such kernel')")
    registry = registry_of(site)
    with pytest.raises(PluginLoadError, match="RuntimeError: no such kernel"):
        registry.auto_class_for("AutoModel", config_of(registry, "half"))


def test_the_configuration_class_must_be_of_the_type(site: Site) -> None:
    package = plugin(site, "reg-liar", "liar")
    site.module(f"{package}.configuration", PLAIN.format(model_type="another"))
    with pytest.raises(PluginLoadError, match="has model_type='another', but its manifest is for 'liar'"):
        registry_of(site).config_class_for("liar")


@pytest.mark.parametrize(
    ("api", "said"),
    [("2.0", "Upgrade the core"), ("1.99", "Upgrade the core"), ("0.9", "pip install -U reg-api")],
)
def test_another_plugin_interface_is_refused_naming_both_versions(site: Site, api: str, said: str) -> None:
    plugin(site, "reg-api", "future", "3.0", extra=f'api="{api}"')
    with pytest.raises(PluginLoadError) as error:
        registry_of(site).architecture_for("future")
    assert f"Plugin reg-api 3.0 needs formers plugin API {api}, but formers " in str(error.value)
    assert " has 1.0." in str(error.value)
    assert said in str(error.value)
    with pytest.raises(PluginLoadError, match=f"needs formers plugin API {api}"):
        registry_of().register(Architecture("future", config="m:C", api=api))


def test_a_field_of_a_newer_interface_is_a_matter_of_versions(site: Site) -> None:
    plugin(site, "reg-newer", "newer", extra='api="1.99", invented_later=3')
    with pytest.raises(PluginLoadError, match=r"reg-newer 1\.0\.0 needs formers plugin API 1\.99"):
        registry_of(site).architecture_for("newer")


def test_a_type_of_tokenizers_only_has_no_configuration(site: Site) -> None:
    plugin(site, "reg-text", "whole-text")
    site.module(
        "reg_text.plugin",
        'from formers import Architecture\nARCHITECTURE = Architecture("whole-text", tokenizer="reg_text.tok:T")\n',
    )
    registry = registry_of(site)
    with pytest.raises(
        UnsupportedHeadError, match=r"'whole-text' \(plugin reg-text 1\.0\.0\) has tokenizers only"
    ):
        registry.config_class_for("whole-text")
    config: Any = type("Own", (), {"model_type": "whole-text"})()
    assert registry.heads_for(config) == ["AutoTokenizer"]
    with pytest.raises(UnsupportedHeadError, match="AutoModel has no class for model type 'whole-text'"):
        registry.auto_class_for("AutoModel", config)
    with registry.attribution("whole-text"):
        pass


def test_a_registered_reference_that_cannot_be_imported_says_whose_it_is() -> None:
    registry = registry_of()
    registry.register(Architecture("mine", config="reg_missing.configuration:Config"))
    with pytest.raises(PluginLoadError, match=r"'mine' registered in this process names 'reg_missing\.conf"):
        registry.config_class_for("mine")


def test_strict_mode_fails_at_the_first_question(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.dist("formers-broken", models={"broken": "strictly_missing:A"})
    plugin(site, "reg-strict", "strict")
    monkeypatch.setenv("FORMERS_STRICT_PLUGINS", "1")
    registry = registry_of(site)
    for _ in range(2):
        with pytest.raises(PluginLoadError, match="formers-broken"):
            registry.architecture_for("strict")
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "formers-broken")
    assert registry.architecture_for("strict").model_type == "strict"


# -- several distributions ---------------------------------------------------------------------------------------------


def test_two_distributions_conflict_only_when_the_type_is_used(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["formers-zeta", "formers-other", "formers-alpha"]
    sites = [Site(tmp_path / name) for name in names]
    for one, name in zip(sites, names, strict=True):
        monkeypatch.syspath_prepend(str(one))
        plugin(one, name, "lonely" if name == "formers-other" else "twice")
    texts = set()
    for order in itertools.permutations(sites):
        registry = registry_of(*order)
        assert registry.architecture_for("lonely").model_type == "lonely"
        with pytest.raises(PluginConflictError) as error:
            registry.architecture_for("twice")
        texts.add(str(error.value))
        monkeypatch.setenv("FORMERS_PREFER", "x=y, twice=Formers_Zeta")
        assert registry.architecture_for("twice").config.startswith("formers_zeta.")
        monkeypatch.setenv("FORMERS_PREFER", "twice=formers-alpha")
        assert registry.architecture_for("twice").config.startswith("formers_alpha.")
        monkeypatch.setenv("FORMERS_PREFER", "twice=formers-nobody")
        with pytest.raises(PluginConflictError, match="'formers-nobody' for it, which is none of them"):
            registry.architecture_for("twice")
        monkeypatch.setenv("FORMERS_PREFER", "twice")
        with pytest.raises(PluginConflictError, match="is not type=distribution"):
            registry.architecture_for("twice")
        monkeypatch.delenv("FORMERS_PREFER")
    assert len(texts) == 1
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "formers-alpha")
    assert registry_of(*sites).architecture_for("twice").config.startswith("formers_zeta.")


def test_a_distribution_does_not_conflict_with_itself(tmp_path: Path, site: Site) -> None:
    plugin(site, "reg-twin", "twin", "2.0")
    other = Site(tmp_path / "older")
    other.dist("reg-twin", "1.0", models={"twin": "somewhere.else:A"})
    assert registry_of(site, other, site).architecture_for("twin").model_type == "twin"


# -- switches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["reg-off", "*", " Reg_Off , another"])
def test_a_plugin_that_is_switched_off_is_never_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    plugin(site, "reg-off", "off")
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", value)
    registry = registry_of(site)
    with pytest.raises(UnknownModelTypeError, match="switched off by FORMERS_DISABLE_PLUGINS"):
        registry.architecture_for("off")
    assert registry.known_model_types() == []
    assert [found.name for found in registry.installed()] == ["off"]
    assert not any(name.startswith("reg_off") for name in sys.modules)


def test_the_allow_list(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(site, "reg-yes", "yes")
    plugin(site, "reg-no", "no")
    monkeypatch.setenv("FORMERS_PLUGINS", "reg-yes")
    registry = registry_of(site)
    assert registry.architecture_for("yes").model_type == "yes"
    with pytest.raises(UnknownModelTypeError, match="switched off by FORMERS_PLUGINS"):
        registry.architecture_for("no")
    monkeypatch.setenv("FORMERS_PLUGINS", "")
    assert registry.known_model_types() == []


def test_a_misspelt_allow_list_is_reported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(site, "reg-spelt", "spelt")
    monkeypatch.setenv("FORMERS_PLUGINS", "reg-spelt,reg-speld")
    registry = registry_of(site)
    with pytest.warns(PluginWarning, match="reg-speld"):
        registry.architecture_for("spelt")
    registry.architecture_for("spelt")  # once is enough
    monkeypatch.setenv("FORMERS_STRICT_PLUGINS", "1")
    with pytest.raises(PluginLoadError, match="reg-speld"):
        registry_of(site).architecture_for("spelt")


# -- registrations -----------------------------------------------------------------------------------------------------


def a_config(model_type: str, *bases: type, **attributes: Any) -> Any:
    return type(
        "SomeConfig", bases or (object,), {"model_type": model_type, "architectures": None, **attributes}
    )


def test_what_is_registered_serves_this_process() -> None:
    registry = registry_of()
    config_class, model_class = a_config("mine"), type("MyModel", (), {})
    registry.register_config("mine", config_class)
    registry.register_class("AutoModel", config_class, model_class)
    assert registry.config_class_for("mine") is config_class
    assert registry.auto_class_for("AutoModel", config_class()) is model_class
    assert registry.known_model_types() == ["mine"]
    assert registry.heads_for(config_class()) == ["AutoModel"]
    assert registry.registered_classes("AutoModel") == [model_class]
    assert registry.architecture_of_config(config_class()) is None
    with pytest.raises(UnsupportedHeadError, match="Auto classes that this type has: AutoModel"):
        registry.auto_class_for("AutoModelForCTC", config_class())


def test_a_whole_architecture_can_be_registered(site: Site) -> None:
    plugin(site, "reg-session", "elsewhere")
    registry = registry_of()
    manifest = Architecture(
        "session", config="reg_session.configuration:Config", auto={"AutoModel": "reg_session.modeling:Model"}
    )
    registry.register(manifest)
    assert registry.architecture_for("session") is manifest
    with pytest.raises(PluginLoadError, match="registered in this process has model_type='elsewhere'"):
        registry.config_class_for("session")
    with pytest.raises(PluginConflictError, match="a registration in this process"):
        registry.register(manifest)
    registry.register(manifest, exist_ok=True)
    with pytest.raises(ConfigValidationError, match=r"needs a formers.Architecture"):
        registry.register("session")  # type: ignore[arg-type]


def test_taken_names_are_refused_and_replaced_with_exist_ok(site: Site) -> None:
    plugin(site, "reg-taken", "taken")
    registry = registry_of(site)
    config_class = a_config("taken")
    with pytest.raises(PluginConflictError, match=r"installed package reg-taken 1\.0\.0"):
        registry.register_config("taken", config_class)
    assert "reg_taken" not in sys.modules, "metadata alone says that a name is installed"
    registry.register_config("taken", config_class, exist_ok=True)
    assert registry.config_class_for("taken") is config_class
    with pytest.raises(PluginConflictError):
        registry.register_config("taken", config_class)
    assert registry.auto_class_for("AutoModel", config_class()).__name__ == "Model", "by model_type"
    model_class = type("Mine", (), {})
    registry.register_class("AutoModel", config_class, model_class)
    assert registry.auto_class_for("AutoModel", config_class()) is model_class
    with pytest.raises(PluginConflictError, match="AutoModel already has a class for SomeConfig"):
        registry.register_class("AutoModel", config_class, model_class)
    registry.register_class("AutoModel", config_class, model_class, exist_ok=True)


def test_a_name_that_is_switched_off_is_free(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(site, "reg-free", "free")
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "reg-free")
    registry = registry_of(site)
    registry.register_config("free", a_config("free"))
    assert registry.known_model_types() == ["free"]


def test_heads_of_an_installed_type_are_taken_and_others_are_free(site: Site) -> None:
    plugin(site, "reg-add", "add")
    registry = registry_of(site)
    config_class = registry.config_class_for("add")
    with pytest.raises(PluginConflictError):
        registry.register_class("AutoModel", config_class, type("Mine", (), {}))
    mine = type("MyCTC", (), {})
    registry.register_class("AutoModelForCTC", config_class, mine)
    assert registry.auto_class_for("AutoModelForCTC", config_class()) is mine
    assert "AutoModelForCTC" in registry.heads_for(config_class())


def test_exact_class_then_bases_then_model_type(site: Site) -> None:
    plugin(site, "reg-order", "order")
    registry = registry_of(site)
    parent = registry.config_class_for("order")
    child = a_config("order-child", parent)
    grandchild = a_config("order-grandchild", child)
    registry.register_config("order-child", child)
    assert registry.auto_class_for("AutoModel", child()).__name__ == "Model", "through the base"
    child_model = type("ChildModel", (), {})
    registry.register_class("AutoModel", child, child_model)
    assert registry.auto_class_for("AutoModel", child()) is child_model
    assert registry.auto_class_for("AutoModel", grandchild()) is child_model, "the nearest base first"
    assert registry.auto_class_for("AutoModel", parent()).__name__ == "Model"
    assert registry.auto_class_for("AutoModelForMaskedLM", grandchild()).__name__ == "ForMaskedLM"
    foreign = a_config("order")
    assert registry.auto_class_for("AutoModel", foreign()).__name__ == "Model", "by model_type"


def test_registrations_are_checked() -> None:
    registry = registry_of()
    config_class = a_config("checked")
    with pytest.raises(
        ConfigValidationError, match=r"SomeConfig\.model_type is 'checked'.*registered as 'other'"
    ):
        registry.register_config("other", config_class)
    for wrong in ("checked", None, 5, config_class(), object, a_config("")):
        with pytest.raises(ConfigValidationError, match="is not a configuration class"):
            registry.register_config("checked", wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigValidationError, match="is not a configuration class"):
            registry.register_class("AutoModel", wrong, type("M", (), {}))  # type: ignore[arg-type]
    with pytest.raises(ConfigValidationError, match="'Model' is not a class"):
        registry.register_class("AutoModel", config_class, "Model")  # type: ignore[arg-type]
    with pytest.raises(ConfigValidationError, match="no class given"):
        registry.register_class("AutoModel", config_class, ())
    other = type("OtherConfig", (), {"model_type": "checked"})
    with pytest.raises(
        ConfigValidationError, match=r"config_class is OtherConfig.*registered for SomeConfig"
    ):
        registry.register_class("AutoModel", config_class, type("M", (), {"config_class": other}))
    registry.register_class("AutoModel", config_class, type("M", (), {"config_class": config_class}))


def test_temporary_registrations_are_forgotten() -> None:
    registry = registry_of()
    with registry.temporary_registrations():
        registry.register_config("brief", a_config("brief"))
        assert registry.known_model_types() == ["brief"]
    assert registry.known_model_types() == []


@pytest.mark.parametrize("value", [None, 5, ["acme"], {"a": 1}, "", "../../os"])
def test_a_model_type_from_a_file_may_be_anything(value: object) -> None:
    registry = registry_of()
    with pytest.raises(UnknownModelTypeError) as error:
        registry.config_class_for(value)
    assert repr(value) in str(error.value)
    assert isinstance(error.value, ValueError)
    assert isinstance(error.value, KeyError)


# -- attribution and threads -------------------------------------------------------------------------------------------


def test_an_exception_from_a_plugin_carries_a_note(site: Site) -> None:
    package = plugin(site, "reg-note", "note", "4.0")
    site.module(
        f"{package}.modeling",
        "class Model:\n    def __init__(self):\n        raise ZeroDivisionError('mine')",
    )
    registry = registry_of(site)
    model_class = registry.auto_class_for("AutoModel", config_of(registry, "note"))
    with pytest.raises(ZeroDivisionError, match="mine") as error, registry.attribution("note"):
        model_class()
    assert error.value.__notes__ == ["Raised inside plugin reg-note 4.0 (reg_note.modeling, line 3)."]


def test_an_exception_from_elsewhere_carries_none(site: Site) -> None:
    plugin(site, "reg-quiet", "quiet")
    registry = registry_of(site)
    for model_type in ("quiet", "nobody"):
        with pytest.raises(OSError, match="corrupt") as error, registry.attribution(model_type):
            raise OSError("corrupt")
        assert not hasattr(error.value, "__notes__")


def test_threads_get_one_manifest(site: Site) -> None:
    plugin(site, "reg-threads", "threads")
    registry = registry_of(site)
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        found.append(registry.architecture_for("threads"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(architecture) for architecture in found}) == 1


def test_a_plugin_may_ask_and_register_while_it_is_imported(site: Site) -> None:
    package = plugin(site, "reg-busy", "busy")
    site.module(
        f"{package}.plugin",
        """
        from formers.plugins import registry
        from formers.plugins.manifest import Architecture
        registry.known_model_types()
        ARCHITECTURE = Architecture("busy", config="reg_busy.configuration:Config")
        """,
    )
    assert registry_of(site).architecture_for("busy").model_type == "busy"
