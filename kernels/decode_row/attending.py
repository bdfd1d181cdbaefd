"""Attention of one head over a list of units, key by key: on any processor, and on int8 keys."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from kernels.decode_row.primitives import exp, pointer, widen
from kernels.decode_row.table import (
    ADDRESS,
    FAST,
    GROUP,
    HEAD,
    KIND,
    LAYER,
    LOOK,
    STEPS,
    STEPS_HALF,
    STEPS_HEAD,
    STEPS_LAYER,
    VALUES,
)
from kernels.jit import njit


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


@njit(fastmath=FAST, nogil=True, error_model="numpy", cache=True)
def attend(
    layer: int, head: int, piece: int, runs: Any, queries: Any, like: Any, units: Any, first: int, last: int, top: Any,
    mass: Any, acc: Any, watched: Any, peaks: Any, sums: Any, scores: Any, rows: Any, wide_key: Any, wide_value: Any,
) -> None:  # fmt: skip
    """The partial result of a head over units [first, last): top, mass [pieces, kv_heads, group]; acc: [..., dim].

    units: [most, 3]; watched: [heads], or empty; of those heads each unit's largest logit goes into peaks [heads,
    most], sums of exponentials relative to it, LOOK keys each, into sums [heads, most, UNIT / LOOK]; the last four are
    to work in.
    """
    group = acc.shape[2]
    dim = acc.shape[3]
    top[piece, head] = np.float32(-1e30)
    mass[piece, head] = np.float32(0)
    acc[piece, head] = np.float32(0)
    size = like.itemsize
    for number in range(first, last):
        run, begin, keys = units[number, 0], units[number, 1], units[number, 2]
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
