"""Processor threads: how many PyTorch uses, and several images at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def processor_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch use ``count`` processor threads in this block; None for as many as before."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(task: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Run a task on each item, ``workers`` items at a time; results come in order.

    The processor's threads are shared among the workers. Whole images keep the cores busier than
    the threads of one image, which wait for each other after every layer.
    """
    threads = max(1, torch.get_num_threads() // workers)
    with processor_threads(None):
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,))
        try:
            yield from pool.map(task, items)
        finally:
            pool.shutdown(cancel_futures=True)
