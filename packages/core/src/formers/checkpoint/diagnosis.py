"""Why the names of a checkpoint do not fit a model: the one change that would make them fit.

Each kind of mistake proposes changes, by comparing the names that are left over on both sides; the change that
brings most stored tensors to a place of equal shape wins. Up to three changes are combined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

__all__ = ["diagnose"]

T = TypeVar("T")
Shapes = Mapping[str, tuple[int, ...]]
_SAMPLE = 500  # left-over names that are compared; more would not say more
_TRIED = 6  # proposals of one kind that are tried on all names
_STEPS = 3


@dataclass(frozen=True, slots=True)
class _Change:
    text: str
    apply: Callable[[str], str]


def diagnose(stored: Shapes, expected: Shapes) -> str | None:
    """A sentence such as "all 103 keys match after removing the prefix 'module.'", or None.

    ``stored`` and ``expected`` map names to shapes; both should be in the model's naming, after its rules.
    """
    names = dict(stored)
    texts: list[str] = []
    matched = _matches(names, expected)
    for _ in range(_STEPS):
        found = _best_change(names, expected)
        if found is None:
            break
        change, renamed = found
        names, texts = renamed, [*texts, change.text]
    after = _matches(names, expected)
    if not texts or after <= matched:
        return _other_reasons(stored, expected)
    count = f"all {len(expected)}" if after == len(expected) else f"{after} of {len(expected)}"
    return f"{count} keys match after {' and '.join(texts)}"


def _matches(names: Shapes, expected: Shapes) -> int:
    return sum(expected.get(name) == shape for name, shape in names.items())


def _best_change(names: Shapes, expected: Shapes) -> tuple[_Change, dict[str, tuple[int, ...]]] | None:
    left_over = [name for name in names if name not in expected][:_SAMPLE]
    wanted = [name for name in expected if name not in names][:_SAMPLE]
    if not left_over or not wanted:
        return None
    best, best_score = None, _matches(names, expected)
    for change in _proposals(left_over, wanted):
        renamed = {change.apply(name): shape for name, shape in names.items()}
        score = _matches(renamed, expected)
        if score > best_score:
            best, best_score = (change, renamed), score
    return best


def _proposals(left_over: list[str], wanted: list[str]) -> Iterator[_Change]:
    for prefix in _common(_prefixes_to_remove(left_over, wanted)):
        yield _Change(f"removing the prefix {prefix!r}", partial(_with_prefix, prefix, ""))
    for prefix in _common(_prefixes_to_remove(wanted, left_over)):
        yield _Change(f"adding the prefix {prefix!r}", partial(_with_prefix, "", prefix))
    for old, new in _common(_prefixes_to_replace(left_over, wanted)):
        yield _Change(f"replacing the prefix {old!r} by {new!r}", partial(_with_prefix, old, new))
    for part in _common(_parts_to_remove(left_over, wanted)):
        yield _Change(f"removing {part + '.'!r} from the names", partial(_without, part))
    replaced = _common(_parts_to_replace(left_over, wanted))
    if any(old.isdecimal() and new.isdecimal() for old, new in replaced):
        for shift in (-1, 1):
            yield _Change(f"adding {shift} to the layer numbers", partial(_shifted, shift))
    for old, new in replaced:
        if not old.isdecimal():
            yield _Change(f"renaming {old!r} to {new!r}", partial(_with_part, old, new))


def _common(found: Iterable[T]) -> list[T]:
    return [value for value, _ in Counter(found).most_common(_TRIED)]


def _prefixes_to_remove(long: list[str], short: list[str]) -> Iterator[str]:
    """Beginnings of names in ``long`` behind which a name of ``short`` follows."""
    short_names = set(short)
    for name in long:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in short_names:
                yield ".".join(parts[:cut]) + "."


def _prefixes_to_replace(left_over: list[str], wanted: list[str]) -> Iterator[tuple[str, str]]:
    by_end: dict[str, list[str]] = {}
    for name in wanted:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            by_end.setdefault(".".join(parts[cut:]), []).append(".".join(parts[:cut]) + ".")
    for name in left_over:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if parts[
                cut - 1
            ].isdecimal():  # one layer is not another; a shift of all of them is tried elsewhere
                break
            for new in by_end.get(".".join(parts[cut:]), [])[:_TRIED]:
                yield ".".join(parts[:cut]) + ".", new


def _parts_to_remove(left_over: list[str], wanted: list[str]) -> Iterator[str]:
    places = set(wanted)
    for name in left_over:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[:cut] + parts[cut + 1 :]) in places:
                yield parts[cut]


def _parts_to_replace(left_over: list[str], wanted: list[str]) -> Iterator[tuple[str, str]]:
    gaps: dict[tuple[int, str], list[str]] = {}
    for name in wanted:
        parts = name.split(".")
        for cut, part in enumerate(parts):
            gaps.setdefault((cut, ".".join(parts[:cut] + parts[cut + 1 :])), []).append(part)
    for name in left_over:
        parts = name.split(".")
        for cut, part in enumerate(parts):
            for new in gaps.get((cut, ".".join(parts[:cut] + parts[cut + 1 :])), [])[:_TRIED]:
                yield part, new


def _with_prefix(old: str, new: str, name: str) -> str:
    return new + name[len(old) :] if name.startswith(old) else name


def _with_part(old: str, new: str, name: str) -> str:
    return ".".join(new if part == old else part for part in name.split("."))


def _without(part: str, name: str) -> str:
    return ".".join(one for one in name.split(".") if one != part)


def _shifted(shift: int, name: str) -> str:
    parts = name.split(".")
    for position, part in enumerate(parts):
        if part.isdecimal():
            parts[position] = str(int(part) + shift)
            break
    return ".".join(parts)


def _other_reasons(stored: Shapes, expected: Shapes) -> str | None:
    """What no renaming cures: transposed matrices, another number of layers."""
    unequal = [name for name, shape in stored.items() if name in expected and expected[name] != shape]
    if unequal and all(expected[name] == stored[name][::-1] for name in unequal):
        return f"all {len(unequal)} tensors of another shape match after transposing"
    for stem in dict.fromkeys(_layer_stem(name) for name in expected):
        if stem is None:
            continue
        have, want = _layer_count(stored, stem), _layer_count(expected, stem)
        if have and have != want:
            return f"the checkpoint has {have} layers {stem!r}, the model {want}"
    return None


def _layer_stem(name: str) -> str | None:
    parts = name.split(".")
    for position, part in enumerate(parts):
        if part.isdecimal():
            return ".".join(parts[:position]) + "."
    return None


def _layer_count(shapes: Shapes, stem: str) -> int:
    numbers = (name[len(stem) :].split(".", 1)[0] for name in shapes if name.startswith(stem))
    return max((int(number) + 1 for number in numbers if number.isdecimal()), default=0)
