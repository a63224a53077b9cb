"""``formers run`` over toy models: what people see, what programs read, and what is refused."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from byte_level import END, MERGES, VOCABULARY
from fake_dists import python
from small_tokenizer import small
from toy import ToyConfig, ToyForMaskedLM
from toy_causal import ToyCausalConfig, ToyForCausalLM, toy_causal
from toy_seq2seq import ToySeq2Seq, ToySeq2SeqConfig, toy_seq2seq

from formers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM
from formers.cli import main, progress
from formers.cli.progress import waiting
from formers.cli.tasks.text_generation import _gap
from formers.errors import GenerationError
from formers.generation import GenerationConfig
from formers.plugins import registry
from formers.tokenization import TokenizersBackend
from formers.tokenization.bpe_files import byte_level_bpe

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with registry.temporary_registrations():
        AutoConfig.register("toy_causal", ToyCausalConfig)
        AutoModelForCausalLM.register(ToyCausalConfig, ToyForCausalLM)
        AutoConfig.register("toy", ToyConfig)
        AutoModelForMaskedLM.register(ToyConfig, ToyForMaskedLM)
        AutoConfig.register("toy_seq2seq", ToySeq2SeqConfig)
        AutoModelForSeq2SeqLM.register(ToySeq2SeqConfig, ToySeq2Seq)
        yield


def byte_level() -> TokenizersBackend:
    backend = byte_level_bpe(VOCABULARY, MERGES)
    return TokenizersBackend(tokenizer_object=backend, eos_token=END, bos_token=END)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A decoder that writes letters, its tokenizer and its settings."""
    folder = tmp_path_factory.mktemp("writer")
    model = toy_causal(
        seed=2, vocab_size=len(VOCABULARY), bos_token_id=VOCABULARY[END], eos_token_id=VOCABULARY[END]
    )
    with torch.no_grad():
        model.head.bias.fill_(-30.0)
        model.head.bias[64:90] = 0.0
    model.generation_config = GenerationConfig(
        max_new_tokens=8, bos_token_id=VOCABULARY[END], eos_token_id=VOCABULARY[END]
    )
    model.save_pretrained(folder)
    byte_level().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder and a decoder that answers in letters."""
    folder = tmp_path_factory.mktemp("answerer")
    end = VOCABULARY[END]
    model = toy_seq2seq(seed=3, vocab_size=len(VOCABULARY), eos_token_id=end, decoder_start_token_id=end)
    with torch.no_grad():
        model.head.bias.fill_(-30.0)
        model.head.bias[64:90] = 0.0
    model.generation_config = GenerationConfig(
        max_new_tokens=8, eos_token_id=end, pad_token_id=end, decoder_start_token_id=end
    )
    model.save_pretrained(folder)
    byte_level().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def filler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder that fills masks."""
    folder = tmp_path_factory.mktemp("filler")
    torch.manual_seed(0)
    ToyForMaskedLM(ToyConfig(initializer_range=0.5)).save_pretrained(folder)
    small(mask_token="<mask>").save_pretrained(folder)
    return str(folder)


def generated(folder: str, text: str, **settings: Any) -> list[str]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = byte_level()(text, return_tensors="pt")["input_ids"]
    rows = model.generate(ids, **settings)[:, ids.shape[1] :]
    return [byte_level().decode(row, skip_special_tokens=True) for row in rows]


def test_texts_go_on(writer: str, capsys: Captured) -> None:
    assert main(["run", "text-generation", "--model", writer, "the cat"]) == 0
    (text,) = generated(writer, "the cat")
    assert len(text) == 8
    captured = capsys.readouterr()
    assert captured.out == f"the cat{text}\n"
    assert captured.err == ""
    assert main(["run", "text-generation", "--model", writer, "the cat", "é", "--max-new-tokens", "3"]) == 0
    (other,) = generated(writer, "é", max_new_tokens=3)
    assert capsys.readouterr().out == f"the cat{text[:3]}\n\né{other}\n"


def test_words_are_shown_as_they_come(writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Terminal(io.StringIO):
        def flush(self) -> None:
            written.append(self.getvalue())

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["run", "text-generation", "--model", writer, "the cat"]) == 0
    (text,) = generated(writer, "the cat")
    for end in range(9):
        assert f"the cat{text[:end]}" in written


def test_the_standard_input_is_a_text(writer: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("the cat\n"))
    assert main(["run", "text-generation", "--model", writer, "-"]) == 0
    assert capsys.readouterr().out == f"the cat{generated(writer, 'the cat')[0]}\n"
    assert main(["run", "text-generation", "--model", writer, "-", "-"]) == 1
    assert "read only once" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\xfd"), encoding="utf-8"))
    assert main(["run", "text-generation", "--model", writer, "-"]) == 1
    assert "no text in utf-8" in capsys.readouterr().err


def test_without_a_text_one_is_begun(writer: str, capsys: Captured) -> None:
    assert main(["run", "text-generation", "--model", writer]) == 0
    begun = capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained(writer)
    assert begun == byte_level().decode(model.generate()[0, 1:]) + "\n"
    assert main(["run", "text-generation", "--model", writer, ""]) == 0
    assert capsys.readouterr().out == begun


def test_settings_come_from_options(writer: str, capsys: Captured) -> None:
    command = ["run", "text-generation", "--model", writer, "the"]
    sampling = [
        "--do-sample",
        "--temperature",
        "2",
        "--top-k",
        "0",
        "--top-p",
        "0.9",
        "--repetition-penalty",
        "1.2",
    ]
    shown = []
    for seed in ("1", "2", "1"):
        assert main([*command, *sampling, "--seed", seed]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[2] != shown[1]
    torch.manual_seed(1)
    same = generated(
        writer, "the", do_sample=True, temperature=2.0, top_k=0, top_p=0.9, repetition_penalty=1.2
    )
    assert shown[0] == f"the{same[0]}\n"
    assert main([*command, "--set", "no_repeat_ngram_size=1", "--set", "suppress-tokens=[65, 66]"]) == 0
    wanted = generated(writer, "the", no_repeat_ngram_size=1, suppress_tokens=[65, 66])
    assert capsys.readouterr().out == f"the{wanted[0]}\n"
    (text,) = generated(writer, "the")
    assert main([*command, "--stop", text[2:4], "--stop", "never"]) == 0
    assert capsys.readouterr().out == f"the{text[:4]}\n"
    assert main([*command, "--set", "early_stopping=never", "--num-beams", "2", "--greedy"]) == 0
    assert capsys.readouterr().err == ""


def test_several_texts_for_one_prompt(writer: str, capsys: Captured) -> None:
    command = [
        "run",
        "text-generation",
        "--model",
        writer,
        "the",
        "--num-beams",
        "3",
        "--num-return-sequences",
        "2",
    ]
    first, second = generated(writer, "the", num_beams=3, num_return_sequences=2)
    assert main(command) == 0
    assert capsys.readouterr().out == f"the{first}\n\nthe{second}\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"prompt": "the", "text": text, "complete": True} for text in (first, second)
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "num_beam=3"], ("num_beam", "Did you mean 'num_beams'?")),
        (["--set", "qqqqq=3"], ("'qqqqq' is no setting",)),
        (["--set", "top_h"], ("NAME=VALUE",)),
        (["--set", "top_h=0.5", "--set", "top-h=0.6"], ("top_h was given more than once",)),
        (["--set", "top_k=5", "--top-k", "6"], ("top_k has an option of its own",)),
        (["--set", "suppress_tokens=[1,"], ("suppress_tokens=[1,",)),
        (["--set", "min_length=many"], ("min_length", "'many'")),
        (["--set", 'watermarking_config={"a": 1, "a": 2}'], ("'a'",)),
        (["--temperature", "-1"], ("temperature", "-1.0", "at least 0")),
        (["--max-new-tokens", "0"], ("max_new_tokens", "0", "at least 1")),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_loaded(
    tmp_path: Path, options: list[str], words: tuple[str, ...], capsys: Captured
) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert main(["run", "text-generation", "--model", nowhere, "the", *options]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nowhere" not in captured.err
    for word in words:
        assert word in captured.err


@pytest.mark.filterwarnings("always::formers.errors.GenerationWarning")
def test_a_call_that_cannot_be_right_prints_nothing_else(writer: str, capsys: Captured) -> None:
    for form in ([], ["--json"]):
        command = ["run", "text-generation", "--model", writer, "the cat", "--max-new-tokens", "64", *form]
        assert main(command) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "64 positions" in captured.err
    assert main(["run", "text-generation", "--model", writer, "the cat", "--temperature", "0.5"]) == 0
    assert "temperature=0.5 has no effect without do_sample=True" in capsys.readouterr().err


def test_a_plan_is_explained_without_the_weights(writer: str, tmp_path: Path, capsys: Captured) -> None:
    for name in ("config.json", "generation_config.json"):
        (tmp_path / name).write_bytes((Path(writer) / name).read_bytes())
    command = ["run", "text-generation", "--model", str(tmp_path), "--explain"]
    assert main([*command, "--do-sample", "--set", "min_p=0.1"]) == 0
    shown = capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained(writer)
    assert shown == model.generation_plan(do_sample=True, min_p=0.1).explain() + "\n"
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.startswith("  ")}
    assert lines["max_new_tokens"] == ["8", "generation_config.json"]
    assert lines["do_sample"] == ["True", "argument"]
    assert lines["min_p"] == ["0.1", "argument"]
    assert lines["top_k"] == ["50", "default"]
    (tmp_path / "generation_config.json").unlink()
    assert main(command) == 0
    assert "model configuration" in capsys.readouterr().out
    (tmp_path / "generation_config.json").write_text("{")
    assert main(command) == 1
    assert "generation_config.json" in capsys.readouterr().err


def failing(
    error: BaseException, step: int, monkeypatch: pytest.MonkeyPatch, model: type[Any] = ToyForCausalLM
) -> None:
    calls = 0
    forward = model.forward

    def fail(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == step:
            raise error
        return forward(self, *args, **kwargs)

    fail.__wrapped__ = forward  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", fail)


def test_an_interruption_keeps_what_was_printed(
    writer: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (text,) = generated(writer, "the")
    failing(KeyboardInterrupt(), 4, monkeypatch)
    assert main(["run", "text-generation", "--model", writer, "the"]) == 130
    assert capsys.readouterr().out == f"the{text[:3]}\n"
    monkeypatch.undo()
    failing(KeyboardInterrupt(), 4, monkeypatch)
    assert main(["run", "text-generation", "--model", writer, "the", "--json"]) == 130
    assert json.loads(capsys.readouterr().out) == [{"prompt": "the", "text": text[:3], "complete": False}]


def test_a_failure_keeps_what_was_printed(
    writer: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (text,) = generated(writer, "the")
    failing(GenerationError("Row 0 has no finite score"), 4, monkeypatch)
    assert main(["run", "text-generation", "--model", writer, "the"]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"the{text[:3]}\n"
    assert captured.err == "formers: Row 0 has no finite score\n"


def test_a_space_that_a_decoder_leaves_out_is_put_back() -> None:
    def words(ids: list[int], **options: Any) -> str:
        return " ".join(f"w{token}" for token in ids)

    assert _gap(words, [1], [2], "w2") == " "
    assert _gap(words, [], [2], "w2") == ""
    assert _gap(words, [1], [2], " w2") == ""
    assert _gap(lambda ids, **options: "".join(map(str, ids)), [1], [2], "2") == ""


# Texts made of texts.


def answered(folder: str, text: str, **settings: Any) -> list[str]:
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    rows = model.generate(**byte_level()(text, return_tensors="pt"), **settings)
    return [byte_level().decode(row, skip_special_tokens=True) for row in rows]


def test_texts_are_answered(answerer: str, capsys: Captured) -> None:
    command = ["run", "text2text-generation", "--model", answerer]
    (text,), (other,) = (answered(answerer, prompt) for prompt in ("the cat", "é"))
    assert len(text) == 8
    assert text != other
    assert main([*command, "the cat"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{text}\n", "")
    assert main([*command, "the cat", "é", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"prompt": "the cat", "text": text, "complete": True},
        {"prompt": "é", "text": other, "complete": True},
    ]
    assert main([*command, "the cat", "é"]) == 0
    assert capsys.readouterr().out == f"{text}\n\n{other}\n"


def test_answers_are_shown_as_they_come(answerer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Screen(io.StringIO):
        def flush(self) -> None:
            written.append(self.getvalue())

    monkeypatch.setattr(sys, "stdout", Screen())
    assert main(["run", "text2text-generation", "--model", answerer, "the cat"]) == 0
    (text,) = answered(answerer, "the cat")
    assert all(text[:end] in written for end in range(9))


def test_settings_of_answers_come_from_options(
    answerer: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    command = ["run", "text2text-generation", "--model", answerer, "the cat"]
    assert main([*command, "--num-beams", "3", "--num-return-sequences", "2"]) == 0
    first, second = answered(answerer, "the cat", num_beams=3, num_return_sequences=2)
    assert capsys.readouterr().out == f"{first}\n\n{second}\n"
    shown = []
    for seed in ("1", "2", "1"):
        assert main([*command, "--do-sample", "--temperature", "5", "--seed", seed]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[2] != shown[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO("the cat\n"))
    assert main([*command[:-1], "-", "--max-new-tokens", "3"]) == 0
    assert capsys.readouterr().out == f"{answered(answerer, 'the cat', max_new_tokens=3)[0]}\n"
    assert main([*command, "--explain"]) == 0
    model = AutoModelForSeq2SeqLM.from_pretrained(answerer)
    assert capsys.readouterr().out == model.generation_plan().explain() + "\n"


def test_what_cannot_be_answered_is_one_message(answerer: str, writer: str, capsys: Captured) -> None:
    command = ["run", "text2text-generation", "--model"]
    assert main([*command, answerer, ""]) == 1
    assert "'' has no token, so there is nothing for the encoder" in capsys.readouterr().err
    assert main([*command, writer, "the"]) == 1
    assert "AutoModelForSeq2SeqLM" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main([*command, answerer])
    assert stopped.value.code == 2
    assert "TEXT" in capsys.readouterr().err


def test_an_answer_that_is_interrupted_is_kept(
    answerer: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (text,) = answered(answerer, "the cat")
    failing(KeyboardInterrupt(), 4, monkeypatch, ToySeq2Seq)
    assert main(["run", "text2text-generation", "--model", answerer, "the cat"]) == 130
    assert capsys.readouterr().out == f"{text[:3]}\n"


# Masks.


def test_masks_are_filled(filler: str, capsys: Captured) -> None:
    command = ["run", "fill-mask", "--model", filler, "The <mask> sat.", "--top-k", "3"]
    assert main([*command, "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["text"] == "The <mask> sat."
    (found,) = report["masks"]
    tokenizer = small(mask_token="<mask>")
    encoded = tokenizer("The <mask> sat.", return_tensors="pt")
    model = AutoModelForMaskedLM.from_pretrained(filler)
    with torch.no_grad():
        best = model(encoded["input_ids"]).logits[0, 2].softmax(dim=-1).topk(3)
    assert [one["token"] for one in found] == best.indices.tolist()
    assert [one["score"] for one in found] == pytest.approx(best.values.tolist())
    for one in found:
        assert one["token_str"] == tokenizer.decode([one["token"]])
        row = [4, one["token"], 6, 10]
        assert one["sequence"] == tokenizer.decode(row)
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["The <mask> sat.", "", lines[2]]
    assert lines[2].split() == ["score", "token", "sequence"]
    assert [line.split()[0] for line in lines[3:]] == [f"{one['score']:.4f}" for one in found]


def test_every_mask_of_every_text_has_its_table(filler: str, capsys: Captured) -> None:
    texts = ["<mask> cat <mask>", "a <mask>"]
    assert main(["run", "fill-mask", "--model", filler, *texts, "--top-k", "100", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert [len(masks) for masks in first["masks"]] == [32, 32]
    assert len(second["masks"]) == 1
    assert all(one["sequence"].endswith("<mask>") for one in first["masks"][0])
    assert all(one["sequence"].startswith("<mask>") for one in first["masks"][1])
    assert main(["run", "fill-mask", "--model", filler, *texts, "--top-k", "1"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("mask ")] == ["mask 1 of 2", "mask 2 of 2"]


def test_texts_without_a_mask_and_tokenizers_without_one_are_refused(
    filler: str, writer: str, capsys: Captured
) -> None:
    assert main(["run", "fill-mask", "--model", filler, "The [MASK] sat."]) == 1
    assert "'The [MASK] sat.' holds no mask; put <mask> where" in capsys.readouterr().err
    assert main(["run", "fill-mask", "--model", writer, "The <mask> sat."]) == 1
    assert "has no mask token" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", "fill-mask", "--model", filler, "<mask>", "--top-k", "0"])
    assert "0 is less than 1" in capsys.readouterr().err


# What all tasks have in common.


def test_an_unknown_task_names_the_tasks(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run", "summarise", "--model", "somewhere"])
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert all(
        word in shown for word in ("summarise", "text-generation", "text2text-generation", "fill-mask")
    )


def test_a_model_without_the_head_is_one_message(filler: str, writer: str, capsys: Captured) -> None:
    assert main(["run", "text-generation", "--model", filler, "the"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("formers: ")
    assert "AutoModelForCausalLM" in message
    assert "AutoModelForMaskedLM" in message
    assert "Traceback" not in message


def test_a_folder_that_is_not_there_is_one_message(tmp_path: Path, capsys: Captured) -> None:
    assert main(["run", "text-generation", "--model", str(tmp_path / "nowhere"), "the"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_device_and_dtype_are_chosen(writer: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    seen = []
    stream = ToyForCausalLM.stream

    def note(self: ToyForCausalLM, *args: Any, **kwargs: Any) -> Any:
        seen.append((self.dtype, self.device.type))
        return stream(self, *args, **kwargs)

    monkeypatch.setattr(ToyForCausalLM, "stream", note)
    command = ["run", "text-generation", "--model", writer, "the", "--device", "cpu"]
    assert main([*command, "--dtype", "bfloat16"]) == 0
    assert seen == [(torch.bfloat16, "cpu")]
    capsys.readouterr()
    for device in ("abacus", "cuda:99"):
        assert main([*command[:-1], device]) == 1
        assert f"--device {device} cannot be used (" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_waiting_is_shown_on_a_terminal_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.02)
    monkeypatch.setattr(progress, "_TICK", 0.01)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("Loading it"):
        while "Loading it ... 0.1 s" not in screen.getvalue():
            time.sleep(0.01)
    *_, cleared, end = screen.getvalue().split("\r")
    assert (cleared.strip(), end) == ("", "")
    assert len(cleared) == len("Loading it ... 0.1 s")


def test_nothing_is_shown_at_once_or_to_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("Loading it"):
        pass
    assert screen.getvalue() == ""
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with waiting("Loading it"):
        time.sleep(0.02)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_help_and_plans_need_no_torch() -> None:
    code = """
    import sys
    from formers.cli.tasks import fill_mask, text2text_generation, text_generation
    from formers.cli.tasks.settings import plan_of
    assert "torch" not in sys.modules
    """
    python(code)
