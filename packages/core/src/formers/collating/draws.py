"""The random numbers of a collator: from a generator of its own, never a global one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from formers.errors import ConfigValidationError, MissingExtraError, shorten

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np

__all__ = ["Draws", "import_numpy"]


def import_numpy(what: str) -> ModuleType:
    """The module ``numpy``.

    Raises:
        MissingExtraError: it is not installed; names ``what`` as what needs it.
    """
    try:
        import numpy
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise MissingExtraError(
            f"{what} needs numpy, which is not installed. Install it: pip install 'formers[numpy]'"
        ) from error
    return numpy


class Draws:
    """A source of random numbers.

    In a worker of torch's ``DataLoader`` the numbers come from a generator for that worker, made from this one's state
    and the worker's own seed: workers and epochs differ, and a loader whose ``generator`` is seeded repeats itself.

    Args:
        seed: the same numbers for the same seed; None for new ones each time; a numpy ``Generator`` is used as it is.
        what: who draws, for the error without numpy.

    Raises:
        MissingExtraError: numpy is not installed.
        ConfigValidationError: the seed is none.
    """

    __slots__ = ("_generator", "_of_worker")

    def __init__(self, seed: int | np.random.Generator | None, what: str) -> None:
        numpy = import_numpy(what)
        if isinstance(seed, numpy.random.Generator):
            self._generator: np.random.Generator = seed
        elif seed is None or (isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0):
            self._generator = numpy.random.default_rng(seed)
        else:
            raise ConfigValidationError(
                f"seed={shorten(seed)}: expected a whole number of at least 0, a numpy Generator, or None."
            )
        self._of_worker: tuple[int, np.random.Generator] | None = None

    @property
    def generator(self) -> np.random.Generator:
        """The generator to draw from here and now."""
        # A worker of a DataLoader has imported this module; importing it to find out would need torch.
        data = sys.modules.get("torch.utils.data")
        worker = None if data is None else data.get_worker_info()
        if worker is None:
            return self._generator
        if self._of_worker is None or self._of_worker[0] != worker.seed:
            import numpy

            state = int(self._generator.integers(2**63))
            self._of_worker = worker.seed, numpy.random.default_rng((state, worker.seed))
        return self._of_worker[1]
