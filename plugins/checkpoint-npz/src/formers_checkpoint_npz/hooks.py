"""The hook through which the core finds the format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers import hookimpl

if TYPE_CHECKING:
    from formers.checkpoint.formats import CheckpointFormat

__all__ = ["formers_checkpoint_formats"]


@hookimpl
def formers_checkpoint_formats() -> list[CheckpointFormat]:
    """``model.npz``, preferred to pickles where a folder holds both."""
    from formers.checkpoint.formats import CheckpointFormat

    from .npz import NpzFile, write_npz

    return [
        CheckpointFormat(
            name="npz",
            stem="model",
            suffix=".npz",
            reader=lambda path, how: NpzFile(path, max_header_bytes=how.max_header_bytes),
            writer=write_npz,
            priority=50,
        )
    ]
