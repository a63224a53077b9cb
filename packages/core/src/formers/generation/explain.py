"""A plan as text for people: each setting, its value, and where it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers.errors import shorten
from formers.generation.defaults import DEFAULTS, GROUPS
from formers.generation.validation import is_neutral, missing_condition

if TYPE_CHECKING:
    from formers.generation.plan import GenerationPlan, Setting

__all__ = ["describe", "table"]

_WORDS = {
    "argument": "argument",
    "generation_config argument": "generation_config argument",
    "model.generation_config": "model.generation_config",
    "file": "generation_config.json",
    "model": "model configuration",
    "default": "default",
    "derived": "derived",
}
_MODES = {"sample": "sampling", "beam_sample": "beam search with sampling"}
_HEAD = ("setting", "value", "origin")
_WIDTH = 44  # of a value; longer ones are shortened


def describe(setting: Setting) -> str:
    """The origin of a setting in words."""
    words = _WORDS[setting.origin]
    return f"{words}: {setting.note}" if setting.note else words


def table(plan: GenerationPlan, *, everything: bool) -> str:
    """See :meth:`GenerationPlan.explain`."""
    groups = {
        title: [_row(plan, name) for name in names if everything or _matters(plan, name)]
        for title, names in GROUPS.items()
    }
    rows = [row for group in groups.values() for row in group]
    name_width = max(len(_HEAD[0]), *(len(row[0]) for row in rows)) + 2
    value_width = max(len(_HEAD[1]), *(len(row[1]) for row in rows))
    mode = plan.mode()
    lines = [f"Generation plan: {_MODES.get(mode, mode.replace('_', ' '))}", ""]
    lines.append(f"{_HEAD[0]:{name_width}}  {_HEAD[1]:{value_width}}  {_HEAD[2]}")
    lines.append(f"{'-' * name_width}  {'-' * value_width}  {'-' * max(len(row[2]) for row in rows)}")
    for title, group in groups.items():
        if group:
            lines.append(title)
            lines += [
                f"  {name:{name_width - 2}}  {value:{value_width}}  {origin}" for name, value, origin in group
            ]
    hidden = sum(map(len, GROUPS.values())) - len(rows)
    if hidden:
        lines += [
            "",
            f"{hidden} settings that change nothing here are left out; explain(everything=True) shows them.",
        ]
    return "\n".join(lines)


def _row(plan: GenerationPlan, name: str) -> tuple[str, str, str]:
    setting = plan.setting(name)
    origin = describe(setting)
    condition = missing_condition(plan, name)
    if condition is not None and not is_neutral(name, setting.value):
        origin += f"; no effect without {condition}"
    if setting.value is None:
        return name, "-" if setting.origin == "default" else "off", origin
    return name, shorten(setting.value, _WIDTH), origin


def _matters(plan: GenerationPlan, name: str) -> bool:
    """Whether a setting was asked for, or does something that a reader might not expect."""
    setting = plan.setting(name)
    if setting.origin == "default":
        return name in ("max_length", "max_new_tokens", "top_k") and (
            setting.value is not None and missing_condition(plan, name) is None
        )
    return setting.origin not in ("file", "model") or setting.value != DEFAULTS.get(name)
