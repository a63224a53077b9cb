"""Whether Triton kernels can run here, without importing Triton to find out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from formers.attention.contract import OutOfScope

if TYPE_CHECKING:
    from formers.attention.contract import AttentionRequest

__all__ = ["DTYPES", "MAX_HEAD_DIM", "interpreting", "priority", "reasons_against"]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_HEAD_DIM = 128
"""A tile of a wider head would not fit into the registers of one program."""

_ON = {"1", "true", "on", "yes", "y"}
_OLDEST = (8, 0)  # the first GPUs with bfloat16 matrix instructions


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU: TRITON_INTERPRET is set, which Triton reads once."""
    return os.environ.get("TRITON_INTERPRET", "").strip().lower() in _ON


def priority(compiled: int = 30) -> int:
    """Of an implementation made of kernels: ``compiled``, but below eager in the interpreter.

    The interpreter is thousands of times slower than anything else, so that there only a name selects a kernel.
    """
    return -1 if interpreting() else compiled


def reasons_against(
    request: AttentionRequest, refused: Mapping[str, str], *, max_head_dim: int = MAX_HEAD_DIM
) -> tuple[str, ...]:
    """Why kernels cannot serve a request, one reason a string; empty if they can.

    Args:
        request: the kind of call.
        refused: needs that the kernel does not meet, each with the reason.
        max_head_dim: the widest head that it takes.
    """
    reasons = [reason for need, reason in refused.items() if need in request.needs]
    if request.dtype not in DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        reasons.append(f"dtype {str(request.dtype).removeprefix('torch.')} is none of {names}")
    if request.head_dim > max_head_dim:
        reasons.append(f"heads of {request.head_dim} are wider than {max_head_dim}")
    reasons.extend(_missing(request.device))
    return tuple(reasons)


def _missing(device: str) -> list[str]:
    if device != "cuda" and not interpreting():
        reason = f"its kernels run on cuda, not on {device} (TRITON_INTERPRET=1 interprets them, slowly)"
        return [OutOfScope(reason)]
    if find_spec("triton") is None:
        return ["triton is not installed (pip install triton, on Linux)"]
    if interpreting():
        return []
    capability = torch.cuda.get_device_capability()
    if capability < _OLDEST:
        return [f"the GPU has compute capability {capability[0]}.{capability[1]}, below 8.0"]
    return []
