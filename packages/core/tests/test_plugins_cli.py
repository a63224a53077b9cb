from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_dists import Site, python

from formers.cli import main
from formers.plugins import discovery


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for variable in (
        "FORMERS_PLUGINS",
        "FORMERS_DISABLE_PLUGINS",
        "FORMERS_PREFER",
        "FORMERS_STRICT_PLUGINS",
    ):
        monkeypatch.delenv(variable, raising=False)
    yield Site(tmp_path / "site")
    discovery.refresh()


def use(monkeypatch: pytest.MonkeyPatch, *sites: Site) -> None:
    index = discovery.scan([str(site) for site in sites])
    monkeypatch.setattr(discovery, "index", lambda: index)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    return code, capsys.readouterr().out


def test_list_shows_what_metadata_says(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.dist("formers-one", "1.5", models={"one": "cli_missing:A", "both": "cli_missing:B"})
    site.dist("formers-two", models={"both": "cli_missing:C"}, hooks={"two": "cli_missing.hooks"})
    other = Site(tmp_path / "other")
    other.dist("formers-one", "1.4", models={"one": "cli_missing:A"})
    use(monkeypatch, site, other)

    def states() -> dict[tuple[str, str], str]:
        code, text = run(capsys, "plugins", "list", "--json")
        assert code == 0
        rows: list[dict[str, Any]] = json.loads(text)
        return {(row["name"], row["package"] + " " + row["version"]): row["status"] for row in rows}

    assert states() == {
        ("both", "formers-one 1.5"): "ambiguous: formers-one, formers-two",
        ("both", "formers-two 1.0.0"): "ambiguous: formers-one, formers-two",
        ("one", "formers-one 1.5"): "ok",
        ("two", "formers-two 1.0.0"): "ok",
        ("one", "formers-one 1.4"): "hidden by another copy of the package",
    }
    monkeypatch.setenv("FORMERS_PREFER", "both=formers-two")
    assert states()["both", "formers-one 1.5"] == "passed over for formers-two"
    assert states()["both", "formers-two 1.0.0"] == "ok (preferred)"
    monkeypatch.setenv("FORMERS_PREFER", "nonsense")
    assert "is not type=distribution" in states()["both", "formers-two 1.0.0"]
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "*")
    assert set(states().values()) == {
        "off (FORMERS_DISABLE_PLUGINS)",
        "hidden by another copy of the package",
    }
    monkeypatch.delenv("FORMERS_DISABLE_PLUGINS")
    code, text = run(capsys, "plugins")
    assert code == 0
    assert text.splitlines()[0].split() == ["name", "kind", "package", "version", "status"]
    assert "formers-one  1.5" in text


def test_an_empty_list_says_what_to_install(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, site)
    assert "pip install formers-" in run(capsys, "plugins", "list")[1]
    assert run(capsys, "plugins", "doctor") == (0, "No plugins are installed.\n")
    assert main(["plugins", "doctor", "nobody"]) == 1
    assert "No installed plugin is called 'nobody'" in capsys.readouterr().err


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "plugins" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0


def test_doctor_finds_every_kind_of_fault(site: Site) -> None:
    site.dist("formers-import", models={"import": "cli_import.plugin:ARCHITECTURE"})
    site.module("cli_import.plugin", "import libdoesnotexist")
    site.architecture(
        "formers-heads", "heads", extra='auto={"AutoModelForNothing": "formers_heads.modeling:M"}'
    )
    site.architecture("formers-heavy", "heavy")
    site.module(
        "formers_heavy.configuration",
        "import torch\nfrom formers import PreTrainedConfig\n"
        "class Config(PreTrainedConfig):\n    model_type = 'heavy'\n",
    )
    site.module("torch", "")
    site.architecture("formers-needy", "needy")
    metadata = site.path / "formers_needy-1.0.0.dist-info" / "METADATA"
    metadata.write_text(
        metadata.read_text() + "Requires-Dist: pluggy<0.1\nRequires-Dist: not-there; extra == 'x'\n"
        "Requires-Dist: not-there-either\n"
    )
    site.dist("formers-hooks", hooks={"hooks": "cli_hooks"})
    site.module("cli_hooks", "from formers import hookimpl\n@hookimpl\ndef formers_nothing(): pass\n")
    site.dist("formers-hooked", hooks={"hooked": "cli_hooked"})
    site.module(
        "cli_hooked", "from formers import hookimpl\n@hookimpl\ndef formers_checkpoint_formats(): return []\n"
    )
    site.dist("formers-giving", hooks={"giving": "cli_giving"})
    site.module(
        "cli_giving",
        "from formers import TokenizerConverter, hookimpl\n@hookimpl\ndef formers_tokenizer_converters():\n"
        "    return [7, TokenizerConverter('c', files=('a',), convert='libdoesnotexist:f')]\n",
    )
    site.dist("formers-raising", hooks={"raising": "cli_raising"})
    site.module(
        "cli_raising",
        "from formers import hookimpl\n@hookimpl\ndef formers_tokenizer_converters(): raise KeyError('lost')\n",
    )
    site.architecture("formers-well", "well", "7.0")
    done = python(
        "import sys; from formers.cli import main; sys.exit(main(['plugins', 'doctor', '--json']))",
        site,
        check=False,
        FORMERS_PLUGINS=",".join(
            f"formers-{name}"
            for name in [
                "import",
                "heads",
                "heavy",
                "needy",
                "hooks",
                "hooked",
                "giving",
                "raising",
                "well",
                "x",
            ]
        ),
    )
    assert done.returncode == 1, done.stderr
    content = json.loads(done.stdout)
    reports = {report["name"]: report for report in content["plugins"]}

    def problems(name: str) -> str:
        return "\n".join(reports[name]["problems"])

    assert "No module named 'libdoesnotexist'" in problems("import")
    assert "cli_import/plugin.py" in reports["import"]["traceback"]
    assert "there is no Auto class 'AutoModelForNothing'" in problems("heads")
    assert "imports torch" in problems("heavy")
    assert "it requires pluggy<0.1, but" in problems("needy")
    assert "it requires not-there-either, which is not installed" in problems("needy")
    assert "extra" not in problems("needy")
    assert "formers_nothing" in problems("hooks")
    assert reports["hooked"]["hooks"] == ["formers_checkpoint_formats"]
    assert "formers_tokenizer_converters() gives 7, no TokenizerConverter" in problems("giving")
    assert "libdoesnotexist:f cannot be imported" in problems("giving")
    assert "formers_tokenizer_converters() raises KeyError: 'lost'" in problems("raising")
    well = reports["well"]
    assert well["problems"] == []
    assert (well["version"], well["api"], well["classes"], well["editable"]) == (
        "7.0",
        "1.0",
        ["AutoConfig"],
        False,
    )
    assert well["import_ms"] >= 0
    assert "FORMERS_PLUGINS names formers-x" in content["problems"][0]


def test_doctor_of_one_plugin(site: Site) -> None:
    site.dist("formers-bad", models={"bad": "cli_bad:A"})
    site.module("cli_bad", "raise SystemExit('half installed')")
    site.architecture("formers-fine", "fine")
    code = "import sys; from formers.cli import main; sys.exit(main(['plugins', 'doctor', {name!r}]))"
    for name in ("fine", "Formers_Fine"):
        done = python(code.format(name=name), site)
        assert "fine (architecture): formers-fine 1.0.0, ok" in done.stdout
        assert "bad" not in done.stdout
    done = python(code.format(name="bad"), site, check=False)
    assert done.returncode == 1
    assert "bad (architecture): formers-bad 1.0.0, problems" in done.stdout
    assert "SystemExit: half installed" in done.stdout
    listed = python("from formers.cli import main; main(['plugins'])", site)
    assert "formers-bad" in listed.stdout
