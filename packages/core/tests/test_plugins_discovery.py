from __future__ import annotations

import itertools
import sys
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import importlib_metadata
import pytest
from fake_dists import Site, python
from hypothesis import given
from hypothesis import strategies as st

from formers.plugins import discovery
from formers.plugins.discovery import HOOKS, MODELS, Index, canonical, scan


def rows(index: Index) -> set[tuple[str, ...]]:
    return {(one.group, one.name, one.value, one.dist, one.version) for one in index.found}


def according_to_the_library(path: list[str]) -> set[tuple[str, ...]]:
    seen: set[str] = set()
    found = set()
    for dist in importlib_metadata.distributions(path=path):
        name = canonical(dist.metadata["Name"])
        if name not in seen:
            seen.add(name)
            for entry in dist.entry_points:
                if entry.group in discovery.GROUPS:
                    found.add((entry.group, entry.name, entry.value, name, dist.version))
    return found


def test_entry_points_of_our_groups_are_found(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.dist("Formers.Acme", "2.1", models={"acme": "acme.plugin:A", "acme-2": "acme.plugin:B"})
    site.dist("formers-extra", hooks={"extra": "extra.hooks"})
    site.dist("unrelated")
    assert rows(scan([str(tmp_path)])) == {
        (MODELS, "acme", "acme.plugin:A", "formers-acme", "2.1"),
        (MODELS, "acme-2", "acme.plugin:B", "formers-acme", "2.1"),
        (HOOKS, "extra", "extra.hooks", "formers-extra", "1.0.0"),
    }


def test_it_agrees_with_the_library_on_this_environment() -> None:
    assert rows(scan(sys.path)) == according_to_the_library(sys.path)


@given(
    dists=st.lists(
        st.tuples(
            st.sampled_from(["formers-a", "Formers_B", "formers.c", "d"]),
            st.sampled_from(["1.0", "2.0", "10.0"]),
            st.dictionaries(
                st.sampled_from(["x", "y-1", "z_2"]), st.sampled_from(["m:A", "m.n:B [extra]", "k :C"])
            ),
            st.sampled_from(["dist-info", "egg-info"]),
        ),
        max_size=5,
    )
)
def test_it_agrees_with_the_library_on_any_path(
    tmp_path_factory: pytest.TempPathFactory, dists: list[tuple[str, str, dict[str, str], str]]
) -> None:
    path = []
    for name, version, models, kind in dists:  # a folder each, so that the library's order is defined too
        site = Site(tmp_path_factory.mktemp("site"))
        site.dist(name, version, models=models, kind=kind)
        path.append(str(site))
    library = {row[:2] + row[3:] for row in according_to_the_library(path)}
    assert {row[:2] + row[3:] for row in rows(scan(path))} == library


def test_comments_extras_and_foreign_groups_are_understood(tmp_path: Path) -> None:
    folder = Site(tmp_path).dist("formers-acme")
    text = (
        "# formers.models\n[formers.models]\n# a = b:C\n\nacme = acme:A [fast]\n[formers.modelsx]\nno = n:N\n"
    )
    (folder / "entry_points.txt").write_text(text)
    (found,) = scan([str(tmp_path)]).found
    assert (found.name, found.value, found.package) == ("acme", "acme:A", "acme")


def test_the_first_copy_of_a_distribution_counts(tmp_path: Path) -> None:
    old, new = Site(tmp_path / "old"), Site(tmp_path / "new")
    old.dist("formers-acme", "1.0", models={"acme": "old:A"})
    new.dist("formers_acme", "2.0", models={"acme": "new:A"})
    index = scan([str(new), str(old), str(new)])
    assert [found.version for found in index.found] == ["2.0"]
    assert [found.version for found in index.shadowed] == ["1.0"]


def test_leftovers_in_one_folder(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.dist("formers-acme", "9.0", models={"acme": "old:A"})
    site.dist("formers-acme", "10.0", models={"acme": "new:A"})
    site.dist("formers-acme", "11.0", models={"acme": "egg:A"}, kind="egg-info")
    site.dist("~ormers-acme", "1.0", models={"acme": "half.removed:A"})
    index = scan([str(tmp_path)])
    assert [(found.dist, found.version) for found in index.found] == [("formers-acme", "10.0")]
    assert {found.version for found in index.shadowed} == {"9.0", "11.0"}


def test_providers_are_in_the_same_order_for_every_path(tmp_path: Path) -> None:
    names = ["formers-c", "formers-a", "formers-b"]
    for name in names:
        Site(tmp_path / name).dist(name, models={"acme": "m:A"})
    for order in itertools.permutations(names):
        index = scan([str(tmp_path / name) for name in order])
        assert [found.dist for found in index.providers(MODELS, "acme")] == sorted(names)


def test_what_cannot_be_scanned_is_asked_of_the_library(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    folder = site.dist("formers-zipped", "3.0", models={"zipped": "z:A"})
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for part in folder.iterdir():
            file.write(part, f"{folder.name}/{part.name}")
    assert rows(scan([str(archive)])) == {(MODELS, "zipped", "z:A", "formers-zipped", "3.0")}


def test_foreign_finders_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Site(tmp_path).dist("formers-elsewhere", models={"elsewhere": "e:A"})

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            return None

        @staticmethod
        def find_distributions(context: object = None) -> list[importlib_metadata.Distribution]:
            return [importlib_metadata.PathDistribution(folder)]

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert [found.dist for found in scan([]).found] == ["formers-elsewhere"]


def test_missing_and_unreadable_places_are_skipped(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    folder = site.dist("formers-acme", models={"acme": "a:A"})
    (folder / "entry_points.txt").unlink()
    (folder / "entry_points.txt").mkdir()
    (site.path / "stray.egg-info").write_text("Name: stray")
    assert scan([str(site), str(tmp_path / "missing")]).found == ()


def test_the_index_is_read_once_per_process_until_refreshed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.dist("formers-acme", models={"acme": "a:A"})
    code = """
    import sys
    from formers.plugins import discovery
    scans = []
    real = discovery.scan
    discovery.scan = lambda path: scans.append(1) or real(path)
    import formers
    assert not scans
    assert discovery.index() is discovery.index() and len(scans) == 1
    discovery.refresh()
    assert discovery.index().names("formers.models").count("acme") == 1 and len(scans) == 2
    print("importlib_metadata" in sys.modules, "importlib.metadata" in sys.modules)
    """
    assert python(code, site).stdout.split() == ["False", "False"]


@pytest.mark.parametrize("name", ["Formers_BIG.model", "formers-big-model", "formers--big__model"])
def test_canonical_names(name: str) -> None:
    assert canonical(name) == "formers-big-model"
