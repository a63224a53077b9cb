from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_dists import Site, python

from formers.errors import PluginLoadError, PluginWarning
from formers.plugins import discovery, hooks
from formers.plugins.hooks import Hooks

FORMATS = "formers_checkpoint_formats"


def builtin_formats() -> list[str]:
    return ["builtin"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    module = "hooked_core"
    monkeypatch.setitem(sys.modules, module, type(sys)(module))
    sys.modules[module].builtin = builtin_formats  # type: ignore[attr-defined]
    monkeypatch.setattr(hooks, "BUILTIN", {FORMATS: f"{module}:builtin"})
    monkeypatch.delenv("FORMERS_STRICT_PLUGINS", raising=False)
    yield site
    discovery.refresh()


def results(site: Site, monkeypatch: pytest.MonkeyPatch, name: str = FORMATS) -> list[Any]:
    index = discovery.scan([str(site)])
    monkeypatch.setattr(discovery, "index", lambda: index)
    return Hooks().call(name)


def hook(body: str, name: str = FORMATS, marker: str = "@hookimpl") -> str:
    return f"from formers import hookimpl\n{marker}\ndef {name}():\n    {body}\n"


def test_the_core_comes_first_then_plugins_by_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for dist in ("formers-zz", "formers-aa", "formers-mm"):
        module = f"hooks_of_{dist[-2:]}"
        site.dist(dist, hooks={dist[-2:]: module})
        site.module(module, hook(f"return ['{dist}']"))
    assert results(site, monkeypatch) == [["builtin"], ["formers-aa"], ["formers-mm"], ["formers-zz"]]


def test_the_builtin_is_imported_when_its_hook_is_called(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "BUILTIN", {FORMATS: "there_is_no_such_module:builtin"})
    assert results(site, monkeypatch, "formers_attention_implementations") == []
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        results(site, monkeypatch)


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("hooks_bad_import", "import libdoesnotexist", "No module named 'libdoesnotexist'"),
        ("hooks_bad_exit", "raise SystemExit(2)", "SystemExit: 2"),
        ("hooks_misspelt", hook("return []", name="formers_checkpoint_format"), "formers_checkpoint_format"),
        ("hooks_argument", hook("return []").replace("():", "(colour):"), "colour"),
        ("hooks_unmarked", hook("return []", marker=""), "not marked with @formers.hookimpl"),
    ],
)
def test_a_bad_plugin_is_left_out_with_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch, module: str, source: str, said: str
) -> None:
    site.dist("formers-bad", "0.3", hooks={"bad": module})
    site.module(module, source)
    site.dist("formers-good", hooks={"good": f"{module}_good"})
    site.module(f"{module}_good", hook("return ['good']"))
    with pytest.warns(PluginWarning, match="FORMERS_DISABLE_PLUGINS=formers-bad") as caught:
        assert results(site, monkeypatch) == [["builtin"], ["good"]]
    assert said in str(caught[0].message)
    monkeypatch.setenv("FORMERS_STRICT_PLUGINS", "1")
    with pytest.raises(PluginLoadError, match=r"Plugin formers-bad 0\.3 \(hooks 'bad'\)"):
        results(site, monkeypatch)
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "formers-bad")
    sys.modules.pop(module, None)
    assert results(site, monkeypatch) == [["builtin"], ["good"]]
    assert module not in sys.modules


def test_hooks_are_loaded_once_and_again_after_refreshing(site: Site) -> None:
    site.dist("formers-count", hooks={"count": "hooks_counted"})
    site.module("hooks_counted", hook("return ['counted']"))
    code = """
    import sys
    from formers import refresh_plugins
    from formers.plugins import hooks
    hooks.BUILTIN.clear()
    assert "pluggy" not in sys.modules
    call = lambda: [one for several in hooks.call("formers_checkpoint_formats") for one in several]
    assert call() == ["counted"] and call() == ["counted"]
    sys.path.remove({path!r})
    assert call() == ["counted"]
    refresh_plugins()
    print(call())
    """
    done = python(code.format(path=str(site)), site, FORMERS_PLUGINS="formers-count")
    assert done.stdout.strip() == "[]"
