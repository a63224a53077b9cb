"""Several processes that share a model's parameters: each runs the model until all of them are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .state import Decoding

__all__ = ["goes_on"]


def goes_on(run: Decoding, wanted: bool) -> bool:
    """``wanted``: whether a run needs a further step; one with ``synced_gpus`` waits here for the others at its end.

    Every process asks once a step. Meanwhile one that is done runs the model for nothing, because sharded parameters
    are gathered from all processes for every forward; its result does not change.
    """
    if not run.stopping.is_synced:
        return wanted
    while _any_process(wanted, run.device) and not wanted:
        _run_for_nothing(run)
    return wanted


def _any_process(wanted: bool, device: torch.device) -> bool:
    count = torch.tensor(float(wanted), device=device)
    torch.distributed.all_reduce(count)
    return count.item() > 0.0


def _run_for_nothing(run: Decoding) -> None:
    inputs = run.model.prepare_inputs_for_generation(
        run.tokens[:, :1],
        next_sequence_length=1,
        past_key_values=None,
        use_cache=False,
        **run.context_of_rows(),
    )
    run.model(**inputs, return_dict=True)
