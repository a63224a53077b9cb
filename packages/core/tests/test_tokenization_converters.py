from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from byte_level import END, VOCABULARY, write
from fake_dists import Site, python
from loopback_hub import Hub
from small_tokenizer import pipeline
from tokenizers import Tokenizer

from formers import Architecture, AutoTokenizer, TokenizerConverter, TokenizersBackend
from formers.errors import (
    ConfigValidationError,
    CorruptFileError,
    LoadError,
    PluginConflictError,
    PluginLoadError,
    PluginWarning,
    UnknownModelTypeError,
    UnsafePathError,
    UnsupportedHeadError,
)
from formers.plugins import hooks, registry
from formers.tokenization.converters import OldFolder, builtin, choose, known_converters

REFERENCE = f"{__name__}:convert"
seen: list[tuple[Mapping[str, Path], Mapping[str, Any]]] = []


def convert(files: Mapping[str, Path], settings: Mapping[str, Any]) -> Tokenizer:
    seen.append((files, settings))
    return pipeline()


def converter(name: str = "words", **fields: Any) -> TokenizerConverter:
    return TokenizerConverter(name, **{"files": ("words.txt",), "convert": REFERENCE, **fields})


@pytest.fixture(autouse=True)
def _this_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    seen.clear()
    monkeypatch.setitem(sys.modules, __name__, sys.modules[converter.__module__])
    with registry.temporary_registrations():
        yield


def install(monkeypatch: pytest.MonkeyPatch, *converters: Any) -> None:
    monkeypatch.setattr(hooks, "call", lambda _name: [builtin(), list(converters)])


def old_folder(path: Path, **settings: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "words.txt").write_text("the cat", "utf-8")
    if settings:
        (path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    return path


@pytest.mark.parametrize(
    ("fields", "folder", "applies"),
    [
        ({}, OldFolder(["words.txt"]), True),
        ({}, OldFolder(["words.txt", "config.json"], "PreTrainedTokenizerFast"), True),
        ({}, OldFolder(["words.txt"], "PreTrainedTokenizerFast", "acme"), True),
        ({}, OldFolder(["words.txt"], None, "acme"), False),
        ({}, OldFolder(["words.txt"], "AcmeTokenizer"), False),
        ({}, OldFolder(["vocab.txt"]), False),
        ({"files": ("words.txt", "more.txt")}, OldFolder(["words.txt"]), False),
        ({"tokenizer_classes": ["AcmeTokenizer"]}, OldFolder(["words.txt"], "AcmeTokenizerFast"), True),
        ({"tokenizer_classes": ["AcmeTokenizerFast"]}, OldFolder(["words.txt"], "AcmeTokenizer", "b"), True),
        ({"tokenizer_classes": ["AcmeTokenizer"]}, OldFolder(["words.txt"]), False),
        ({"tokenizer_classes": ["AcmeTokenizer"]}, OldFolder(["words.txt"], None, "acme"), False),
        ({"model_types": ["acme"]}, OldFolder(["words.txt"], None, "acme"), True),
        ({"model_types": ["acme"]}, OldFolder(["words.txt"], "TokenizersBackend", "acme"), True),
        # A class of its own may split text in another way than the other tokenizers of its model type.
        ({"model_types": ["acme"]}, OldFolder(["words.txt"], "AcmeJapaneseTokenizer", "acme"), False),
        ({"model_types": ["acme"]}, OldFolder(["words.txt"]), False),
    ],
)
def test_a_converter_applies_to_what_it_names(fields: Any, folder: OldFolder, applies: bool) -> None:
    assert converter(**fields).applies(folder) is applies


def test_the_closest_claim_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    general, typed = converter("general"), converter("typed", model_types={"acme"})
    own = converter("own", tokenizer_classes={"AcmeTokenizer"})
    for order in ([general, typed, own], [own, typed, general]):
        install(monkeypatch, *order)
        assert choose(OldFolder(["words.txt"], "AcmeTokenizer", "acme")) == own
        assert choose(OldFolder(["words.txt"], None, "acme")) == typed
        assert choose(OldFolder(["words.txt"], "TokenizersBackend", "acme")) == typed
        assert choose(OldFolder(["words.txt"])) == general
        assert choose(OldFolder(["words.txt"], "OtherTokenizer", "acme")) is None


def test_equal_claims_are_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, converter("one", model_types={"acme"}), converter("two", model_types={"acme"}))
    with pytest.raises(
        PluginConflictError, match=r"'one' .* and tokenizer converter 'two' .*FORMERS_DISABLE"
    ):
        choose(OldFolder(["words.txt"], None, "acme"))
    assert choose(OldFolder(["vocab.json", "merges.txt"])) == builtin()[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"files": ()}, r"files=\(\) is not the names of one file or more"),
        ({"files": "vocab.txt"}, "files='vocab.txt' is not a collection of names"),
        ({"files": (1,)}, "files=.* is not a collection of names"),
        ({"tokenizer_classes": "A"}, "tokenizer_classes='A' is not a collection"),
        ({"model_types": None}, "model_types=None is not a collection"),
        ({"convert": "nowhere"}, "convert='nowhere' is not a reference"),
        ({"convert": print}, "convert=<built-in function print> is not a reference"),
        ({"name": ""}, "name='' is not a name"),
        ({"defaults": []}, r"defaults=\[\] is not a dict"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigValidationError, match=f"TokenizerConverter: {said}"):
        converter(**fields)


def test_files_stay_in_the_folder() -> None:
    with pytest.raises(UnsafePathError, match=r"\.\./vocab"):
        converter(files=("../vocab.txt",))


def test_it_is_a_value() -> None:
    one, same = converter(defaults={"unk_token": "<unk>"}), converter(defaults={"unk_token": "<unk>"})
    assert one == same
    assert hash(one) == hash(same)
    with pytest.raises(AttributeError):
        one.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.defaults["unk_token"] = "x"  # type: ignore[index]


def test_the_generic_class_reads_an_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {"unk_token": "<unk>", "pad_token": "<pad>", "model_input_names": ["input_ids"]}
    install(monkeypatch, converter(tokenizer_classes={"AcmeTokenizer"}, defaults=defaults))
    folder = old_folder(
        tmp_path / "f", tokenizer_class="AcmeTokenizer", pad_token="</s>", do_lower_case=False
    )
    tokenizer = TokenizersBackend.from_pretrained(folder, bos_token="<s>")
    ((files, settings),) = seen
    assert files == {"words.txt": folder / "words.txt"}
    assert {"unk_token": "<unk>", "pad_token": "</s>", "bos_token": "<s>"}.items() <= settings.items()
    assert (tokenizer.unk_token, tokenizer.pad_token, tokenizer.bos_token) == ("<unk>", "</s>", "<s>")
    assert tokenizer.model_input_names == ["input_ids"]
    assert tokenizer("the cat").input_ids == [2, 4, 5, 3]
    assert tokenizer("THE cat").input_ids == [2, 1, 5, 3]  # do_lower_case changes the pipeline


def test_saved_again_it_is_a_folder_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, converter(model_types={"acme"}))
    folder = old_folder(tmp_path / "f")
    (folder / "config.json").write_text('{"model_type": "acme"}')
    TokenizersBackend.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    install(monkeypatch)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert TokenizersBackend.from_pretrained(tmp_path / "saved")("the cat").input_ids == [2, 4, 5, 3]


def test_auto_takes_a_converter_where_no_class_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, converter(tokenizer_classes={"AcmeTokenizer"}, model_types={"acme"}))
    folder = old_folder(tmp_path / "f", tokenizer_class="AcmeTokenizer")
    for _ in range(2):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert type(tokenizer) is TokenizersBackend
        assert tokenizer.init_kwargs["tokenizer_class"] == "AcmeTokenizer"
        (folder / "config.json").write_text('{"model_type": "acme"}')
    (folder / "tokenizer_config.json").unlink()
    assert AutoTokenizer.from_pretrained(folder)("the").input_ids == [2, 4, 3]
    registry.register(Architecture("acme", config=f"{__name__}:OldFolder"))  # a type without a tokenizer
    assert AutoTokenizer.from_pretrained(folder)("the").input_ids == [2, 4, 3]


def test_from_a_hub_old_files_are_fetched_where_there_is_no_pipeline(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, converter(tokenizer_classes={"AcmeTokenizer"}))
    config = b'{"tokenizer_class": "AcmeTokenizer"}'
    hub.add("owner/old", {"config.json": b"{}", "tokenizer_config.json": config, "words.txt": b"the cat"})
    assert AutoTokenizer.from_pretrained("owner/old", cache_dir=tmp_path)("the cat").input_ids == [2, 4, 5, 3]
    files = {
        "tokenizer.json": pipeline().to_str().encode(),
        "words.txt": b"",
        "tokenizer_config.json": config,
    }
    hub.add("owner/new", files)
    assert AutoTokenizer.from_pretrained("owner/new", cache_dir=tmp_path)("the cat").input_ids == [2, 4, 5, 3]
    assert not any("owner/new" in request and "words.txt" in request for request in hub.requests())


class OwnTokenizer(TokenizersBackend):
    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "vocab.txt",
        "tokenizer_file": "tokenizer.json",
    }


def test_a_class_with_files_of_its_own_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, converter())
    with pytest.raises(
        LoadError, match=r"holds no tokenizer that OwnTokenizer can read: looked for vocab\.txt"
    ):
        OwnTokenizer.from_pretrained(old_folder(tmp_path))
    assert not seen


def test_errors_say_who_could_read_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, converter(model_types={f"t{number}" for number in range(9)}))
    folder = old_folder(tmp_path / "f", tokenizer_class="OtherTokenizer")
    with pytest.raises(LoadError) as caught:
        TokenizersBackend.from_pretrained(folder)
    for said in (
        "holds no tokenizer that TokenizersBackend can read: looked for tokenizer.json; found",
        "asks for OtherTokenizer, which no installed package reads from old files",
        f"'words' ({__name__}) reads words.txt, but only of t0, t1, t2, t3, t4 and 4 more.",
    ):
        assert said in str(caught.value)
    (folder / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(UnknownModelTypeError, match=r"'other'(?s:.*)holds no tokenizer\.json"):
        AutoTokenizer.from_pretrained(folder)
    (folder / "tokenizer_config.json").unlink()
    registry.register(Architecture("other", config=f"{__name__}:OldFolder"))
    with pytest.raises(UnsupportedHeadError, match=r"'other' has no tokenizer(?s:.*)model type 'other'"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("return None", PluginLoadError, "gave None; expected a Tokenizer"),
        ("raise KeyError('x')", KeyError, "x"),
        ("raise CorruptFileError('line 3')", CorruptFileError, "line 3"),
        ("missing = None", PluginLoadError, "cannot be imported"),
    ],
)
def test_a_faulty_converter_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, kind: type[Exception], said: str
) -> None:
    name = f"faulty_{kind.__name__}_{len(body)}"
    function = "other" if "missing" in body else "convert"
    source = f"from formers import CorruptFileError\ndef {function}(files, settings):\n    {body}\n"
    Site(tmp_path / "site").module(name, source)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install(monkeypatch, converter("faulty", convert=f"{name}:convert"))
    with pytest.raises(kind, match=said) as caught:
        TokenizersBackend.from_pretrained(old_folder(tmp_path / "f"))
    told = "\n".join((str(caught.value), *getattr(caught.value, "__notes__", ())))
    assert ("tokenizer converter 'faulty'" in told) is (kind is not CorruptFileError)


def test_what_is_no_converter_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "words", converter())
    with pytest.warns(PluginWarning, match="gave 'words'; expected a formers.TokenizerConverter"):
        assert known_converters() == [*builtin(), converter()]
    monkeypatch.setenv("FORMERS_STRICT_PLUGINS", "1")
    with pytest.raises(PluginLoadError, match="gave 'words'"):
        known_converters()


def test_vocab_and_merges_that_say_nothing_else_are_byte_level_bpe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    folder = write(tmp_path)
    tokenizer = TokenizersBackend.from_pretrained(folder, eos_token=END)
    assert tokenizer.tokenize("the cat") == ["the", "Ġcat"]
    assert tokenizer.decode(tokenizer("thé cat").input_ids) == "thé cat"
    (folder / "tokenizer_config.json").write_text('{"add_prefix_space": true, "trim_offsets": true}')
    spaced = TokenizersBackend.from_pretrained(folder)
    assert spaced.tokenize("the cat") == ["Ġthe", "Ġcat"]
    assert spaced("the cat", return_offsets_mapping=True)["offset_mapping"] == [(0, 3), (4, 7)]
    (folder / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(LoadError, match="only of folders that name no class or model type"):
        TokenizersBackend.from_pretrained(folder)


@pytest.mark.parametrize(
    ("vocabulary", "said"),
    [
        ({"a": 0}, "has no token for 255 of the 256 bytes"),
        ({**VOCABULARY, "a</w>": 400}, "marks the ends of words"),
    ],
)
def test_other_kinds_of_bpe_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabulary: dict[str, int], said: str
) -> None:
    install(monkeypatch)
    with pytest.raises(CorruptFileError, match=f"vocab.json {said}, so it is of another kind"):
        TokenizersBackend.from_pretrained(write(tmp_path, "", vocabulary))


PLUGIN = """
from formers import TokenizerConverter, hookimpl

@hookimpl
def formers_tokenizer_converters():
    return [
        TokenizerConverter(
            "words",
            files=("words.txt",),
            convert="acme_words.pipeline:convert",
            model_types={"acme"},
            defaults={"unk_token": "<unk>"},
        )
    ]
"""
PIPELINE = """
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

def convert(files, settings):
    words = files["words.txt"].read_text("utf-8").split()
    ids = {word: index for index, word in enumerate([settings["unk_token"], *words])}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=settings["unk_token"]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return tokenizer
"""


def test_no_plugin_is_asked_where_there_is_a_pipeline(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.dist("formers-acme-words", hooks={"acme-words": "acme_words.hooks"})
    site.module("acme_words.hooks", PLUGIN)
    folder = old_folder(tmp_path / "f", tokenizer_class="PreTrainedTokenizerFast")
    pipeline().save(str(folder / "tokenizer.json"))
    code = f"""
    import sys
    from formers import AutoTokenizer
    print(AutoTokenizer.from_pretrained({str(folder)!r})("the cat").input_ids)
    print(sorted({{"pluggy", "acme_words", "formers.tokenization.converters"}} & sys.modules.keys()))
    """
    assert python(code, site).stdout.splitlines() == ["[2, 4, 5, 3]", "[]"]


def test_a_plugin_brings_a_converter(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.dist("formers-acme-words", hooks={"acme-words": "acme_words.hooks"})
    site.module("acme_words.hooks", PLUGIN)
    site.module("acme_words.pipeline", PIPELINE)
    folder = old_folder(tmp_path / "f")
    (folder / "config.json").write_text('{"model_type": "acme"}')
    code = f"""
    import sys
    from formers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})
    print(tokenizer("the dog the cat").input_ids, tokenizer.unk_token)
    print("torch" in sys.modules, "numpy" in sys.modules)
    """
    assert python(code, site).stdout.splitlines() == ["[1, 0, 1, 2] <unk>", "False False"]
    off = python(code, site, check=False, FORMERS_DISABLE_PLUGINS="formers-acme-words")
    assert off.returncode == 1
    assert "No installed plugin provides model type 'acme'" in off.stderr
