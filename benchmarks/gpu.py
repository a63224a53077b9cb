"""What formers does on a GPU, beside PyTorch and transformers, in one run that is made to take under ten minutes.

    python benchmarks/gpu.py                 # everything; writes results/gpu.json, gpu.md and, with matplotlib, gpu.png
    python benchmarks/gpu.py bert decode     # parts of it, printed only
    python benchmarks/gpu.py --smoke         # the same programs with tiny sizes on any device, to see that they run

Arms that are compared take turns, and figures are medians of their rounds. An arm has to give the right numbers before
it is timed: one whose error is too large gets no figure. Inputs are random and change from call to call. Each figure
goes with the names of the kernels that ran. Tokens are real tokens: padding is no work done.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import environment
from formers.modeling.capturing import CapturedForward
from formers_bert import BertConfig, BertForMaskedLM
from formers_gpt2 import GPT2Config, GPT2LMHeadModel
from formers_t5 import T5Config, T5EncoderModel

RESULTS = Path(__file__).parent / "results"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TOLERANCE = {
    torch.float16: 2e-2,
    torch.bfloat16: 5e-2,
    torch.float32: 1e-4,
}  # of a whole model, as a part of the norm
Call = Callable[[], Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the smoke run has one tiny case of everything."""

    rounds: int
    inference: tuple[tuple[int, int], ...]
    training: tuple[tuple[int, int], ...]
    densities: tuple[float, ...]
    gpt2: dict[str, dict[str, int]]
    new_tokens: int
    t5_lengths: tuple[int, ...]
    t5_tokens: int
    shrink: dict[str, Any] = field(default_factory=dict)


FULL = Sizes(
    rounds=7,
    inference=((1, 128), (1, 256), (2, 128), (2, 256), (4, 128), (4, 256), (16, 512)),
    training=((4, 256), (4, 512), (8, 256), (8, 512), (16, 256), (16, 512)),
    densities=(0.5, 0.8, 1.0),
    gpt2={
        "124M": {"n_layer": 12, "n_embd": 768, "n_head": 12},
        "355M": {"n_layer": 24, "n_embd": 1024, "n_head": 16},
        "774M": {"n_layer": 36, "n_embd": 1280, "n_head": 20},
        "1.5B": {"n_layer": 48, "n_embd": 1600, "n_head": 25},
    },
    new_tokens=256,
    t5_lengths=(512, 1024, 2048, 4096, 8192),
    t5_tokens=16384,
)
SMOKE = Sizes(
    rounds=1,
    inference=((2, 16),),
    training=((2, 16),),
    densities=(0.5,),
    gpt2={"tiny": {"n_layer": 1, "n_embd": 32, "n_head": 2}},
    new_tokens=4,
    t5_lengths=(16,),
    t5_tokens=32,
    shrink={
        "vocab_size": 128,
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
    },
)


@dataclass
class Figure:
    """One arm of one case. Without ``milliseconds`` it was not timed; ``note`` says why."""

    part: str
    case: str
    arm: str
    error: float | None = None
    milliseconds: float | None = None
    spread: float | None = None  # of the rounds, as a part of the median
    tokens_per_second: float | None = None
    peak_mb: float | None = None
    kernels: list[str] = field(default_factory=list)
    note: str = ""


@dataclass
class Arm:
    """A way of doing the work of a case: ``call`` does it once, ``answer`` gives what is checked first."""

    name: str
    call: Call
    answer: Callable[[], Tensor]


def wait() -> None:
    """Until the device has done what it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference, as a part of the norm of what is expected."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def timed(call: Call) -> float:
    """Milliseconds of one call, by events on a GPU."""
    if DEVICE.type != "cuda":
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))


def kernels_of(call: Call) -> list[str]:
    """The names of the device kernels behind a call, those that took longest first."""
    if DEVICE.type != "cuda":
        return []
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as record:
        call()
        torch.cuda.synchronize()
    events = sorted(record.key_averages(), key=lambda event: -event.device_time_total)
    return [event.key[:100] for event in events[:6]]


def measure(
    part: str, case: str, arms: list[Arm], expected: Tensor, tolerance: float, sizes: Sizes, tokens: int
) -> list[Figure]:
    """Check each arm, then time those that are right, in turns."""
    figures, right = [], []
    for arm in arms:
        figure = Figure(part, case, arm.name)
        figures.append(figure)
        try:
            figure.error = relative_error(arm.answer(), expected)
            if not figure.error <= tolerance:
                figure.note = f"wrong: its error is {figure.error:.2g}, more than {tolerance:g}"
                continue
            for _ in range(2):
                arm.call()
            wait()
            figure.peak_mb = peak(arm.call)
            figure.kernels = kernels_of(arm.call)
        except (
            RuntimeError,
            ValueError,
            NotImplementedError,
        ) as error:  # out of memory, or a case that it refuses
            figure.note = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
            continue
        right.append((arm, figure, []))
    for _ in range(sizes.rounds):
        for arm, _, seen in right:
            seen.append(timed(arm.call))
    for _, figure, seen in right:
        figure.milliseconds = statistics.median(seen)
        figure.spread = (max(seen) - min(seen)) / figure.milliseconds
        figure.tokens_per_second = tokens / figure.milliseconds * 1e3
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
    return figures


def peak(call: Call) -> float | None:
    """MB that a call allocates at its peak, above what was there before."""
    if DEVICE.type != "cuda":
        return None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def ceilings() -> dict[str, float]:
    """What this device can do: bytes copied and floating-point operations, a second."""
    size, width = (1 << 28, 8192) if DEVICE.type == "cuda" else (1 << 20, 256)
    source = torch.randn(size // 4, device=DEVICE)
    target = torch.empty_like(source)
    left, right = (torch.randn(width, width, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    copy = statistics.median(timed(lambda: target.copy_(source)) for _ in range(7))
    product = statistics.median(timed(lambda: left @ right) for _ in range(7))
    return {"copy_TB_s": 2 * size / copy / 1e9, "matmul_TFLOP_s": 2 * width**3 / product / 1e9}


def ragged(rows: int, length: int, density: float, vocabulary: int, seed: int) -> dict[str, Tensor]:
    """Random ids with lengths spread evenly around the density; one row is whole."""
    generator = torch.Generator().manual_seed(seed)
    low = max(1, int((2 * density - 1) * length))
    lengths = (
        torch.randint(low, length + 1, (rows,), generator=generator)
        if density < 1
        else torch.full((rows,), length)
    )
    lengths[0] = length
    ids = torch.randint(5, vocabulary, (rows, length), generator=generator)
    mask = (torch.arange(length) < lengths[:, None]).long()
    return {"input_ids": (ids * mask).to(DEVICE), "attention_mask": mask.to(DEVICE)}


@contextmanager
def transformers_or_not() -> Iterator[Any]:
    """The library to compare with, or None where it is not installed."""
    if find_spec("transformers") is None:
        yield None
        return
    import transformers

    transformers.logging.set_verbosity_error()
    yield transformers


def model_arms(
    ours: dict[str, Any], theirs: dict[str, Any], batches: list[dict[str, Tensor]], train: bool
) -> list[Arm]:
    """An arm for each model: a forward, and with ``train`` a backward, over the batches in turn."""

    def arm(name: str, model: Any) -> Arm:
        turn = cycle(batches)

        def call() -> None:
            batch = next(turn)
            if train:
                model(
                    **batch, labels=batch["input_ids"].where(batch["attention_mask"] > 0, -100)
                ).loss.backward()
                model.zero_grad(set_to_none=True)
            else:
                with torch.inference_mode():
                    model(**batch)

        def answer() -> Tensor:
            if isinstance(model, torch.nn.Module):
                model.eval()
            with torch.inference_mode():
                logits = model(**batches[0]).logits
            if isinstance(model, torch.nn.Module):
                model.train(train)
            return logits[batches[0]["attention_mask"] > 0]

        return Arm(name, call, answer)

    return [arm(name, model) for name, model in (ours | theirs).items()]


def bert(sizes: Sizes) -> list[Figure]:
    """The two tables of the specification, inference and training, then ragged batches."""
    dtype = torch.float16 if DEVICE.type == "cuda" else torch.float32
    config = BertConfig(**sizes.shrink)
    torch.manual_seed(0)
    reference = BertForMaskedLM(config).to(DEVICE, torch.float32).eval()
    with transformers_or_not() as library:
        cases = [("inference", shape, 1.0, False) for shape in sizes.inference]
        cases += [("training", shape, 1.0, True) for shape in sizes.training]
        largest = sizes.training[-1]
        cases += [("ragged inference", largest, density, False) for density in sizes.densities]
        cases += [("ragged training", largest, density, True) for density in sizes.densities]
        figures = []
        for kind, (rows, length), density, train in cases:
            batches = [ragged(rows, length, density, config.vocab_size, seed) for seed in range(4)]
            ours = {
                f"formers {name}": _bert(reference, name, dtype, train) for name in ("auto", "sdpa", "eager")
            }
            others = () if library is None else ("sdpa", "eager")
            theirs = {
                f"transformers {name}": _their_bert(library, reference, name, dtype, train) for name in others
            }
            if DEVICE.type == "cuda" and not train:
                ours["formers captured"] = CapturedForward(_bert(reference, "auto", dtype, train))
            arms = model_arms(ours, theirs, batches, train)
            with torch.inference_mode():
                expected = reference(**batches[0]).logits[batches[0]["attention_mask"] > 0]
            tokens = int(sum(int(batch["attention_mask"].sum()) for batch in batches) / len(batches))
            case = f"{kind}, {rows} x {length}" + (f", density {density}" if "ragged" in kind else "")
            figures += measure("bert", case, arms, expected, TOLERANCE[dtype], sizes, tokens)
    return figures


def _bert(reference: Any, attention: str, dtype: torch.dtype, train: bool) -> Any:
    model = BertForMaskedLM(reference.config)
    model.load_state_dict(reference.state_dict())
    model.set_attn_implementation(attention)
    return model.to(DEVICE, dtype).train(train)


def _their_bert(library: Any, reference: Any, attention: str, dtype: torch.dtype, train: bool) -> Any:
    config = library.BertConfig(**json.loads(reference.config.to_json_string()))
    config._attn_implementation = attention
    model = library.BertForMaskedLM(config)
    model.load_state_dict(reference.state_dict(), strict=False)
    model.tie_weights()
    return model.to(DEVICE, dtype).train(train)


def decode(sizes: Sizes) -> list[Figure]:
    """Tokens a second of greedy generation, one row, beside transformers with its dynamic cache."""
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    figures = []
    with transformers_or_not() as library:
        for name, shape in sizes.gpt2.items():
            config = GPT2Config(**shape, **({"vocab_size": 128} if sizes is SMOKE else {}))
            torch.manual_seed(0)
            model = GPT2LMHeadModel(config).to(DEVICE, dtype).eval()
            prompt = torch.randint(0, config.vocab_size, (1, 16), device=DEVICE)
            settings = {
                "max_new_tokens": sizes.new_tokens,
                "min_new_tokens": sizes.new_tokens,
                "do_sample": False,
            }
            compiled = {"cache_implementation": "static", "compile_config": {"mode": "reduce-overhead"}}
            variants = {"formers": (model, {}), "formers static": (model, {"cache_implementation": "static"})}
            if DEVICE.type == "cuda":
                variants["formers static, compiled"] = (model, compiled)
                captured = {"cache_implementation": "static", "compile_config": {"backend": "cudagraph"}}
                variants["formers static, captured"] = (model, captured)
            if library is not None:
                other = library.GPT2LMHeadModel(library.GPT2Config(**json.loads(config.to_json_string())))
                other.load_state_dict(model.state_dict(), strict=False)
                other = other.to(DEVICE, dtype).eval()
                variants["transformers"] = (other, {"pad_token_id": 0})
                if DEVICE.type == "cuda":
                    static = {"pad_token_id": 0, "cache_implementation": "static"}
                    variants["transformers static, compiled"] = (other, static)
            arms = [_writer_arm(arm, made, prompt, settings | more) for arm, (made, more) in variants.items()]
            expected = GPT2LMHeadModel(config).to(DEVICE)
            expected.load_state_dict(model.state_dict())
            with torch.inference_mode():
                logits = expected.eval()(prompt).logits
            del expected
            figures += measure("gpt2 decode", name, arms, logits, TOLERANCE[dtype], sizes, sizes.new_tokens)
    return figures


def _writer_arm(name: str, model: Any, prompt: Tensor, settings: dict[str, Any]) -> Arm:
    def answer() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = model(prompt).logits
        return logits

    return Arm(name, lambda: model.generate(prompt, **settings), answer)


def t5(sizes: Sizes) -> list[Figure]:
    """A forward and a backward of one encoder layer, whose bias is trained, over more and more length."""
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    shape = {"num_layers": 1, "vocab_size": 128, "d_model": 768, "num_heads": 12}
    if sizes is SMOKE:
        shape |= {"d_model": 32, "d_kv": 16, "num_heads": 2, "d_ff": 64}
    figures = []
    for length in sizes.t5_lengths:
        rows = max(1, sizes.t5_tokens // length)
        torch.manual_seed(0)
        reference = T5EncoderModel(T5Config(**shape, dropout_rate=0.0)).to(DEVICE)
        batches = [ragged(rows, length, 0.9, 128, seed) for seed in range(3)]
        real = batches[0]["attention_mask"] > 0
        with torch.inference_mode():
            expected = reference.eval()(**batches[0]).last_hidden_state[real]
        arms = [_encoder_arm(name, reference, dtype, batches, real) for name in ("auto", "sdpa", "eager")]
        case = f"{rows} x {length}"
        figures += measure(
            "t5 encoder layer, training", case, arms, expected, TOLERANCE[dtype], sizes, int(real.sum())
        )
    return figures


def _encoder_arm(
    name: str, reference: Any, dtype: torch.dtype, batches: list[dict[str, Tensor]], real: Tensor
) -> Arm:
    model = T5EncoderModel(reference.config)
    model.load_state_dict(reference.state_dict())
    model.set_attn_implementation(name)
    model.to(DEVICE, dtype).train()
    turn = cycle(batches)

    def call() -> None:
        model(**next(turn)).last_hidden_state.float().square().mean().backward()
        model.zero_grad(set_to_none=True)

    def answer() -> Tensor:
        with torch.no_grad():
            states: Tensor = model(**batches[0]).last_hidden_state
        return states[real]

    return Arm(f"formers {name}", call, answer)


PARTS: dict[str, Callable[[Sizes], list[Figure]]] = {"bert": bert, "decode": decode, "t5": t5}


def markdown(figures: list[Figure]) -> str:
    """A table of what was timed, and why the rest was not."""
    lines = [
        "| part | case | arm | ms | spread | tokens/s | peak MB | error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in figures:
        ms = one.note if one.milliseconds is None else f"{one.milliseconds:.3f}"
        spread = "" if one.spread is None else f"{one.spread:.0%}"
        speed = "" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}"
        memory = "" if one.peak_mb is None else f"{one.peak_mb:,.0f}"
        error = "" if one.error is None else f"{one.error:.1e}"
        lines.append(
            f"| {one.part} | {one.case} | {one.arm} | {ms} | {spread} | {speed} | {memory} | {error} |"
        )
    return "\n".join(lines) + "\n"


def draw(figures: list[Figure], path: Path) -> bool:
    """Tokens a second of every arm, one panel for each part; False where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return False
    from matplotlib import pyplot

    parts = list(dict.fromkeys(one.part for one in figures))
    canvas, panels = pyplot.subplots(
        len(parts), squeeze=False, figsize=(11, 4.5 * len(parts)), layout="constrained"
    )
    for part, panel in zip(parts, panels[:, 0], strict=True):
        for arm in dict.fromkeys(one.arm for one in figures if one.part == part):
            seen = [one for one in figures if (one.part, one.arm) == (part, arm) and one.tokens_per_second]
            panel.plot([one.case for one in seen], [one.tokens_per_second for one in seen], "o-", label=arm)
        panel.set(title=part, ylabel="real tokens a second", yscale="log")
        panel.tick_params(axis="x", rotation=30)
        panel.legend(fontsize="small")
    canvas.savefig(path, dpi=120)
    return True


def main() -> None:
    """Measure, print, and keep the figures of a complete run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; all if not given"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on any device; nothing is kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if DEVICE.type != "cuda" and not arguments.smoke:
        raise SystemExit(
            "No GPU: figures of a GPU need one. --smoke runs the same programs here, with tiny sizes."
        )
    sizes = SMOKE if arguments.smoke else FULL
    about = environment() | {"ceilings": ceilings()}
    if DEVICE.type == "cuda":
        about |= {"gpu": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
    print(json.dumps(about, indent=2), flush=True)
    figures = []
    for name in arguments.parts or PARTS:
        figures += PARTS[name](sizes)
        print(
            markdown([one for one in figures if one.part.startswith(name[:2]) or name == "decode"]),
            flush=True,
        )
    if arguments.smoke or arguments.parts:
        return
    RESULTS.mkdir(exist_ok=True)
    content = {"environment": about, "figures": [asdict(one) for one in figures]}
    (RESULTS / "gpu.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    (RESULTS / "gpu.md").write_text(markdown(figures), "utf-8")
    if not draw(figures, RESULTS / "gpu.png"):
        print("No plots: pip install matplotlib")


if __name__ == "__main__":
    main()
