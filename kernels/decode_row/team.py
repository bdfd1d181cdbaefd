"""Threads that go through the phases of one computation together.

A phase is so many pieces; whoever is free takes the next one, first of its own share, which lies together in memory,
then of others'. A phase is over when its pieces are done, whoever did them: nobody waits for a thread that the system
runs late or not at all, and one that comes late finds nothing left to take. So a member may compute for itself whatever
it likes between phases, but only what belongs to a piece that it took may be written where others read.

team: address of zeros, int64, 64 bytes each (two threads writing into one cache line wait for each other): in every
phase what was taken of each member's share, and how many pieces are done.
"""

from __future__ import annotations

from kernels.decode_row.primitives import add_to, give_way, pause, seen
from kernels.jit import njit

# looks at a counter, some 40 ns each, before the core is offered to others
LOOKS = 500


def counters(phases: int, members: int) -> int:
    """How many int64 a team needs, and seven to spare for the first to lie on a cache line."""
    return 8 * phases * (members + 1) + 7


@njit(nogil=True, error_model="numpy", cache=True)
def take(team: int, members: int, me: int, phase: int, pieces: int) -> int:
    """The next piece, or -1 if all are taken."""
    line = team + 64 * phase * (members + 1)
    for step in range(members):
        who = (me + step) % members
        first, last = pieces * who // members, pieces * (who + 1) // members
        if seen(line + 64 * who) < last - first:
            number = int(add_to(line + 64 * who, 1))
            if number < last - first:
                return first + number
    return -1


@njit(nogil=True, error_model="numpy", cache=True)
def done(team: int, members: int, phase: int) -> None:
    """A piece that was taken is finished."""
    add_to(team + 64 * (phase * (members + 1) + members), 1)


@njit(nogil=True, error_model="numpy", cache=True)
def join(team: int, members: int, phase: int, pieces: int) -> None:
    """Return when all pieces are finished."""
    place = team + 64 * (phase * (members + 1) + members)
    looks = 0
    while seen(place) < pieces:
        looks += 1
        if looks < LOOKS:
            pause()
        else:
            give_way()
