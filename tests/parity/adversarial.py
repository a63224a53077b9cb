"""A seeded corpus of strings that are hard on tokenizers, and some ordinary ones."""

# ruff: noqa: RUF001, SIM905 - characters that look like others are the point; a list with a quote to a word is unreadable

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Callable

__all__ = ["KINDS", "corpus"]

LETTERS = "the quick brown fox; Don't stop 3.14 (10,000) U.S.A. e.g. naïve café ÅNGSTRÖM straße re-entry ﬁn x²".split()
SCRIPTS = (
    "ελληνικά ΑΣ русский ёж հայերեն ქართული İstanbul ığdır tiếng Việt አማርኛ தமிழ் தெலுగు ಕನ್ನಡ മലയാളം ไทย ລາວ မြန်မာ "
    "ភាសាខ្មែរ བོད་སྐད ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ 한국어 각 ㅎㅏㄴ ひらがな カタカナ ｶﾅ हिन्दी क्षि বাংলা ગુજરાતી 𐌰𐌱 𝔘𝔫𝔦 ℌ Ａｂｃ １２３ ⅷ ①"
).split()
CHINESE = "中文字 漢字 日本語 国 㐀 豈 𠀀 𪜀 々 〇 、 。 「」".split()
RIGHT_TO_LEFT = "שָׁלוֹם עברית العربية فارسی اُردُو ܣܘܪܝܝܐ ދިވެހި ﷺ ﻻ ـ ١٢٣".split()
SPACES = " \t\n\r\v\f\x1c\x85\xa0\u1680\u180e\u2003\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
EMOJI = "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 🇩 ✌️ ✌︎ 1️⃣ #⃣ 🫠 🧑🏿‍🚀 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤ ☃ ©️ 👨🏻‍🤝‍👨🏿".split()
LOOKALIKES = (
    "[CLS] [SEP] [MASK] [PAD] [UNK] [cls] [Mask] [MASK [MASK]] [[CLS]] ［ＭＡＳＫ］ [MASK]́ [M‍ASK] [MASK]x x[SEP]y "
    "[unused0] [unused99] <mask> <s> </s> <|endoftext|> ##ing ## #ing [CLS][SEP][PAD] [ [] ] \\[MASK\\] [МАЅК]"
).split()
PUNCTUATION = "!?.,;:'\"()-_/\\@#$%^&*~`|<>{}+=…–—‘’“”«»¿¡§¶†‡•·※⁂、。"


class _Maker:
    """Makes strings of each kind from one source of chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def characters(self) -> str:
        """Characters of any plane, assigned or not."""
        plane = self.random.choice((0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 14, *range(17)))
        found = "".join(self._character(plane) for _ in range(self.random.choice((1, 1, 2, 8))))
        return self.random.choice(("{}", "a{}b", "{0} {0}", "The{} end.")).format(found)

    def controls(self) -> str:
        """Controls, format characters, and what only looks like them."""
        found = self.random.choices(CONTROLS, k=self.random.choice((1, 1, 3)))
        return self.random.choice(("{}", "a{}b", "one {} two", "[MA{}SK]")).format("".join(found))

    def marks(self) -> str:
        """Letters with combining marks, composed or not; marks without letters."""
        bases = self.random.choices("aeo iAIÅñקक한g", k=self.random.randint(1, 4))
        text = "".join(
            base + "".join(self.random.choices(MARKS, k=self.random.choice((0, 1, 2, 20)))) for base in bases
        )
        form = self.random.choice(("NFC", "NFD", "NFKC", "NFKD", None))
        return unicodedata.normalize(form, text) if form else text

    def emoji(self) -> str:
        """Sequences of emoji, whole, side by side and torn apart."""
        found = "".join(self.random.choices(EMOJI, k=self.random.randint(1, 3)))
        return self.random.choice(("{}", "so {} much", "{}!")).format(found[self.random.choice((0, 0, 1)) :])

    def lookalikes(self) -> str:
        """Special tokens, and what looks like them."""
        words = self.random.choices((*LOOKALIKES, *LOOKALIKES, *LETTERS), k=self.random.randint(1, 6))
        return self.random.choice(("", " ", "  ")).join(words)

    def long_words(self) -> str:
        """Words at and far beyond the length at which word pieces give up."""
        length = self.random.choice((50, 99, 100, 101, 102, 300, 1000))
        letters = self.random.choice(
            ("a", "ab", "abcdefghij", "é", "中", "123", "aé中1", "x\u0301", "-", "👍")
        )
        return self.random.choice(("{}", "see {} there")).format(
            "".join(self.random.choices(letters, k=length))
        )

    def scripts(self) -> str:
        """Words of several scripts in one text."""
        words = self.random.choices((*SCRIPTS, *LETTERS), k=self.random.randint(1, 8))
        return self.random.choice((" ", " ", "", "-", "/")).join(words)

    def chinese(self) -> str:
        """Chinese, Japanese and their punctuation, with and without spaces."""
        words = self.random.choices((*CHINESE, *CHINESE, "and", "한국어", "ﾎﾟ"), k=self.random.randint(1, 8))
        return self.random.choice(("", "", " ")).join(words)

    def right_to_left(self) -> str:
        """Scripts from right to left, and the controls of direction."""
        words = self.random.choices(
            (*RIGHT_TO_LEFT, *RIGHT_TO_LEFT, "abc", "\u202e", "\u2067x\u2069"), k=self.random.randint(1, 6)
        )
        return self.random.choice((" ", "", "\u200f")).join(words)

    def spaces(self) -> str:
        """White space of every sort, between words and alone."""
        runs = ["".join(self.random.choices(SPACES, k=self.random.randint(1, 4))) for _ in range(4)]
        return self.random.choice(("{0}", "{0}a{1}b{2}", "the{0}end{1}.{2}{3}", "{0}中{1}")).format(*runs)

    def everything(self) -> str:
        """Pieces of all kinds."""
        makers = [maker for kind, maker in KINDS.items() if kind != "everything"]
        parts = [self.random.choice(makers)(self)[:200] for _ in range(self.random.randint(2, 6))]
        parts.append("".join(self.random.choices(PUNCTUATION, k=self.random.randint(0, 5))))
        return self.random.choice((" ", "", "\n")).join(parts)

    def sentences(self) -> str:
        """Ordinary text, from short to long."""
        return " ".join(self.random.choices(LETTERS, k=self.random.choice((3, 10, 30, 120)))) + "."

    def _character(self, plane: int) -> str:
        while True:
            code = plane * 0x10000 + self.random.randrange(0x10000)
            if not 0xD800 <= code <= 0xDFFF:
                return chr(code)


KINDS: dict[str, Callable[[_Maker], str]] = {
    "characters": _Maker.characters,
    "controls": _Maker.controls,
    "marks": _Maker.marks,
    "emoji": _Maker.emoji,
    "lookalikes": _Maker.lookalikes,
    "long words": _Maker.long_words,
    "scripts": _Maker.scripts,
    "chinese": _Maker.chinese,
    "right to left": _Maker.right_to_left,
    "spaces": _Maker.spaces,
    "everything": _Maker.everything,
    "sentences": _Maker.sentences,
}

_CATEGORIES = [(chr(code), unicodedata.category(chr(code))) for code in range(sys.maxunicode + 1)]
CONTROLS = [char for char, category in _CATEGORIES if category in ("Cc", "Cf")]
MARKS = [char for char, category in _CATEGORIES if category in ("Mn", "Mc", "Me")]
del _CATEGORIES


def corpus(number: int = 2400, seed: int = 20) -> list[str]:
    """Strings of all kinds in turn, no two of them equal; the first is empty."""
    maker = _Maker(seed)
    found = {"": None}
    makers = list(KINDS.values())
    attempt = 0
    while len(found) < number:
        found.setdefault(makers[attempt % len(makers)](maker))
        attempt += 1
    return list(found)
