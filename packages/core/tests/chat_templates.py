"""Chat templates in the styles that are in use, and conversations for them. All are written for these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATES = {
    path.stem: path.read_text("utf-8")
    for path in sorted((Path(__file__).parent / "data" / "chat_templates").glob("*.jinja"))
}

USER = {"role": "user", "content": "Where is the café, please?"}
ANSWER = {"role": "assistant", "content": "Round the corner, unbelievably close."}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 3}}}
    ],
}

CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "question": [USER],
    "answered": [USER, ANSWER],
    "long": [
        USER,
        ANSWER,
        {"role": "user", "content": "Thanks!\nAnd the museum?"},
        {**ANSWER, "content": "Next to it."},
    ],
    "system": [{"role": "system", "content": "  Be brief. "}, USER, ANSWER],
    "tool": [
        USER,
        CALL,
        {"role": "tool", "content": "{'rain': 0.3}"},
        {**ANSWER, "content": "Take an umbrella."},
    ],
    "thought": [
        USER,
        {**ANSWER, "content": "<think>\nLeft?\n</think>\n\nLeft."},
        USER,
        {**ANSWER, "reasoning_content": "Hm."},
    ],
    "parts": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is "},
                {"type": "image"},
                {"type": "text", "text": "?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "A cat"}]},
    ],
    "odd": [
        {"role": "user", "content": "\u200b\t é\U0001f600 </s> {{ 7 * 7 }} {% if %}"},
        {**ANSWER, "content": " x "},
    ],
}


def weather(city: str, days: int = 1, units: str | None = None) -> list[float]:
    """The weather of a place.

    Args:
        city: Name of the place,
            in any language.
        days: How many days.
        units: Degrees (choices: ["celsius", "fahrenheit"])

    Returns:
        A temperature for each day.
    """
    return [float(len(city))] * days


SCHEMA = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Finds «things»",
        "parameters": {
            "type": "object",
            "properties": {"q": {"type": ["string", "integer"], "description": "<b>"}},
        },
    },
}
PAPERS = [{"title": "A", "text": "One\ntwo"}, {"title": "B", "text": "é", "year": 1999}]
