from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_tokenizer import ROLES, small
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from formers.errors import TextInputError
from formers.tokenization import TokenizersBackend

CORPUS = [
    "the cat sat on the mat, a cat!",
    "words and more words",
    "hello wordy world",
    "naïve café 中文",
] * 20
QUIET: dict[str, Any] = {"show_progress": False}
TEMPLATE = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
)


def word_level() -> Tokenizer:
    backend = Tokenizer(
        models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3, "old": 4}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = TEMPLATE
    return backend


def word_pieces() -> Tokenizer:
    backend = Tokenizer(
        models.WordPiece(
            {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3, "++old": 4},
            unk_token="<unk>",
            continuing_subword_prefix="++",
            max_input_chars_per_word=50,
        )
    )
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
    backend.decoder = decoders.WordPiece(prefix="++")
    return backend


def byte_pairs() -> Tokenizer:
    backend = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), TEMPLATE])
    backend.decoder = decoders.ByteLevel()
    return backend


def unigrams() -> Tokenizer:
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0), ("b", -2.0)], 0, False))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = TEMPLATE
    backend.decoder = decoders.Metaspace()
    return backend


PIPELINES = [word_level, word_pieces, byte_pairs, unigrams]
SPECIAL: dict[str, Any] = {
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
}


def made_of(pipeline: Callable[[], Tokenizer], **settings: Any) -> TokenizersBackend:
    return TokenizersBackend(tokenizer_object=pipeline(), **{**SPECIAL, **settings})


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_new_vocabulary_for_the_same_pipeline(pipeline: Callable[[], Tokenizer], tmp_path: Path) -> None:
    tokenizer = made_of(pipeline, model_max_length=77, padding_side="left", colour="red")
    before = tokenizer.get_vocab()
    trained = tokenizer.train_new_from_iterator(CORPUS, 300, **QUIET)
    assert type(trained) is type(tokenizer)
    assert tokenizer.get_vocab() == before
    assert trained.special_tokens_map == tokenizer.special_tokens_map == SPECIAL
    ids = trained.convert_tokens_to_ids(list(SPECIAL.values()))
    assert sorted(ids) == [0, 1, 2, 3]
    assert "old" not in trained.get_vocab()
    assert trained.vocab_size <= 300
    row = trained("the cat")
    assert [row.input_ids[0], row.input_ids[-1]] == [trained.bos_token_id, trained.eos_token_id]
    assert trained.decode(row.input_ids, skip_special_tokens=True).strip() == "the cat"
    assert trained.unk_token_id not in row.input_ids
    assert (trained.model_max_length, trained.padding_side) == (77, "left")
    assert trained.init_kwargs["colour"] == "red"
    trained.save_pretrained(tmp_path)
    assert TokenizersBackend.from_pretrained(tmp_path)(CORPUS) == trained(CORPUS)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_added_tokens_are_kept_and_new_special_tokens_come(pipeline: Callable[[], Tokenizer]) -> None:
    tokenizer = made_of(pipeline, extra_special_tokens=["<e>"])
    tokenizer.add_tokens(["<new>", AddedToken("zzz", single_word=True)])
    tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True)})
    trained = tokenizer.train_new_from_iterator(
        CORPUS, 300, new_special_tokens=["<x>", AddedToken("<y>", rstrip=True)], **QUIET
    )
    assert trained.extra_special_tokens == ["<e>", "<x>", "<y>"]
    assert trained.mask_token == "<mask>"
    added = {token.content: token for token in trained.added_tokens_decoder.values()}
    assert added["<mask>"] == AddedToken("<mask>", lstrip=True, normalized=False, special=True)
    assert added["<y>"] == AddedToken("<y>", rstrip=True, normalized=False, special=True)
    assert added["zzz"] == AddedToken("zzz", single_word=True)
    assert trained.convert_tokens_to_ids(["<new>", "zzz"]) == [trained.vocab_size, trained.vocab_size + 1]
    assert trained.tokenize("the<new>cat <mask>")[-1].strip() == "<mask>"


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_special_tokens_get_new_names(pipeline: Callable[[], Tokenizer]) -> None:
    names = {"</s>": "<END>", "<unk>": "<UNKNOWN>", "<e>": "<E>"}
    trained = made_of(pipeline, extra_special_tokens=["<e>"]).train_new_from_iterator(
        CORPUS, 300, special_tokens_map=names, **QUIET
    )
    assert (trained.eos_token, trained.unk_token, trained.bos_token) == ("<END>", "<UNKNOWN>", "<s>")
    assert trained.extra_special_tokens == ["<E>"]
    assert not {"</s>", "<unk>", "<e>"} & trained.get_vocab().keys()
    assert trained("the cat").tokens()[-1] == "<END>"
    if pipeline is not byte_pairs:  # which knows every byte
        assert trained("the \U0001f600").input_ids[-2] == trained.unk_token_id


def test_named_tokens_of_a_model_keep_their_names() -> None:
    tokenizer = made_of(word_level, model_specific_special_tokens={"image_token": "<image>"})
    trained = tokenizer.train_new_from_iterator(
        CORPUS, 300, special_tokens_map={"<image>": "<picture>"}, **QUIET
    )
    assert trained.image_token == "<picture>"
    assert trained.image_token_id < trained.vocab_size


def test_settings_of_the_pipeline_for_padding_are_kept() -> None:
    backend = word_level()
    backend.enable_truncation(9)
    backend.enable_padding(length=9, pad_id=3, pad_token="<pad>")
    trained = TokenizersBackend(tokenizer_object=backend, **SPECIAL).train_new_from_iterator(
        CORPUS, 300, special_tokens_map={"<pad>": "<p>"}, **QUIET
    )
    stored = TokenizersBackend(tokenizer_object=Tokenizer.from_str((trained._backend_file() or ("", ""))[1]))
    assert stored.pad_token == "<p>"
    assert stored.pad_token_id == trained.pad_token_id == trained.get_vocab()["<p>"]


@pytest.mark.parametrize(
    ("corpus", "length"), [(iter(CORPUS), len(CORPUS)), ([CORPUS[:2], tuple(CORPUS[2:])], None), ([], None)]
)
def test_the_forms_of_a_corpus(corpus: Any, length: int | None) -> None:
    trained = made_of(word_level).train_new_from_iterator(corpus, 300, length, **QUIET)
    assert ("cat" in trained.get_vocab()) == (corpus != [])


def test_options_of_the_trainer() -> None:
    tokenizer = made_of(word_level)
    assert (
        "hello" not in tokenizer.train_new_from_iterator(CORPUS, 300, min_frequency=21, **QUIET).get_vocab()
    )
    longest = made_of(byte_pairs).train_new_from_iterator(CORPUS, 400, max_token_length=2, **QUIET)
    assert max(map(len, longest.get_vocab().keys() - SPECIAL.values())) == 2


def interrupted() -> Iterator[str]:
    yield "the cat"
    raise RuntimeError("the disk is gone")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((CORPUS, -1), {}, "vocab_size=-1: expected a whole number of at least 0"),
        ((CORPUS, 2.5), {}, r"vocab_size=2\.5"),
        ((["the", 3], 9), {}, "text_iterator, item 1: int 3; expected a list of words"),
        ((["the", ["cat", None]], 9), {}, "text_iterator, item 1: word 1: NoneType None; expected a string"),
        ((["the", "x\ud800"], 9), {}, r"text_iterator, item 1: lone surrogate '\\ud800' at index 1"),
        (("the cat", 9), {}, "text_iterator is one string"),
        (
            (CORPUS, 9),
            {"frequency": 2},
            "WordPieceTrainer has no option 'frequency'; expected one of show_progress",
        ),
        ((CORPUS, 9), {"min_frequency": "two"}, "WordPieceTrainer: .*min_frequency"),
        ((CORPUS, 9), {"new_special_tokens": ["<x>", 3]}, r"new_special_tokens\[1\]=3"),
        ((CORPUS, 9), {"special_tokens_map": {"<s>": None}}, "special_tokens_map: '<s>' to None"),
    ],
)
def test_bad_input(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        made_of(word_pieces).train_new_from_iterator(*arguments, **{**QUIET, **options})


def test_an_error_of_the_corpus_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="the disk is gone"):
        made_of(word_level).train_new_from_iterator(interrupted(), 9, **QUIET)


def test_a_token_around_texts_that_is_not_special() -> None:
    backend = word_level()
    tokenizer = TokenizersBackend(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    with pytest.raises(TextInputError, match="puts '<s>' around every text, but it is not a special token"):
        tokenizer.train_new_from_iterator(CORPUS, 300, **QUIET)


def test_a_subclass_is_made_again() -> None:
    class Mine(TokenizersBackend):
        pass

    trained = Mine(tokenizer_object=word_level(), **SPECIAL).train_new_from_iterator(CORPUS, 9, **QUIET)
    assert type(trained) is Mine


def test_the_small_tokenizer() -> None:
    templates = {"default": "{{ messages }}", "tool_use": "{{ tools }}"}
    trained = small(do_lower_case=True, chat_template=templates).train_new_from_iterator(CORPUS, 99, **QUIET)
    assert trained.special_tokens_map == ROLES
    assert trained.do_lower_case is True
    assert trained.chat_template == templates
    assert small().train_new_from_iterator(CORPUS, 9, **QUIET).chat_template is None
    assert trained.model_input_names == small().model_input_names
