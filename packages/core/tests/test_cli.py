from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from fake_dists import python

from formers import cli
from formers.cli import main
from formers.cli.commands import COMMANDS, Command, Group
from formers.errors import LoadError, TokenizerWarning


def leaves() -> Iterator[tuple[list[str], Command]]:
    for name, entry in COMMANDS.items():
        if isinstance(entry, Command):
            yield [name], entry
        else:
            for inner, command in entry.commands.items():
                yield [name, inner], command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command ``formers try``, whose ``run`` a test replaces."""
    module = ModuleType("cli_of_a_test")

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("text", nargs="*")

    module.add_arguments = add_arguments  # type: ignore[attr-defined]
    module.run = lambda _options: 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "try", Command(module.__name__, "a command of a test"))
    return module


@pytest.mark.parametrize(("words", "entry"), [*leaves()])
def test_every_command_has_help(words: list[str], entry: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: formers {' '.join(words)}" in shown
    assert entry.help[1:] in " ".join(shown.split())


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert main(["tokenizer"]) == 2
    assert "usage: formers tokenizer" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["plugin"], ["plugins", "lst"], ["plugins", "--colour"], ["tokenizer", "fingerprint"]]
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage: formers" in capsys.readouterr().err


def test_a_group_alone_means_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in (["plugins"], ["plugins", "list"], ["plugins", "--json"], ["plugins", "list", "--json"]):
        assert main(words) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2] == shown[3]
    group = COMMANDS["plugins"]
    assert isinstance(group, Group)
    with pytest.raises(SystemExit):
        main(["plugins", "--help"])
    assert all(name in capsys.readouterr().out for name in ("list",))


def test_an_error_is_one_message_and_its_status(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: argparse.Namespace) -> int:
        error = LoadError("nothing there\nlook elsewhere")
        error.add_note("Raised by somebody.")
        raise error

    monkeypatch.setattr(command, "run", fail)
    assert main(["try"]) == 1
    output = capsys.readouterr()
    assert output.err == "formers: nothing there\nlook elsewhere\nRaised by somebody.\n"
    assert output.out == ""
    for words in (["--traceback", "try"], ["try", "--traceback"]):
        with pytest.raises(LoadError, match="nothing there"):
            main(words)


def test_an_error_that_is_a_bug_is_a_traceback(command: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", lambda options: vars(options)["missing"])
    with pytest.raises(KeyError, match="missing"):
        main(["try"])


def test_the_status_is_that_of_the_command(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace) -> int:
        print(options.text)
        return len(options.text)

    monkeypatch.setattr(command, "run", run)
    assert main(["try", "a", "b"]) == 2
    assert main(["try", "--", "--traceback"]) == 1
    assert capsys.readouterr().out == "['a', 'b']\n['--traceback']\n"

    def interrupt(options: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupt)
    assert main(["try"]) == 130


def test_warnings_are_lines_of_text(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace) -> int:
        warnings.warn("that is odd", TokenizerWarning, stacklevel=1)
        warnings.warn("another's", UserWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(command, "run", run)
    show = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda message, *_: print(f"kept: {message}"))
        main(["try"])
    output = capsys.readouterr()
    assert output.err == "formers: warning: that is odd\n"
    assert output.out == "kept: another's\n"
    monkeypatch.undo()
    assert warnings.showwarning is show


def test_commands_are_imported_when_they_are_chosen() -> None:
    code = """
    import sys
    from formers.cli import main
    main(["plugins", "list"])
    heavy = {"torch", "numpy", "tokenizers", "huggingface_hub", "pluggy", "dataclasses", "importlib_metadata"}
    print(sorted(heavy & sys.modules.keys()))
    print(sorted(name for name in sys.modules if name.startswith("formers.cli.")))
    """
    shown = python(code).stdout.splitlines()
    assert shown[-2:] == ["[]", "['formers.cli.commands', 'formers.cli.listing']"]


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="pipes of this kind are POSIX")
def test_a_reader_that_goes_away_is_no_error() -> None:
    program = [sys.executable, "-W", "error", "-m", "formers.cli", "plugins", "doctor", "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == cli.CLOSED_PIPE


def test_it_is_a_module_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "formers.cli", "tokenizer", "fingerprint", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"formers: {tmp_path} does not say which tokenizer it holds")
