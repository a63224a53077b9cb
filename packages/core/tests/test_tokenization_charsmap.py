from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from spiece import trained
from tokenizers.normalizers import Precompiled

from formers.errors import CorruptFileError
from formers.tokenization.charsmap import MAX_BYTES, check_charsmap
from formers.tokenization.sentencepiece_files import read_pieces

TEXT = "".join(map(chr, (*range(1, 0x3400), *range(0xF900, 0x10000), *range(0x1F100, 0x1F300))))


@pytest.fixture(scope="module")
def charsmap(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return read_pieces(trained(tmp_path_factory.mktemp("model"))).charsmap


@pytest.mark.parametrize("rule", ["nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"])
def test_the_maps_of_the_library_are_whole(tmp_path: Path, rule: str) -> None:
    check_charsmap(read_pieces(trained(tmp_path, normalization_rule_name=rule)).charsmap, "map")


def test_a_map_that_passes_is_followed_to_the_end_of_any_text(charsmap: bytes) -> None:
    """What the check lets through must not make the library give up; what it refuses need not."""
    chance = random.Random(0)
    passed = 0
    for attempt in range(60):
        changed = bytearray(charsmap)
        for _ in range(chance.choice((1, 3, 30))):
            place = chance.randrange(len(changed)) if attempt % 2 else chance.randrange(4, 4000)
            changed[place] = chance.randrange(256)
        try:
            check_charsmap(bytes(changed), "map")
        except CorruptFileError:
            continue
        passed += 1
        Precompiled(bytes(changed)).normalize_str(TEXT)
    assert 0 < passed < 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc", "says that its trie has"),
        (struct.pack("<I", 0), "trie has 0 of 4 bytes"),
        (struct.pack("<I", 1 << 30) + bytes(8), "trie has 1,073,741,824 of 12 bytes"),
        (struct.pack("<I", 3) + bytes(3), "trie has 3 of 7 bytes"),
        (struct.pack("<II", 4, 0), "a trie of 1 units that leads to unit 0"),
        (struct.pack("<I", 1024) + bytes(1024) + b"\xff\0", "not UTF-8"),
        (struct.pack("<I", 1024) + bytes(1024) + b"abc", "middle of a replacement"),
        (bytes(MAX_BYTES + 1), "expected at most"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, message: str) -> None:
    with pytest.raises(CorruptFileError, match=message) as caught:
        check_charsmap(content, "some.model")
    assert str(caught.value).startswith("some.model: its character map")


def test_an_empty_trie_is_whole() -> None:
    check_charsmap(struct.pack("<I", 1024) + bytes(1024), "map")


def test_a_place_without_a_replacement_is_refused(charsmap: bytes) -> None:
    size = int.from_bytes(charsmap[:4], "little")
    with pytest.raises(CorruptFileError, match="has no replacement at its byte"):
        check_charsmap(charsmap[: 4 + size] + b"a\0", "map")
