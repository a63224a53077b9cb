"""What is installed works in every process, costs little, and imports nothing that was not asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_dists import Site, python

LOAD = """
import sys
from formers import AutoConfig
config = AutoConfig.from_pretrained({folder!r})
print(type(config).__module__, config.size, *sorted(name for name in sys.modules if name.startswith("formers_dummy")))
"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "acme", "size": 7}))
    return str(folder)


def test_a_spawned_process_needs_no_import_line(tmp_path: Path, checkpoint: str) -> None:
    site = Site(tmp_path / "site")
    site.architecture("formers-acme", "acme")
    site.module(
        "spawning",
        """
        from formers import AutoConfig

        def load(folder):
            config = AutoConfig.from_pretrained(folder)
            return type(config).__module__, config.size
        """,
    )
    code = f"""
    import multiprocessing
    from spawning import load
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.apply(load, ({checkpoint!r},)))
    """
    assert python(code, site).stdout.split() == ["formers_acme.configuration", "7"]


def test_among_a_thousand_plugins_one_is_imported(tmp_path: Path, checkpoint: str) -> None:
    crowd = Site(tmp_path / "crowd")
    for number in range(1000):
        package = f"formers_dummy_{number}"
        crowd.dist(f"formers-dummy-{number}", models={f"dummy-{number}": f"{package}:ARCHITECTURE"})
        (crowd.path / f"{package}.py").write_text("raise RuntimeError('imported')")
    crowd.architecture("formers-acme", "acme")
    assert python(LOAD.format(folder=checkpoint), crowd).stdout.split() == ["formers_acme.configuration", "7"]


def test_a_broken_neighbour_changes_nothing(tmp_path: Path, checkpoint: str) -> None:
    site = Site(tmp_path / "site")
    site.architecture("formers-acme", "acme")
    site.dist("formers-dummy", models={"broken": "formers_dummy:A"}, hooks={"broken": "formers_dummy"})
    site.module("formers_dummy", "raise SystemExit(1)")
    assert python(LOAD.format(folder=checkpoint), site).stdout.split() == ["formers_acme.configuration", "7"]
    done = python(LOAD.format(folder=checkpoint), site, check=False, FORMERS_STRICT_PLUGINS="1")
    assert "PluginLoadError: Plugin formers-dummy 1.0.0 (model type 'broken')" in done.stderr


def test_loading_a_configuration_is_light(tmp_path: Path, checkpoint: str) -> None:
    site = Site(tmp_path / "site")
    site.architecture("formers-acme", "acme")
    code = LOAD.format(folder=checkpoint) + (
        "heavy = {'torch', 'numpy', 'huggingface_hub', 'pluggy', 'importlib_metadata', 'importlib.metadata', "
        "'tokenizers', 'safetensors', 'dataclasses', 'inspect', 'asyncio', 'socket', 'ssl', 'email'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    assert python(code, site).stdout.splitlines()[1] == ""


def test_an_exception_in_a_models_constructor_names_the_plugin(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.architecture("formers-acme", "acme", "1.4", 'auto={"AutoModel": "formers_acme.modeling:Model"}')
    site.module(
        "formers_acme.modeling",
        """
        class Model:
            @classmethod
            def from_config(cls, config, **kwargs):
                raise ZeroDivisionError("mine")
        """,
    )
    code = """
    from formers import AutoConfig, AutoModel
    try:
        AutoModel.from_config(AutoConfig.for_model("acme"))
    except ZeroDivisionError as error:
        print(error, error.__notes__)
    """
    assert python(code, site).stdout.strip() == (
        "mine ['Raised inside plugin formers-acme 1.4 (formers_acme.modeling, line 5).']"
    )
