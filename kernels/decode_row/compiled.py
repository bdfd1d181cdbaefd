"""The whole row in compiled loops: weights and keys are read once, by as many threads as PyTorch uses.

Every thread goes through ``row``, phase by phase (``team.py``): what is small each computes for itself. Numba compiles
it at the first use and keeps the machine code beside this file, or in the user's cache folder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray

from kernels import tiles as matrix_tiles
from kernels.decode_row import bytes as coded_bytes
from kernels.decode_row import choosing
from kernels.decode_row.attending import attend, look, merge
from kernels.decode_row.matrix import code, gated, normed, product, quantize, share, turned, warm
from kernels.decode_row.primitives import narrow, pointer
from kernels.decode_row.table import ADDRESS, COLUMNS, HEAD, LAYER, LENGTH, UNIT, VALUES
from kernels.decode_row.team import counters, done, join, take
from kernels.jit import njit

# phases of a layer: joined projections, scores of blocks, attention, the gaze, and three products; and a head's choice
PHASES = 7
# blocks that are scored in one piece
SCORED = 512


class Packed(NamedTuple):
    """``kernels.decode_row.Weights`` as arrays; what a model does not have is empty. Matrices are int8 or float32."""

    qkv: Any
    qkv_steps: Any
    qkv_bias: Any
    out: Any
    out_steps: Any
    out_bias: Any
    gate_up: Any
    gate_up_steps: Any
    gate_up_bias: Any
    down: Any
    down_steps: Any
    down_bias: Any
    head: Any
    head_steps: Any
    query_norm: Any
    key_norm: Any


class Keys(NamedTuple):
    """What there is to attend to. runs: ``table.COLUMNS`` a run; like: empty, of the keys' dtype.

    places: [blocks, 2], run and block of every mean key; keys: [layers, kv_heads] to choose, or empty; block: tokens;
    sink, local: blocks; watched: [layers, heads] or [0, heads]; starts: [runs]; gaze: [blocks], added to.
    """

    runs: Any
    like: Any
    places: Any
    keys: Any
    block: Any
    sink: Any
    local: Any
    watched: Any
    starts: Any
    gaze: Any


class Shared(NamedTuple):
    """What the members of a team write for one another. state: [hidden], changed.

    queries: [kinds, kv_heads, group, dim]; mixed: [(heads + 2 kv_heads) * dim]; inner: [inner]; units: [lists, most,
    3], counts: [lists], lists: [kv_heads], which list a head takes, the last is of all keys; scores: [kv_heads, group,
    blocks], and of each part of ``SCORED`` of them far_top, far_sum: [kv_heads, parts, group]; top, mass: [pieces,
    kv_heads, group]; acc: [..., dim]; peaks: [heads, most], sums: [..., UNIT / LOOK], or empty; logits: [vocabulary].
    """

    state: Any
    queries: Any
    mixed: Any
    inner: Any
    units: Any
    counts: Any
    lists: Any
    scores: Any
    far_top: Any
    far_sum: Any
    top: Any
    mass: Any
    acc: Any
    peaks: Any
    sums: Any
    logits: Any


@njit(nogil=True, error_model="numpy", cache=True)
def _never_attend(
    configuration: Any, layer: Any, head: Any, piece: Any, runs: Any, queries: Any, units: Any, first: Any, last: Any,
    top: Any, mass: Any, acc: Any, watched: Any, peaks: Any, sums: Any, space: Any,
) -> None:  # fmt: skip
    """Where there are no tiles: nobody is told of a configuration there."""


@njit(nogil=True, error_model="numpy", cache=True)
def _never_score(
    configuration: Any, layer: Any, head: Any, begin: Any, end: Any, runs: Any, queries: Any, places: Any, out: Any,
    space: Any,
) -> None:  # fmt: skip
    """As ``_never_attend``."""


@njit(nogil=True, error_model="numpy", cache=True)
def _never_pack(queries: Any, space: Any) -> None:
    """As ``_never_attend``."""


@njit(nogil=True, error_model="numpy", cache=True)
def _no_room(kinds: Any, heads: Any, dim: Any) -> int:
    return 64


if matrix_tiles.available():
    from kernels.decode_row import tiled

    tiled_attend, tiled_score, tiled_pack = tiled.attend, tiled.score_blocks, tiled.pack_heads
    room, MOST = tiled.room, tiled.MOST
else:
    tiled_attend, tiled_score, tiled_pack = _never_attend, _never_score, _never_pack
    room, MOST = _no_room, 0


@njit(nogil=True, error_model="numpy", cache=True)
def row(
    tally: Any, members: int, me: int, configuration: int, coding: bool, weights: Any, eps: Any, scale: Any, cos: Any,
    sin: Any, heads: int, context: Any, shared: Any,
) -> None:  # fmt: skip
    """A member's part of ``kernels.decode_row.decode_row``; the row is there when any of them returns.

    tally: zeros, what ``team.py`` calls a team; configuration: address of ``kernels.tiles``' where keys go through
    tiles, 0 where they do not; coding: whether vectors are coded for int8 matrices.
    """
    team = (tally.ctypes.data + 63) // 64 * 64
    runs, like, places = context.runs, context.like, context.places
    state, queries, mixed, inner = shared.state, shared.queries, shared.mixed, shared.inner
    units, counts, lists, scores = shared.units, shared.counts, shared.lists, shared.scores
    top, mass, acc = shared.top, shared.mass, shared.acc
    kinds, dim = cos.shape[0], cos.shape[1] * 2
    kv_heads, group = queries.shape[1], queries.shape[2]
    last = runs.shape[0] - 1
    pieces = top.shape[0]
    choosing_here = context.keys.shape[0] > 0 and places.shape[0] > 0
    watching = context.watched.shape[0] > 0
    nobody, no_bias = np.empty(0, np.float32), np.empty(0, np.float32)
    # this member's own
    hidden = state.shape[0]
    x, mixture = np.empty(hidden, np.float32), np.empty(heads * dim, np.float32)
    quad, key = np.empty(4, np.float32), np.empty(dim, np.float32)
    weight_scores, rows = np.empty((group, UNIT), np.float32), np.empty((UNIT, dim), np.float32)
    wide_key, wide_value = np.empty((UNIT, dim), np.float32), np.empty((UNIT, dim), np.float32)
    space = np.empty(room(kinds, kv_heads, dim) + 64, np.uint8)
    at = (space.ctypes.data + 63) // 64 * 64
    longest = max(hidden, max(heads * dim, inner.shape[0])) if coding else 0
    blocks = longest // coded_bytes.BLOCK
    codes = np.empty((blocks, 2, coded_bytes.BLOCK), np.int8)
    offsets, steps = np.empty((blocks, 16), np.int32), np.empty(blocks, np.float32)
    made = (codes.ctypes.data, offsets.ctypes.data, steps.ctypes.data)
    coded = made if coding else (0, 0, 0)
    size = like.itemsize
    phase = chosen = 0
    for layer in range(weights.qkv.shape[0]):
        normed(state, eps, x)
        if coding:
            code(x, codes, offsets, steps)
        count = heads + 2 * kv_heads
        while True:
            number = take(team, members, me, phase, count)
            if number < 0:
                break
            product(weights.qkv[layer], weights.qkv_steps[layer], weights.qkv_bias[layer], x, coded,
                    number * dim, (number + 1) * dim, mixed, False, quad)  # fmt: skip
            head = mixed[number * dim : (number + 1) * dim]
            if number < heads:
                for kind in range(kinds):
                    turned(head, weights.query_norm[layer], eps, cos[kind], sin[kind], scale,
                           queries[kind, number // group, number % group])  # fmt: skip
            else:
                value = (number - heads) // kv_heads
                if value == 0:
                    turned(head, weights.key_norm[layer], eps, cos[0], sin[0], np.float32(1), key)
                else:
                    key[:] = head
                stored = carray(
                    pointer(
                        runs[last, ADDRESS] + size * (
                            layer * runs[last, LAYER] + (number - heads) % kv_heads * runs[last, HEAD]
                            + value * runs[last, VALUES] + (runs[last, LENGTH] - 1) * dim
                        )
                    ),
                    (dim,), like.dtype,
                )  # fmt: skip
                for d in range(dim):
                    stored[d] = narrow(key[d], like)
            done(team, members, phase)
        warm(weights.out[layer], members, me)
        join(team, members, phase, count)
        phase += 1
        if configuration:
            tiled_pack(queries, at)
        if choosing_here:
            parts = -(-places.shape[0] // SCORED)
            while True:
                number = take(team, members, me, phase, parts * kv_heads)
                if number < 0:
                    break
                head, begin = number // parts, number % parts * SCORED
                end = min(places.shape[0], begin + SCORED)
                if configuration:
                    tiled_score(configuration, layer, head, begin, end, runs, queries, places, scores[head], at)
                else:
                    choosing.score_blocks(layer, head, begin, end, runs, queries, like, places, scores[head])
                part = number % parts
                choosing.soften(scores[head], begin, end, shared.far_top[head, part], shared.far_sum[head, part])
                done(team, members, phase)
            join(team, members, phase, parts * kv_heads)
            phase += 1
            # a head's choice is a phase of its own: who has none to make goes on with what was chosen by then
            chosen = phase
            for head in range(kv_heads):
                if take(team, members, me, phase, 1) == 0:
                    lists[head] = kv_heads
                    keys = context.keys[layer, head]
                    if keys < places.shape[0] * context.block:
                        found = choosing.shares(scores[head], shared.far_top[head], shared.far_sum[head], SCORED)
                        counts[head] = choosing.choose(
                            found, runs, context.block, keys // context.block, context.sink, context.local, units[head]
                        )
                        lists[head] = head
                    done(team, members, phase)
                phase += 1
        # most layers have no head that tells anything
        looking = watching and context.watched[layer].any()
        mine = context.watched[layer] if looking else nobody
        while True:
            number = take(team, members, me, phase, pieces * kv_heads)
            if number < 0:
                break
            head, piece = number // pieces, number % pieces
            if choosing_here:
                join(team, members, chosen + head, 1)
            which = lists[head]
            first, end = piece * counts[which] // pieces, (piece + 1) * counts[which] // pieces
            if configuration:
                tiled_attend(
                    configuration, layer, head, piece, runs, queries, units[which], first, end, top, mass, acc, mine,
                    shared.peaks, shared.sums, at,
                )  # fmt: skip
            else:
                attend(
                    layer, head, piece, runs, queries, like, units[which], first, end, top, mass, acc, mine,
                    shared.peaks, shared.sums, weight_scores, rows, wide_key, wide_value,
                )  # fmt: skip
            done(team, members, phase)
        join(team, members, phase, pieces * kv_heads)
        phase += 1
        if looking:
            if take(team, members, me, phase, 1) == 0:
                look(
                    runs, context.starts, units, counts, lists, top, mass, mine, shared.peaks, shared.sums, context.gaze
                )
                done(team, members, phase)
            join(team, members, phase, 1)
            phase += 1
        merge(top, mass, acc, mixture)
        if coding:
            code(mixture, codes, offsets, steps)
        per = share(hidden, heads * dim, weights.out.itemsize, members)
        count = -(-hidden // per)
        while True:
            number = take(team, members, me, phase, count)
            if number < 0:
                break
            product(weights.out[layer], weights.out_steps[layer], weights.out_bias[layer], mixture, coded,
                    number * per, min(hidden, (number + 1) * per), state, True, quad)  # fmt: skip
            done(team, members, phase)
        warm(weights.gate_up[layer], members, me)
        join(team, members, phase, count)
        phase += 1
        normed(state, eps, x)
        if coding:
            code(x, codes, offsets, steps)
        per = share(inner.shape[0], 2 * hidden, weights.gate_up.itemsize, members)
        count = -(-inner.shape[0] // per)
        while True:
            number = take(team, members, me, phase, count)
            if number < 0:
                break
            gated(weights.gate_up[layer], weights.gate_up_steps[layer], weights.gate_up_bias[layer], x, coded,
                  number * per, min(inner.shape[0], (number + 1) * per), inner, quad)  # fmt: skip
            done(team, members, phase)
        warm(weights.down[layer], members, me)
        join(team, members, phase, count)
        phase += 1
        if coding:
            code(inner, codes, offsets, steps)
        per = share(hidden, inner.shape[0], weights.down.itemsize, members)
        count = -(-hidden // per)
        while True:
            number = take(team, members, me, phase, count)
            if number < 0:
                break
            product(weights.down[layer], weights.down_steps[layer], weights.down_bias[layer], inner, coded,
                    number * per, min(hidden, (number + 1) * per), state, True, quad)  # fmt: skip
            done(team, members, phase)
        if layer + 1 < weights.qkv.shape[0]:
            warm(weights.qkv[layer + 1], members, me)
        join(team, members, phase, count)
        phase += 1
    normed(state, eps, x)
    if coding:
        code(x, codes, offsets, steps)
    vocabulary = weights.head.shape[0]
    per = share(vocabulary, hidden, weights.head.itemsize, members)
    count = -(-vocabulary // per)
    while True:
        number = take(team, members, me, phase, count)
        if number < 0:
            break
        product(weights.head, weights.head_steps, no_bias, x, coded,
                number * per, min(vocabulary, (number + 1) * per), shared.logits, False, quad)  # fmt: skip
        done(team, members, phase)
    join(team, members, phase, count)
    # Numba gives arrays back after their last use, and does not see the addresses
    space[0], codes[:1], offsets[:1], steps[:1] = 0, 0, 0, 0


__all__ = ["COLUMNS", "MOST", "PHASES", "Keys", "Packed", "Shared", "counters", "quantize", "row"]
