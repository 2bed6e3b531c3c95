"""Several images at a time, with the processor's threads shared among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(task: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Run a task on each item, ``workers`` items at a time, the processor's threads shared out among them; results in order.

    Whole images keep the cores busier than the threads of one image, which wait for each other after every layer.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        workers, initializer=torch.set_num_threads, initargs=(max(1, threads // workers),)
    )
    try:
        yield from pool.map(task, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
