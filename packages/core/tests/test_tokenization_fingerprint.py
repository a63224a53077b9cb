from __future__ import annotations

import hashlib
import json
import unicodedata
from pathlib import Path

import pytest
from byte_level import MERGES, VOCABULARY
from fake_dists import python
from small_tokenizer import folder_of, pipeline, small
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from formers import AutoTokenizer, TokenizersBackend
from formers.errors import CorruptFileError, LoadError
from formers.tokenization import corpus
from formers.tokenization.bpe_files import byte_level_bpe
from formers.tokenization.fingerprint import fingerprint, is_fingerprint

# What v1 is. These change only together with its name.
TEXTS = "99d4ae38b7e718f6a3c925e9e556c5a86ca798353f33c5a297ebd7a933e7b05b"
SMALL = "v1:cfd1d70901fb2502e2b1fcfad8eba88e2be51a432d60760b2edc28786ada67a2"
BYTES = "v1:7b88cff678a89d4c0b39304e5c22e3587267bf2241181587be6722f35bf126c8"

OTHER = "v1:" + "0" * 64


def carried(folder: Path) -> object:
    return json.loads((folder / "tokenizer_config.json").read_text("utf-8")).get("tokenizer_fingerprint")


def test_the_corpus_is_the_same_everywhere() -> None:
    texts = corpus.texts()
    assert len(texts) == corpus.SIZE == 2000
    digest = hashlib.sha256("\0\n".join(texts).encode("utf-8"))  # surrogates would raise
    assert digest.hexdigest() == TEXTS


def test_the_corpus_is_adversarial() -> None:
    texts = corpus.texts()
    characters = {character for text in texts for character in text}
    assert {ord(character) >> 16 for character in characters} >= {0, 1, 2, 14, 15, 16}
    assert len(characters) > 2500
    categories = {unicodedata.category(character) for character in characters}
    assert categories >= {"Cc", "Cf", "Co", "Mn", "Mc", "Zs", "Zl", "Zp", "Lo", "Sk", "No", "Pi"}
    assert "Cs" not in categories
    assert max(map(len, texts)) > 300
    assert {"", " ", "[CLS]", "\r\n"} <= set(texts)


def test_fingerprints_are_kept() -> None:
    assert fingerprint(small()) == SMALL
    assert fingerprint(TokenizersBackend(tokenizer_object=byte_level_bpe(VOCABULARY, MERGES))) == BYTES
    assert is_fingerprint(SMALL)
    assert not is_fingerprint(SMALL + "0")


def test_padding_truncation_and_limits_play_no_part() -> None:
    tokenizer = small(model_max_length=4, padding_side="left", truncation_side="left")
    tokenizer("the cat sat", padding="max_length", truncation=True)
    assert fingerprint(tokenizer) == SMALL


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": False},
        {"strip_accents": True},
        {"split_special_tokens": True},
        {"mask_token": "<m>"},
    ],
)
def test_what_changes_ids_changes_it(settings: dict[str, object]) -> None:
    assert fingerprint(small(**settings)) != SMALL


def test_added_tokens_and_templates_change_it() -> None:
    tokenizer = small()
    tokenizer.add_tokens(["zyzzyva"])
    added = fingerprint(tokenizer)
    assert added != SMALL
    backend = pipeline()
    backend.post_processor = None
    assert fingerprint(TokenizersBackend(tokenizer_object=backend)) != SMALL


def test_texts_that_a_tokenizer_refuses_are_part_of_it() -> None:
    def words(*known: str) -> TokenizersBackend:
        model = WordLevel({word: index for index, word in enumerate(known)}, unk_token="<unk>")
        return TokenizersBackend(tokenizer_object=Tokenizer(model))

    assert is_fingerprint(fingerprint(words("the")))
    assert fingerprint(words("the", " ")) != fingerprint(words("the"))


def test_a_saved_folder_carries_it_if_asked(tmp_path: Path) -> None:
    tokenizer = small()
    tokenizer.save_pretrained(tmp_path / "plain")
    assert carried(tmp_path / "plain") is None
    tokenizer.save_pretrained(tmp_path / "one", fingerprint=True)
    assert carried(tmp_path / "one") == SMALL
    again = TokenizersBackend.from_pretrained(tmp_path / "one", verify=True)
    again.save_pretrained(tmp_path / "two")
    for name in ("tokenizer_config.json", "tokenizer.json"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    again.add_tokens(["zyzzyva"])
    again.save_pretrained(tmp_path / "two")
    assert carried(tmp_path / "two") == fingerprint(again) != SMALL
    assert AutoTokenizer.from_pretrained(tmp_path / "two", verify=True).knows("zyzzyva")
    again.save_pretrained(tmp_path / "two", fingerprint=False)
    assert carried(tmp_path / "two") is None


def test_loading_verifies_if_asked(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    assert AutoTokenizer.from_pretrained(folder, verify=SMALL).knows("cat")
    with pytest.raises(CorruptFileError, match=f"its fingerprint is {SMALL}, but verify says {OTHER}"):
        AutoTokenizer.from_pretrained(folder, verify=OTHER)
    with pytest.raises(LoadError, match=r"tokenizer_config\.json carries no tokenizer_fingerprint"):
        AutoTokenizer.from_pretrained(folder, verify=True)
    folder = folder_of(tmp_path / "f", tokenizer_fingerprint=OTHER)
    assert AutoTokenizer.from_pretrained(folder).knows("cat")
    with pytest.raises(CorruptFileError, match=f"tokenizer_config.json says {OTHER}"):
        AutoTokenizer.from_pretrained(folder, verify=True)
    with pytest.raises(CorruptFileError, match="or a setting was passed that changes ids"):
        TokenizersBackend.from_pretrained(folder, verify=SMALL, do_lower_case=False)
    file = folder / "tokenizer.json"
    assert TokenizersBackend.from_pretrained(file, verify=fingerprint_of_file(file)).knows("cat")


def fingerprint_of_file(file: Path) -> str:
    return fingerprint(TokenizersBackend(tokenizer_file=file))


@pytest.mark.parametrize("given", ["v1:12", "v1:" + "G" * 64, 7, "", "v2:" + "0" * 64])
def test_what_is_no_fingerprint_is_refused(tmp_path: Path, given: object) -> None:
    with pytest.raises(CorruptFileError, match=r"verify: .*(is no fingerprint|is of another version)"):
        TokenizersBackend.from_pretrained(folder_of(tmp_path), verify=given)


def test_it_needs_neither_torch_nor_numpy(tmp_path: Path) -> None:
    code = f"""
    import sys
    from formers import AutoTokenizer
    AutoTokenizer.from_pretrained({str(folder_of(tmp_path))!r}, verify={SMALL!r})
    print(sorted({{"torch", "numpy"}} & sys.modules.keys()))
    """
    assert python(code).stdout == "[]\n"
