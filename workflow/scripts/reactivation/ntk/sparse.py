"""Products with cotangents that are mostly zero, compiled by numba (CPU).

Where ReLU and pooling follow a convolution, its cotangent is zero at 75–90 % of the positions. They are the same for
every output c: which entries are alive depends only on the image and the channel. So the alive entries are listed once,
with their C values side by side, and each entry scales a row of a dense matrix, C times.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch

PAD = 8  # lists are padded with zeros to a multiple of this, the number of dense rows that one pass adds
COLUMNS = 512  # columns of the dense matrix at a time, so that the sums stay in the first-level cache
OUTPUTS = 16  # outputs at a time, for the same reason


def compiled(function: Callable) -> Callable:
    """Compile `function` once for all processes that find the cache; if no folder is writable, once in each."""
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator" not in str(error):
            raise
        return numba.njit(**options)(function)


@dataclass
class Lists:
    """Alive entries of the cotangents of n samples, `rows` rows each; those of row r are ptr[r] … ptr[r + 1].

    ptr (n · rows + 1,) int64; index (entries,) int32, the column of an entry; value (entries, C).
    """

    rows: int
    ptr: np.ndarray
    index: np.ndarray
    value: np.ndarray


def lists(values: torch.Tensor, alive: torch.Tensor, position: torch.Tensor, length: int, by: str) -> Lists:
    """The alive entries of a cotangent: values (n, C, Q, O), alive (n, Q, O), position (n, Q, O) among `length`.

    by="channel": rows (i, o), columns positions. by="position": rows (i, position), columns channels.
    """
    rows = values.shape[3] if by == "channel" else length
    arrays = [t.contiguous().numpy() for t in (alive, position, values)]
    ptr = np.zeros(len(values) * rows + 1, dtype=np.int64)
    _count(*arrays[:2], by == "channel", rows, ptr)
    index = np.zeros(ptr[-1], dtype=np.int32)
    value = np.zeros((ptr[-1], values.shape[1]), dtype=arrays[2].dtype)
    _fill(*arrays, by == "channel", rows, ptr[:-1].copy(), index, value)
    return Lists(rows, ptr, index, value)


def multiply(entries: Lists, dense: torch.Tensor, target: torch.Tensor, out: torch.Tensor) -> None:
    """out[i, c, target[r]] += Σ over the entries of row (i, r) of value[c] · dense[i, index].

    dense (n or 1, columns, K); target (rows,) int64, where −1 leaves the row out; out (n, C, T, K).
    """
    arrays = [t.numpy() for t in (dense, target, out)]
    _in_threads(lambda part: _multiply(part, entries.ptr, entries.index, entries.value, *arrays), len(out))


def pairs(entries: Lists, i: int, first: int, gram: torch.Tensor, trace, total, full) -> None:
    """Add Θ[i, first + j] = Σ_o Σ_{a in (i, o), b in (first + j, o)} gram[j, l_a, l_b] g_a g_bᵀ (C, C), contracted.

    gram (J, L, L). The sums are float64: trace (J,) gets Σ_c Θ_cc, total (J,) gets Σ_cd Θ_cd, and full (J, C, C) gets Θ
    unless it is empty.
    """
    arrays = (entries.rows, entries.ptr, entries.index, entries.value, gram.numpy(), trace, total, full)
    _in_threads(lambda part: _pairs(part, i, first, *arrays), len(gram))


def _in_threads(work: Callable[[np.ndarray], None], count: int) -> None:
    """Call work on parts of 0 … count, on as many threads as torch uses."""
    parts = np.array_split(np.arange(count), min(torch.get_num_threads(), count))
    if len(parts) == 1:
        work(parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(work, parts))


@compiled
def _count(alive, position, by_channel, rows, ptr):
    samples, entries, channels = alive.shape
    for i in range(samples):
        for q in range(entries):
            for o in range(channels):
                if alive[i, q, o]:
                    ptr[i * rows + (o if by_channel else position[i, q, o]) + 1] += 1
    for r in range(samples * rows):
        ptr[r + 1] = ptr[r] + (ptr[r + 1] + PAD - 1) // PAD * PAD


@compiled
def _fill(alive, position, values, by_channel, rows, free, index, value):
    samples, classes, entries, channels = values.shape
    for i in range(samples):
        for q in range(entries):
            for o in range(channels):
                if alive[i, q, o]:
                    row = i * rows + (o if by_channel else position[i, q, o])
                    t = free[row]
                    free[row] += 1
                    index[t] = position[i, q, o] if by_channel else o
                    for c in range(classes):
                        value[t, c] = values[i, c, q, o]


@compiled
def _add_rows(begin, end, index, value, dense, columns, target, out):
    """out[c, target, k] += Σ_t value[t, c] dense[index[t], k] for t in begin … end and k in columns = (first, last)."""
    first, last = columns
    for c0 in range(0, len(out), OUTPUTS):
        for t in range(begin, end, PAD):
            d0, d1 = dense[index[t], first:last], dense[index[t + 1], first:last]
            d2, d3 = dense[index[t + 2], first:last], dense[index[t + 3], first:last]
            d4, d5 = dense[index[t + 4], first:last], dense[index[t + 5], first:last]
            d6, d7 = dense[index[t + 6], first:last], dense[index[t + 7], first:last]
            for c in range(c0, min(c0 + OUTPUTS, len(out))):
                v0, v1, v2, v3 = value[t, c], value[t + 1, c], value[t + 2, c], value[t + 3, c]
                v4, v5, v6, v7 = value[t + 4, c], value[t + 5, c], value[t + 6, c], value[t + 7, c]
                row = out[c, target, first:last]
                for k in range(last - first):
                    row[k] += (v0 * d0[k] + v1 * d1[k] + v2 * d2[k] + v3 * d3[k]) + (
                        v4 * d4[k] + v5 * d5[k] + v6 * d6[k] + v7 * d7[k]
                    )


@compiled
def _multiply(samples, ptr, index, value, dense, target, out):
    rows, width = len(target), out.shape[3]
    for i in samples:
        for k in range(0, width, COLUMNS):
            columns = k, min(k + COLUMNS, width)
            for r in range(rows):
                if target[r] >= 0:
                    begin, end = ptr[i * rows + r], ptr[i * rows + r + 1]
                    _add_rows(begin, end, index, value, dense[i % len(dense)], columns, target[r], out[i])


@compiled
def _pairs(js, i, first, rows, ptr, index, value, gram, trace, total, full):
    classes, length = value.shape[1], gram.shape[2]
    product = np.empty((classes, 1, length), dtype=value.dtype)
    for j in js:
        for o in range(rows):
            a, b = i * rows + o, (first + j) * rows + o
            if ptr[a] == ptr[a + 1] or ptr[b] == ptr[b + 1]:
                continue
            product[:] = 0
            _add_rows(ptr[a], ptr[a + 1], index, value, gram[j], (0, length), 0, product)
            for t in range(ptr[b], ptr[b + 1]):
                same = left = right = 0.0
                for c in range(classes):
                    same += product[c, 0, index[t]] * value[t, c]
                    left += product[c, 0, index[t]]
                    right += value[t, c]
                trace[j] += same
                total[j] += left * right
                if len(full):
                    for c in range(classes):
                        for d in range(classes):
                            full[j, c, d] += product[c, 0, index[t]] * value[t, d]
