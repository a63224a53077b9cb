"""The public API changes only together with its snapshot and a changelog fragment."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("public_api", ROOT / "tools" / "public_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_api_is_that_of_the_snapshot(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([]) == 0, (
        f"{capsys.readouterr().out}\nDescribe the change in changelog.d/, then: "
        "python tools/public_api.py --write changelog.d/<package>.<word>.md"
    )


def test_the_last_change_is_described(tool: ModuleType) -> None:
    fragment = tool.fragment_of(tool.SNAPSHOT.read_text("utf-8"))
    assert (ROOT / fragment).read_text("utf-8").strip()


def test_every_kind_of_change_is_seen(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Before:
        def method(self, a: int = 1) -> None: ...

    class After:
        def method(self, a: int = 2) -> None: ...

        @property
        def more(self) -> int:
            return 1

    assert tool.describe("x.Name", Before) == ["x.Name()", "    method(self, a=1)"]
    assert tool.describe("x.Name", After) == ["x.Name()", "    method(self, a=2)", "    more (property)"]
    snapshot = tmp_path / "public-api.txt"
    monkeypatch.setattr(tool, "SNAPSHOT", snapshot)
    monkeypatch.setattr(tool, "render", lambda: "formers.old()\n")
    assert tool.main(["--write", "changelog.d/no-such-fragment.md"]) == 1
    assert not snapshot.exists()
    assert tool.main(["--write", "changelog.d/README.md"]) == 0
    assert tool.main([]) == 0
    monkeypatch.setattr(tool, "render", lambda: "formers.new()\n")
    capsys.readouterr()
    assert tool.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["-formers.old()", "+formers.new()"]
