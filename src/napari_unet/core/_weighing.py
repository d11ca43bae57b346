# mypy: disable-error-code="no-untyped-def"
"""Compiled last pass of the weight map: search along the rows, exponentials, cut ridges.

Written like `_nearest`: small C-contiguous scratch, short loops over few arrays. Numba's cache
knows only the file that a kernel stands in: after a change of `_nearest`, save this one as well.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from napari_unet.core._nearest import BLOCK, STRIDE, copy_row, search_both, search_second

_jit: Any = nb.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def mark_body(flat, start, count, neighbours, body):
    """Set `body` to 1 on foreground pixels that no pixel at `neighbours` says to cut, else 0.

    A pixel is cut where a neighbour (an offset into `flat`; their number is a multiple of 4) is
    of another instance. Returns how many are 1.
    """
    base = np.uint64(start)
    total = 0
    for i in range(np.uint64(count)):
        body[i] = 1 if flat[base + i] > 0 else 0
    for i in range(np.uint64(count)):
        total += body[i]
    if total == 0:
        return total
    for n in range(0, neighbours.size, 4):
        a, b = np.uint64(start + neighbours[n]), np.uint64(start + neighbours[n + 1])
        c, d = np.uint64(start + neighbours[n + 2]), np.uint64(start + neighbours[n + 3])
        for i in range(np.uint64(count)):
            was, kept = flat[base + i], body[i]
            e, f, g, h = flat[a + i], flat[b + i], flat[c + i], flat[d + i]
            cut = ((e > 0) & (e != was)) | ((f > 0) & (f != was))
            cut |= ((g > 0) & (g != was)) | ((h > 0) & (h != was))
            body[i] = 0 if cut else kept
    total = 0
    for i in range(np.uint64(count)):
        total += body[i]
    return total


@_jit
def mark_rows(tile, halos, neighbours, body):
    """`mark_body` for a block (D, H, W) of `tile`; `halos` of it lie around. Returns the count."""
    depth, height, width = body.shape
    flat = tile.reshape(tile.size)
    total = 0
    for z in range(depth):
        for y in range(height):
            start = ((z + halos[0]) * tile.shape[1] + y + halos[1]) * tile.shape[2] + halos[2]
            total += mark_body(flat, start, width, neighbours, body[z, y])
    return total


@_jit
def _decay(t):
    """exp(-t) for 0 <= t < 64 to 1e-8 of itself, from arithmetic that a compiler can vectorise."""
    u = t * (1.0 / 128.0) - 0.25
    e = 1.0 - u * (1.0 / 8.0)
    e = 1.0 - u * (1.0 / 7.0) * e
    e = 1.0 - u * (1.0 / 6.0) * e
    e = 1.0 - u * (1.0 / 5.0) * e
    e = 1.0 - u * (1.0 / 4.0) * e
    e = 1.0 - u * (1.0 / 3.0) * e
    e = 1.0 - u * (1.0 / 2.0) * e
    e = (1.0 - u * e) * 0.7788007830714049
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return e * e


@_jit
def _limit(body, outside, half2, full, bump, d1, limit):
    """Below which squared distance a second label counts: (reach − d1)², 0 where none can."""
    kind = limit.dtype.type
    some = np.int32(0)
    for i in range(limit.size):
        d = d1[i]
        rest = full - math.sqrt(np.float32(d))
        most = kind(rest * rest + bump)
        most = kind(0) if ((body[i] > 0) & outside) | (d > half2) else most
        limit[i] = most
        some = np.int32(some | np.int32(most > 0))
    return some > 0


@_jit
def _add_border(d1, d2, limit, height, factor, line):
    for i in range(line.size):
        a, b = d1[i], d2[i]
        # (d1 + d2)² from the squares, by one root; the rest in float64 for 1e-6 of w0 = 10.
        root = np.float64(math.sqrt(np.float32(a) * np.float32(b)))
        t = _decay((np.float64(a) + np.float64(b) + 2.0 * root) * factor) * height
        v = line[i]
        line[i] = v + t if b < limit[i] else v


@_jit
def _add_rim(d1, body, outside, reach2, height, factor, line):
    for i in range(line.size):
        d = d1[i]
        t = _decay(np.float64(d) * factor) * height
        v = line[i]
        line[i] = v if ((body[i] > 0) & outside) | (d >= reach2) else v + t


@_jit
def weigh_rows(tile, tile_start, tile_pitch, neighbours, g1, l1, g2, left, square, rule, out):
    """Exponential terms of the rows of `out`; returns how many pixels are foreground.

    Parameters
    ----------
    tile : flat int array
        Labels; row ``y`` of `out` starts at ``tile_start + y·tile_pitch``.
    neighbours : (k,) int64 array
        Offsets into `tile` of the neighbours that cut a ridge.
    g1, l1, g2 : (rows, m) arrays
        Lines reduced along all other axes; column `left` belongs to column 0 of `out`.
    square : (n,) array
        Squared distances of the offsets along this axis.
    rule : (8,) float64 array
        w0, 1/(2σ²), reach of the border term, w1, 1/(2σ1²), reach of the rim term, 1 for terms
        inside of cells too, 1 for a minus sign (on 0, too) on what remains foreground.
    out : (rows, width) float32 array
        Overwritten.
    """
    kind = g1.dtype.type
    w0, a0, reach0, w1, a1, reach1 = rule[0], rule[1], rule[2], rule[3], rule[4], rule[5]
    outside, sign = rule[6] == 0, -1.0 if rule[7] > 0 else 1.0
    total = 0
    half = reach0 * 0.5
    widest = max(half, reach1)
    last1 = min(np.searchsorted(square, widest * widest), square.size - STRIDE - 2)
    last2 = min(np.searchsorted(square, reach0 * reach0), square.size - STRIDE - 2)
    # The next whole number up for integer distances.
    bump = 1.0 if kind(0.5) == 0 else 0.0
    rows, width = out.shape
    pitch = g1.shape[1]
    f1, fl, f2 = g1.reshape(g1.size), l1.reshape(l1.size), g2.reshape(g2.size)
    bodies = np.empty(BLOCK, tile.dtype)
    labels = np.empty(BLOCK, l1.dtype)
    values = np.empty(BLOCK, np.float64)
    pair, limits = np.empty(2 * BLOCK, kind), np.empty(BLOCK, kind)
    for y in range(rows):
        for x in range(0, width, BLOCK):
            count = min(BLOCK, width - x)
            body, label, value = bodies[:count], labels[:count], values[:count]
            d1, d2, limit = pair[:count], pair[BLOCK : BLOCK + count], limits[:count]
            filled = mark_body(tile, tile_start + y * tile_pitch + x, count, neighbours, body)
            start = y * pitch + left + x
            base = np.uint64(start)
            total += filled
            value[:] = 0.0
            if filled < count or not outside:
                for i in range(np.uint64(count)):
                    near = f1[base + i]
                    d1[i] = kind(0) if (body[i] > 0) & outside else near
                for i in range(np.uint64(count)):
                    near = f2[base + i]
                    d2[i] = kind(0) if (body[i] > 0) & outside else near
                copy_row(fl[start : start + count], label)
                k = search_both(f1, fl, f2, start, 1, last1, square, count, pair, label)
                if _limit(body, outside, half * half, reach0, bump, d1, limit):
                    for i in range(count):
                        d, most = d2[i], limit[i]
                        d2[i] = d if d < most else most
                    search_second(f1, fl, f2, start, 1, k, last2, square, count, label, d2)
                    _add_border(d1, d2, limit, w0, a0, value)
                if w1 > 0:
                    _add_rim(d1, body, outside, reach1 * reach1, w1, a1, value)
            line = out[y]
            for i in range(np.uint64(count)):
                line[np.uint64(x) + i] = value[i] * (sign if body[i] > 0 else 1.0)
    return total


@_jit
def add_class_weights(values, background, cell):
    """Finish what `weigh_rows` signed: ``|v|`` plus the weight that the sign stands for."""
    for i in range(values.size):
        v = values[i]
        weight = cell if np.copysign(np.float32(1), v) < 0 else background
        values[i] = np.float32(abs(v) + weight)
