# mypy: disable-error-code="no-untyped-def"
"""Compiled passes of the two-nearest-distinct-labels distance transform.

A pixel's two nearest *distinct* labels are found axis by axis. Along the first axis each column
keeps the squared distances to its two nearest distinct labels and the name of the nearest. Along
every further axis the lines ``x + k`` are combined, nearest ``k`` first: d1² is the minimum of
``g1(x + k) + k²``; d2² is the minimum of the same over ``g1`` where that line's label is another
one, ``g2`` where it is the same. A label that a line dropped has two others at least as
near, so no pair is lost, and the name of the second is never needed.

All arrays are small C-contiguous scratch: see `border_weights` for how an image is cut up. The
kernels are compiled for the types they meet: squared distances are int16 where the reach and
unit spacing allow it, as twice the lanes fit a register, else float32 (exact integers for unit
spacing) or float64. Sums are cast back at once, since numba widens integers. Loops are short and
touch few arrays, so that the compiler can prove that none overlaps another, and vectorise.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

BLOCK = 128
"""Pixels of a row that are searched together; they stop together."""
STRIDE = 4
"""Offsets per sweep of a block; squared offsets and halos are padded by as much."""
FAR = {np.int16: 127, np.float32: 1e8, np.float64: 1e8}
"""Distance of a label that is not there; its square plus that of an offset still fits the type."""

_jit: Any = nb.njit(cache=True, nogil=True, error_model="numpy")
# There are no NaNs; saying so lets a running maximum of floats be vectorised.
_jit_search: Any = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})


@_jit
def _carry(line, here, label, first, second):
    """Take one more row into the labels last seen per column and where they were."""
    for x in range(line.size):
        v, was, f, s = line[x], label[x], first[x], second[x]
        second[x] = f if (v > 0) & (v != was) else s
        first[x] = here if v > 0 else f
        label[x] = v if v > 0 else was


@_jit
def copy_row(source, target):
    for x in range(target.size):
        target[x] = source[x]


@_jit
def _merge(here, far, label, first, second, o1, ol, o2):
    """Join what was seen above (in `o1`, `ol`, `o2`, as positions) with what was seen below."""
    kind = o1.dtype.type
    for x in range(o1.size):
        a1, a2, la = kind(here - o1[x]), kind(here - o2[x]), ol[x]
        b1, b2, lb = kind(first[x] - here), kind(second[x] - here), label[x]
        same, above = la == lb, a1 <= b1
        p = a2 if above | same else a1
        q = b1 if above & (not same) else b2
        d = p if p < q else q
        d = d if d < far else far
        o2[x] = kind(d * d)
    for x in range(o1.size):
        a1, la = kind(here - o1[x]), ol[x]
        b1, lb = kind(first[x] - here), label[x]
        above = a1 <= b1
        d = a1 if above else b1
        d = d if d < far else far
        ol[x] = la if above else lb
        o1[x] = kind(d * d)


@_jit
def scan_first_axis(tile, top, step, far, g1, l1, g2):
    """Two nearest distinct labels along axis 0 of `tile`, for rows ``top … top + len(g1)``.

    Parameters
    ----------
    tile : (n, m) int array
        Labels; values <= 0 are background.
    top : int
        First row of the tile that is wanted; those before and after are its surroundings.
    step : float
        Distance between two rows.
    far : float
        Larger distances come out as this one.
    g1, l1, g2 : (rows, m) arrays of the types of distance, labels, distance
        Filled with the nearest squared distance, its label (0: none) and the second's.
    """
    kind = g1.dtype.type
    most = kind(far)
    # Beyond every row by more than `far`, on either side.
    before, after = kind(-far - 1), kind((tile.shape[0] - 1) * step + far + 1)
    rows, width = g1.shape
    label = np.zeros(width, tile.dtype)
    first = np.full(width, before)
    second = np.full(width, before)
    for y in range(top + rows):
        _carry(tile[y], kind(y * step), label, first, second)
        if y >= top:
            copy_row(first, g1[y - top])
            copy_row(label, l1[y - top])
            copy_row(second, g2[y - top])
    label[:] = 0
    first[:] = after
    second[:] = after
    for y in range(tile.shape[0] - 1, top - 1, -1):
        here = kind(y * step)
        _carry(tile[y], here, label, first, second)
        z = y - top
        if z < rows:
            _merge(here, most, label, first, second, g1[z], l1[z], g2[z])


@_jit_search
def search_both(g1, l1, g2, start, stride, last, square, count, pair, label):
    """Lower d1, with its `label`, and d2 by the lines at offsets ±1 … ±`last` of `count` pixels.

    Pixel ``i`` sits at ``start + i`` of the flat `g1`, `l1`, `g2`; line ``k`` at ``k·stride`` from
    it. `square` holds the squared distance of each offset. d1 is ``pair[i]``, d2 is
    ``pair[BLOCK + i]``. Ends once no offset can improve any pixel.

    A line's second may be of the pixel's own label; then its first is a nearer one for d2, so
    that taking it in does no harm.
    """
    kind = g1.dtype.type
    base, pitch = np.uint64(start), np.uint64(stride)
    k = np.uint64(1)
    while k <= np.uint64(last):
        worst = kind(0)
        k1, k2, k3 = k + np.uint64(1), k + np.uint64(2), k + np.uint64(3)
        s0, s1, s2, s3 = square[k], square[k1], square[k2], square[k3]
        beyond = square[k3 + np.uint64(1)]
        a0, b0 = base - k * pitch, base + k * pitch
        a1, b1 = base - k1 * pitch, base + k1 * pitch
        a2, b2 = base - k2 * pitch, base + k2 * pitch
        a3, b3 = base - k3 * pitch, base + k3 * pitch
        for i in range(np.uint64(count)):
            d, v, f = pair[i], label[i], pair[np.uint64(BLOCK) + i]
            c, n, e = kind(g1[a0 + i] + s0), l1[a0 + i], kind(g2[a0 + i] + s0)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            c, n, e = kind(g1[b0 + i] + s0), l1[b0 + i], kind(g2[b0 + i] + s0)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            c, n, e = kind(g1[a1 + i] + s1), l1[a1 + i], kind(g2[a1 + i] + s1)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            c, n, e = kind(g1[b1 + i] + s1), l1[b1 + i], kind(g2[b1 + i] + s1)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            c, n, e = kind(g1[a2 + i] + s2), l1[a2 + i], kind(g2[a2 + i] + s2)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            c, n, e = kind(g1[b2 + i] + s2), l1[b2 + i], kind(g2[b2 + i] + s2)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            c, n, e = kind(g1[a3 + i] + s3), l1[a3 + i], kind(g2[a3 + i] + s3)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            c, n, e = kind(g1[b3 + i] + s3), l1[b3 + i], kind(g2[b3 + i] + s3)
            loser = c if c > d else d
            e = loser if (n != v) & (loser < e) else e
            f = e if e < f else f
            v = n if c < d else v
            d = c if c < d else d
            pair[i] = d
            label[i] = v
            pair[np.uint64(BLOCK) + i] = f
            worst = f if f > worst else worst
        if worst <= beyond:
            break
        k += np.uint64(STRIDE)
    return np.int64(k)


@_jit_search
def search_second(g1, l1, g2, start, stride, first, last, square, count, label, d2):
    """Lower `d2` by what is nearest in the lines at ±`first` … ±`last` and not of `label`."""
    kind = g1.dtype.type
    base, pitch = np.uint64(start), np.uint64(stride)
    k = np.uint64(first)
    while k <= np.uint64(last):
        worst = kind(0)
        k1, k2, k3 = k + np.uint64(1), k + np.uint64(2), k + np.uint64(3)
        s0, s1, s2, s3 = square[k], square[k1], square[k2], square[k3]
        beyond = square[k3 + np.uint64(1)]
        a0, b0 = base - k * pitch, base + k * pitch
        a1, b1 = base - k1 * pitch, base + k1 * pitch
        a2, b2 = base - k2 * pitch, base + k2 * pitch
        a3, b3 = base - k3 * pitch, base + k3 * pitch
        for i in range(np.uint64(count)):
            d, v = d2[i], label[i]
            near, far, n = g1[a0 + i], g2[a0 + i], l1[a0 + i]
            c = kind((far if n == v else near) + s0)
            d = c if c < d else d
            near, far, n = g1[b0 + i], g2[b0 + i], l1[b0 + i]
            c = kind((far if n == v else near) + s0)
            d = c if c < d else d
            near, far, n = g1[a1 + i], g2[a1 + i], l1[a1 + i]
            c = kind((far if n == v else near) + s1)
            d = c if c < d else d
            near, far, n = g1[b1 + i], g2[b1 + i], l1[b1 + i]
            c = kind((far if n == v else near) + s1)
            d = c if c < d else d
            near, far, n = g1[a2 + i], g2[a2 + i], l1[a2 + i]
            c = kind((far if n == v else near) + s2)
            d = c if c < d else d
            near, far, n = g1[b2 + i], g2[b2 + i], l1[b2 + i]
            c = kind((far if n == v else near) + s2)
            d = c if c < d else d
            near, far, n = g1[a3 + i], g2[a3 + i], l1[a3 + i]
            c = kind((far if n == v else near) + s3)
            d = c if c < d else d
            near, far, n = g1[b3 + i], g2[b3 + i], l1[b3 + i]
            c = kind((far if n == v else near) + s3)
            d = c if c < d else d
            d2[i] = d
            worst = d if d > worst else worst
        if worst <= beyond:
            break
        k += np.uint64(STRIDE)


@_jit
def combine_rows(g1, l1, g2, top, last, square, reach, far, h1, hl, h2):
    """Two nearest distinct labels along axis 0 of lines already reduced along another axis.

    `g1`, `l1`, `g2` are (n, m); `h1`, `hl`, `h2` are (rows, m) for ``top … top + rows``. Used for
    the middle axis of a volume. Squared distances from `reach` on come out as ``far²``.
    """
    kind = h1.dtype.type
    rows, width = h1.shape
    f1, fl, f2 = g1.reshape(g1.size), l1.reshape(l1.size), g2.reshape(g2.size)
    none = kind(far * far)
    pair = np.empty(2 * BLOCK, kind)
    for y in range(rows):
        for x in range(0, width, BLOCK):
            count = min(BLOCK, width - x)
            start = (top + y) * width + x
            copy_row(f1[start : start + count], pair[:count])
            copy_row(f2[start : start + count], pair[BLOCK : BLOCK + count])
            label = hl[y, x : x + count]
            copy_row(fl[start : start + count], label)
            search_both(f1, fl, f2, start, width, last, square, count, pair, label)
            o1, o2 = h1[y, x : x + count], h2[y, x : x + count]
            for i in range(count):
                d = pair[i]
                o1[i] = d if d < reach else none
            for i in range(count):
                d = pair[BLOCK + i]
                o2[i] = d if d < reach else none


@_jit
def measure_rows(g1, l1, g2, left, last, square, o1, o2):
    """The last axis of the plain distances: squared d1 and d2 (float, (rows, width))."""
    rows, width = o1.shape
    pitch = g1.shape[1]
    f1, fl, f2 = g1.reshape(g1.size), l1.reshape(l1.size), g2.reshape(g2.size)
    label = np.empty(BLOCK, l1.dtype)
    pair = np.empty(2 * BLOCK, g1.dtype)
    for y in range(rows):
        for x in range(0, width, BLOCK):
            count = min(BLOCK, width - x)
            start = y * pitch + left + x
            d1, d2 = pair[:count], pair[BLOCK : BLOCK + count]
            copy_row(f1[start : start + count], d1)
            copy_row(f2[start : start + count], d2)
            copy_row(fl[start : start + count], label[:count])
            search_both(f1, fl, f2, start, 1, last, square, count, pair, label)
            copy_row(d1, o1[y, x : x + count])
            copy_row(d2, o2[y, x : x + count])


@_jit
def rename_labels(labels, most, renamed):
    """Rename the labels > 0 of `labels` (D, H, W) to 1, 2 … in `renamed`; False once past `most`.

    A hash table with linear probing, asked only where a run of one label begins.
    """
    size = 1024
    while size < 2 * min(most + 1, labels.size):
        size *= 2
    keys = np.zeros(size, np.int64)
    names = np.zeros(size, np.int64)
    found = 0
    last, name = np.int64(0), 0
    for z, y, x in np.ndindex(labels.shape):
        v = np.int64(labels[z, y, x])
        if v != last:
            last, name = v, 0
            if v > 0:
                slot = (v * 0x9E3779B1 >> 7) & (size - 1)
                while keys[slot] != 0 and keys[slot] != v:
                    slot = (slot + 1) & (size - 1)
                if keys[slot] == 0:
                    found += 1
                    if found > most:
                        return False
                    keys[slot], names[slot] = v, found
                name = names[slot]
        renamed[z, y, x] = name
    return True
