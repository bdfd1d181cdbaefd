"""Threads for small pieces: ``each`` is tested with what it serves, in ``test_sparse_attention``."""

from __future__ import annotations

import threading

import pytest
import torch

from kernels.parallel import each, together


def test_work_is_shared_with_whoever_comes() -> None:
    """Number 0 runs here; when it is through, nobody is waited for."""
    here, seen, go = threading.get_ident(), dict[int, int](), threading.Event()

    def work(number: int) -> None:
        seen[number] = threading.get_ident()
        if number:
            go.set()
        else:
            go.wait(10)

    together(work, 2)
    assert seen[0] == here and seen[1] != here
    together(work, 1)
    with pytest.raises(MemoryError):
        together(lambda number: raises() if number == 0 else None, 2)


def raises() -> None:
    raise MemoryError


def test_a_failure_ends_the_pieces_that_are_left() -> None:
    threads, begun = torch.get_num_threads(), list[int]()
    torch.set_num_threads(2)

    def piece(number: int) -> None:
        begun.append(number)
        raise MemoryError(number)

    try:
        with pytest.raises(MemoryError):
            each(piece, range(1000))
        # one on each thread, and those that were taken as the first failed
        assert len(begun) <= 4 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
