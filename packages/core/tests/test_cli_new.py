"""``formers plugins new``: what it writes, and what it refuses."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from fake_dists import Site

from formers.cli import main
from formers.cli.new import render
from formers.errors import ConfigValidationError
from formers.plugins import discovery

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("name", "dist", "module", "prefix"),
    [
        ("acme", "formers-acme", "formers_acme", "Acme"),
        ("acme-v2", "formers-acme-v2", "formers_acme_v2", "AcmeV2"),
        ("my_own3", "formers-my-own3", "formers_my_own3", "MyOwn3"),
    ],
)
def test_the_names_follow_from_one(name: str, dist: str, module: str, prefix: str) -> None:
    content = render(name)
    project = tomllib.loads(content["pyproject.toml"])["project"]
    assert project["name"] == dist
    assert project["entry-points"]["formers.models"] == {name: f"{module}.plugin:ARCHITECTURE"}
    assert f"class {prefix}ForCausalLM(" in content[f"src/{module}/modeling.py"]
    assert f'conformance_suite("{name}")' in content["tests/test_conformance.py"]
    assert content[f"src/{module}/py.typed"] == ""
    for path, text in content.items():
        assert "$" not in text or path == "LICENSE", path
        if path.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("name", ["Acme", "2nd", "a--b", "a-", "", "a b", "../up", "a.b", "ä"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigValidationError, match="cannot be a model type; expected small letters"):
        render(name)


def test_the_package_is_written_where_it_is_wanted(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "some" / "where"
    assert main(["plugins", "new", "acme", "--folder", str(folder)]) == 0
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(
        render("acme")
    )
    assert "pytest" in capsys.readouterr().out
    (folder / "README.md").write_text("mine")
    assert main(["plugins", "new", "acme", "--folder", str(folder)]) == 1
    assert "is not an empty folder" in capsys.readouterr().err
    assert (folder / "README.md").read_text() == "mine"


def test_by_default_it_is_beside_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "acme_two"]) == 0
    assert (tmp_path / "formers-acme-two" / "pyproject.toml").is_file()


def test_a_taken_model_type_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    site = Site(tmp_path / "site")
    site.architecture("formers-acme", "acme")
    monkeypatch.syspath_prepend(str(site))
    discovery.refresh()
    assert main(["plugins", "new", "acme", "--folder", str(tmp_path / "new")]) == 1
    assert "'acme' belongs to formers-acme" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    monkeypatch.undo()
    discovery.refresh()
