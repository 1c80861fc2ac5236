"""Several places at once: each on a thread of its own.

The products of one place are too small to gain much from a second core, and threads that share
every one of them wait for each other at each (on a busy machine ten times longer than they
compute). So places share the cores, and each keeps to one; results do not depend on how many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Place = TypeVar("Place")
Found = TypeVar("Found")


def one_thread_each(
    work: Callable[[Place], Found], places: Sequence[Place], device: str | torch.device
) -> list[Found]:
    """The results of ``work`` at every place, in order.

    On a CPU, as many places at once as torch has threads, which it gets back at the end; elsewhere
    one after the other.
    """
    n_threads = torch.get_num_threads()
    if torch.device(device).type != "cpu" or n_threads == 1:
        return [work(place) for place in places]
    try:
        with ThreadPoolExecutor(
            min(n_threads, max(len(places), 1)), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(work, places))
    finally:
        torch.set_num_threads(n_threads)
