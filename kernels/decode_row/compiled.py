"""The whole row in compiled loops: weights and keys are read once, by as many threads as PyTorch uses.

Numba compiles it at the first use and keeps the machine code beside this file, or in the user's cache folder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray, config, njit, prange, set_num_threads

from kernels.decode_row.choosing import choose_all, score_blocks, whole_units
from kernels.decode_row.primitives import exp, narrow, pointer, widen
from kernels.decode_row.table import (
    ADDRESS,
    COLUMNS,
    FAST,
    GROUP,
    HEAD,
    KIND,
    LAYER,
    LENGTH,
    LOOK,
    STEPS,
    STEPS_HALF,
    STEPS_HEAD,
    STEPS_LAYER,
    UNIT,
    VALUES,
)  # fmt: skip


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


@njit(parallel=True, fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def product(weight: Any, steps: Any, bias: Any, x: Any, out: Any, add: bool) -> None:
    """out (+)= (weight * steps) @ x + bias"""
    for row in prange(weight.shape[0]):
        total = np.float32(0)
        for column in range(weight.shape[1]):
            total += np.float32(weight[row, column]) * x[column]
        total *= steps[row]
        if bias.shape[0]:
            total += bias[row]
        out[row] = out[row] + total if add else total


@njit(parallel=True, fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def gated(weight: Any, steps: Any, bias: Any, x: Any, out: Any) -> None:
    """out = silu(gate) * up, gate and up being the halves of the product."""
    half = out.shape[0]
    for row in prange(half):
        gate, up = np.float32(0), np.float32(0)
        for column in range(weight.shape[1]):
            gate += np.float32(weight[row, column]) * x[column]
            up += np.float32(weight[half + row, column]) * x[column]
        gate *= steps[row]
        up *= steps[half + row]
        if bias.shape[0]:
            gate += bias[row]
            up += bias[half + row]
        small = exp(-abs(gate))
        out[row] = up * gate * (np.float32(1) if gate > 0 else small) / (np.float32(1) + small)


@njit(parallel=True, fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def quantize(weight: Any, norm: Any, out: Any, steps: Any) -> None:
    """out * steps ~ weight * norm, a step a row."""
    for row in prange(weight.shape[0]):
        top = np.float32(0)
        for column in range(weight.shape[1]):
            top = max(top, abs(widen(weight[row, column]) * norm[column]))
        step = max(top / np.float32(127), np.float32(1e-12))
        steps[row] = step
        for column in range(weight.shape[1]):
            out[row, column] = np.int8(np.rint(widen(weight[row, column]) * norm[column] / step))


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def normed(x: Any, eps: Any, out: Any) -> None:
    total = np.float32(0)
    for i in range(x.shape[0]):
        total += x[i] * x[i]
    factor = np.float32(1) / np.sqrt(total / np.float32(x.shape[0]) + eps)
    for i in range(x.shape[0]):
        out[i] = x[i] * factor


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def turned(x: Any, norm: Any, eps: Any, cos: Any, sin: Any, scale: Any, out: Any) -> None:
    """One head, normed if the model does that, rotated: out [dim]."""
    half = x.shape[0] // 2
    if norm.shape[0]:
        normed(x, eps, out)
        for d in range(x.shape[0]):
            out[d] *= norm[d]
    else:
        out[:] = x
    for d in range(half):
        first, second = out[d], out[d + half]
        out[d] = (first * cos[d] - second * sin[d]) * scale
        out[d + half] = (second * cos[d] + first * sin[d]) * scale


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def attend_unit(query: Any, key: Any, value: Any, top: Any, mass: Any, acc: Any, scores: Any, rows: Any) -> None:
    """Add a unit to an online softmax. query: [group, dim], scaled; key, value: [keys, dim], as stored."""
    group, dim = query.shape
    keys = key.shape[0]
    for t in range(keys):
        for d in range(dim):
            rows[t, d] = widen(key[t, d])
    for member in range(group):
        for t in range(keys):
            total = np.float32(0)
            for d in range(dim):
                total += query[member, d] * rows[t, d]
            scores[member, t] = total
    for t in range(keys):
        for d in range(dim):
            rows[t, d] = widen(value[t, d])
    for member in range(group):
        peak = top[member]
        for t in range(keys):
            peak = max(peak, scores[member, t])
        fix = exp(top[member] - peak)
        top[member] = peak
        total = np.float32(0)
        for t in range(keys):
            scores[member, t] = exp(scores[member, t] - peak)
            total += scores[member, t]
        mass[member] = mass[member] * fix + total
        for d in range(dim):
            acc[member, d] *= fix
        for t in range(keys):
            weight = scores[member, t]
            for d in range(dim):
                acc[member, d] += weight * rows[t, d]


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def plain(run: Any, layer: int, head: int, begin: Any, keys: Any, wide_key: Any, wide_value: Any) -> None:
    """Keys and values of a unit that lie as int8, as float32. run: its row of the table; wide_key: [UNIT, dim]."""
    dim = wide_key.shape[1]
    address = run[ADDRESS] + layer * run[LAYER] + head * run[HEAD] + np.int64(begin) * dim
    steps = run[STEPS] + np.int64(4) * (
        layer * run[STEPS_LAYER] + head * run[STEPS_HEAD] + np.int64(begin) // run[GROUP] * 2 * dim
    )
    for half in range(2):
        codes = carray(pointer(address + half * run[VALUES]), (keys, dim), np.int8)
        step = carray(pointer(steps + np.int64(4) * half * run[STEPS_HALF]), (2, dim), np.float32)
        wide = wide_value if half else wide_key
        for t in range(keys):
            for d in range(dim):
                wide[t, d] = np.float32(codes[t, d]) * step[0, d] + step[1, d]


@njit(parallel=True, fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def attend(
    layer: int, runs: Any, queries: Any, like: Any, units: Any, counts: Any, lists: Any, top: Any, mass: Any, acc: Any,
    watched: Any, peaks: Any, sums: Any,
) -> None:  # fmt: skip
    """Partial results of every head, a piece each. top, mass: [pieces, kv_heads, group]; acc: [..., dim].

    units: [lists, most, 3], of which head h takes list lists[h] with counts[lists[h]]; watched: [heads], or empty; of
    those heads each unit's largest logit goes into peaks [heads, most], sums of exponentials relative to it, LOOK keys
    each, into sums [heads, most, UNIT / LOOK].
    """
    pieces, heads, group, dim = acc.shape
    for index in prange(pieces * heads):
        head, piece = index % heads, index // heads
        mine = lists[head]
        first, last = piece * counts[mine] // pieces, (piece + 1) * counts[mine] // pieces
        scores = np.empty((group, UNIT), np.float32)
        rows = np.empty((UNIT, dim), np.float32)
        wide_key, wide_value = np.empty((UNIT, dim), np.float32), np.empty((UNIT, dim), np.float32)
        top[piece, head] = np.float32(-1e30)
        mass[piece, head] = np.float32(0)
        acc[piece, head] = np.float32(0)
        size = like.itemsize
        for number in range(first, last):
            run, begin, keys = units[mine, number, 0], units[mine, number, 1], units[mine, number, 2]
            if runs[run, GROUP]:
                plain(runs[run], layer, head, begin, keys, wide_key, wide_value)
                attend_unit(
                    queries[runs[run, KIND], head], wide_key[:keys], wide_value[:keys], top[piece, head],
                    mass[piece, head], acc[piece, head], scores, rows,
                )  # fmt: skip
            else:
                address = runs[run, ADDRESS] + size * (
                    layer * runs[run, LAYER] + head * runs[run, HEAD] + np.int64(begin) * dim
                )
                key = carray(pointer(address), (keys, dim), like.dtype)
                value = carray(pointer(address + size * runs[run, VALUES]), (keys, dim), like.dtype)
                attend_unit(
                    queries[runs[run, KIND], head], key, value, top[piece, head], mass[piece, head],
                    acc[piece, head], scores, rows,
                )  # fmt: skip
            if watched.shape[0]:
                for member in range(group):
                    query = head * group + member
                    if watched[query] != 0:
                        peaks[query, number] = top[piece, head, member]
                        for first_key in range(0, keys, LOOK):
                            total = np.float32(0)
                            for t in range(first_key, min(first_key + LOOK, keys)):
                                total += scores[member, t]
                            sums[query, number, first_key // LOOK] = total


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def look(
    runs: Any, starts: Any, units: Any, counts: Any, lists: Any, top: Any, mass: Any, watched: Any, peaks: Any,
    sums: Any, gaze: Any,
) -> None:  # fmt: skip
    """Add the attention mass of the heads watched to gaze [blocks], normalized by their log-sum-exp."""
    pieces, heads, group = top.shape
    for query in range(heads * group):
        if watched[query] == 0:
            continue
        head, member = query // group, query % group
        peak = top[:, head, member].max()
        total = np.float32(0)
        for piece in range(pieces):
            total += exp(top[piece, head, member] - peak) * mass[piece, head, member]
        factor = watched[query] / total
        mine = lists[head]
        for number in range(counts[mine]):
            weight = factor * exp(peaks[query, number] - peak)
            first = (starts[units[mine, number, 0]] + units[mine, number, 1]) // LOOK
            for part in range(-(-units[mine, number, 2] // LOOK)):
                gaze[first + part] += weight * sums[query, number, part]


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def merge(top: Any, mass: Any, acc: Any, out: Any) -> None:
    """out: [kv_heads * group * dim]"""
    pieces, heads, group, dim = acc.shape
    for head in range(heads):
        for member in range(group):
            place = (head * group + member) * dim
            peak = top[:, head, member].max()
            total = np.float32(0)
            out[place : place + dim] = np.float32(0)
            for piece in range(pieces):
                weight = exp(top[piece, head, member] - peak)
                total += weight * mass[piece, head, member]
                for d in range(dim):
                    out[place + d] += weight * acc[piece, head, member, d]
            for d in range(dim):
                out[place + d] /= total


@njit(nogil=True, error_model="numpy", cache=True)
def row(
    weights: Any, state: Any, eps: Any, scale: Any, cos: Any, sin: Any, heads: int, kv_heads: int, runs: Any, like: Any,
    places: Any, keys: Any, block: int, sink: int, local: int, pieces: int, watched: Any, starts: Any, gaze: Any,
    logits: Any,
) -> None:  # fmt: skip
    """See ``kernels.decode_row.decode_row``. state: [hidden], changed; keys: [layers, kv_heads] or empty.

    watched: [layers, heads] or [0, heads]; starts: [runs]; gaze: [blocks], added to.
    """
    kinds, dim = cos.shape[0], cos.shape[1] * 2
    group = heads // kv_heads
    last = runs.shape[0] - 1
    most = 1
    for run in range(runs.shape[0]):
        most += runs[run, LENGTH] // min(UNIT, block) + 1
    choosing = keys.shape[0] > 0 and places.shape[0] > 0
    units = np.empty((kv_heads + 1 if choosing else 1, most, 3), np.int32)
    counts = np.zeros(units.shape[0], np.int64)
    lists = np.full(kv_heads, units.shape[0] - 1)
    counts[-1] = whole_units(runs, units[-1])
    scores = np.empty((kv_heads, group, places.shape[0] if choosing else 0), np.float32)
    pieces = max(1, min(pieces, counts[-1] // 2))
    top = np.empty((pieces, kv_heads, group), np.float32)
    mass = np.empty((pieces, kv_heads, group), np.float32)
    acc = np.empty((pieces, kv_heads, group, dim), np.float32)
    watching = watched.shape[0] > 0
    peaks = np.empty((heads, most if watching else 0), np.float32)
    sums = np.empty((heads, most if watching else 0, UNIT // LOOK), np.float32)
    nobody = np.empty(0, np.float32)
    x = np.empty(state.shape[0], np.float32)
    mixed = np.empty((heads + 2 * kv_heads) * dim, np.float32)
    queries = np.empty((kinds, kv_heads, group, dim), np.float32)
    key = np.empty(dim, np.float32)
    mixture = np.empty(heads * dim, np.float32)
    inner = np.empty(weights.down.shape[2], np.float32)
    size = like.itemsize
    for layer in range(weights.qkv.shape[0]):
        normed(state, eps, x)
        product(weights.qkv[layer], weights.qkv_steps[layer], weights.qkv_bias[layer], x, mixed, False)
        for kind in range(kinds):
            for head in range(heads):
                turned(mixed[head * dim : (head + 1) * dim], weights.query_norm[layer], eps, cos[kind], sin[kind],
                       scale, queries[kind, head // group, head % group])  # fmt: skip
        for head in range(kv_heads):
            place = (heads + head) * dim
            turned(mixed[place : place + dim], weights.key_norm[layer], eps, cos[0], sin[0], np.float32(1), key)
            address = runs[last, ADDRESS] + size * (
                layer * runs[last, LAYER] + head * runs[last, HEAD] + (runs[last, LENGTH] - 1) * dim
            )
            stored = carray(pointer(address), (dim,), like.dtype)
            kept = carray(pointer(address + size * runs[last, VALUES]), (dim,), like.dtype)
            for d in range(dim):
                stored[d] = narrow(key[d], like)
                kept[d] = narrow(mixed[place + kv_heads * dim + d], like)
        if choosing:
            score_blocks(layer, runs, queries, like, places, scores)
            choose_all(scores, runs, keys[layer], block, sink, local, units, counts, lists)
        # most layers have no head that tells anything
        looking = watching and watched[layer].any()
        mine = watched[layer] if looking else nobody
        attend(layer, runs, queries, like, units, counts, lists, top, mass, acc, mine, peaks, sums)
        if looking:
            look(runs, starts, units, counts, lists, top, mass, mine, peaks, sums, gaze)
        merge(top, mass, acc, mixture)
        product(weights.out[layer], weights.out_steps[layer], weights.out_bias[layer], mixture, state, True)
        normed(state, eps, x)
        gated(weights.gate_up[layer], weights.gate_up_steps[layer], weights.gate_up_bias[layer], x, inner)
        product(weights.down[layer], weights.down_steps[layer], weights.down_bias[layer], inner, state, True)
    normed(state, eps, x)
    product(weights.head, weights.head_steps, np.empty(0, np.float32), x, logits, False)


def set_threads(threads: int) -> int:
    """Use as many threads, as far as there are; returns how many."""
    threads = max(1, min(threads, int(config.NUMBA_NUM_THREADS)))
    set_num_threads(threads)
    return threads


__all__ = ["COLUMNS", "Packed", "quantize", "row", "set_threads"]
