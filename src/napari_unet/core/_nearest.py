"""Compiled passes of the two-nearest-distinct-labels distance transform.

A pixel's two nearest *distinct* labels are found axis by axis. Along the first axis each column
keeps the squared distances to its two nearest distinct labels and the name of the nearest. Along
every further axis the lines are combined in two steps: the nearest label is the minimum of
``g1(x + k) + k²``; the second is the minimum of the same over ``g1`` where that line's label is
another one, ``g2`` where it is the same. A label that a line dropped has two others at least as
near, so no pair is lost, and the name of the second is never needed.

All arrays are small C-contiguous scratch: see `border_weights` for how an image is cut up. The
kernels are compiled for the types they meet: squared distances are int16 where the reach and
unit spacing allow it, as twice the lanes fit a register, else float32 (exact integers for unit
spacing) or float64. Sums are cast back at once, since numba widens integers. Loops are short and
touch few arrays, so that the compiler can prove that none overlaps another, and vectorise.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

BLOCK = 128
"""Pixels of a row that are searched together; they stop together."""
STRIDE = 4
"""Offsets per sweep of a block; squared offsets and halos are padded by as much."""
FAR = {np.int16: 127, np.float32: 1e8, np.float64: 1e8}
"""Distance of a label that is not there; its square plus that of an offset still fits the type."""

_jit = nb.njit(cache=True, nogil=True, error_model="numpy")
# There are no NaNs; saying so lets a running maximum of floats be vectorised.
_jit_search = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})


@_jit
def _carry(line, here, label, first, second):
    """Take one more row into the labels last seen per column and where they were."""
    for x in range(line.size):
        v, was, f, s = line[x], label[x], first[x], second[x]
        second[x] = f if (v > 0) & (v != was) else s
        first[x] = here if v > 0 else f
        label[x] = v if v > 0 else was


@_jit
def _copy(source, target):
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
            _copy(first, g1[y - top])
            _copy(label, l1[y - top])
            _copy(second, g2[y - top])
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
def search_nearest(g1, l1, start, stride, last, square, count, d1, label):
    """Lower `d1` and its `label` by the lines at offsets ±1 … ±`last` of `count` pixels.

    Pixel ``i`` sits at ``start + i`` of the flat `g1`, `l1`; line ``k`` at ``k·stride`` from it.
    `square` holds the squared distance of each offset. Ends once no offset can improve any pixel.
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
            d, v = d1[i], label[i]
            c, n = kind(g1[a0 + i] + s0), l1[a0 + i]
            v = n if c < d else v
            d = c if c < d else d
            c, n = kind(g1[b0 + i] + s0), l1[b0 + i]
            v = n if c < d else v
            d = c if c < d else d
            c, n = kind(g1[a1 + i] + s1), l1[a1 + i]
            v = n if c < d else v
            d = c if c < d else d
            c, n = kind(g1[b1 + i] + s1), l1[b1 + i]
            v = n if c < d else v
            d = c if c < d else d
            c, n = kind(g1[a2 + i] + s2), l1[a2 + i]
            v = n if c < d else v
            d = c if c < d else d
            c, n = kind(g1[b2 + i] + s2), l1[b2 + i]
            v = n if c < d else v
            d = c if c < d else d
            c, n = kind(g1[a3 + i] + s3), l1[a3 + i]
            v = n if c < d else v
            d = c if c < d else d
            c, n = kind(g1[b3 + i] + s3), l1[b3 + i]
            v = n if c < d else v
            d = c if c < d else d
            d1[i] = d
            label[i] = v
            worst = d if d > worst else worst
        if worst <= beyond:
            break
        k += np.uint64(STRIDE)


@_jit_search
def search_second(g1, l1, g2, start, stride, last, square, count, label, d2):
    """Lower `d2` by what is nearest in the lines at ±1 … ±`last` and not of `label`."""
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
    limits = np.empty(BLOCK, kind)
    for y in range(rows):
        for x in range(0, width, BLOCK):
            count = min(BLOCK, width - x)
            start = (top + y) * width + x
            o1, ol, o2 = h1[y, x : x + count], hl[y, x : x + count], h2[y, x : x + count]
            _copy(f1[start : start + count], o1)
            _copy(fl[start : start + count], ol)
            search_nearest(f1, fl, start, width, last, square, count, o1, ol)
            limit = limits[:count]
            for i in range(count):
                # 0 ends the search where no label is within reach.
                limit[i] = none if o1[i] < reach else kind(0)
            _start_second(f1, fl, f2, start, ol, limit, o2)
            search_second(f1, fl, f2, start, width, last, square, count, ol, o2)
            for i in range(count):
                d, e = o1[i], o2[i]
                o2[i] = e if (d < reach) & (e < reach) else none
            for i in range(count):
                d = o1[i]
                o1[i] = d if d < reach else none


@_jit
def _start_second(f1, fl, f2, start, label, limit, d2):
    """What the pixel's own line says of the second label, not above `limit`."""
    base = np.uint64(start)
    for i in range(np.uint64(d2.size)):
        near, far, n, most = f1[base + i], f2[base + i], fl[base + i], limit[i]
        d = far if n == label[i] else near
        d2[i] = d if d < most else most


@_jit
def mark_body(flat, start, count, neighbours, body):
    """Set `body` to 1 on foreground pixels that no pixel at `neighbours` says to cut, else 0.

    A pixel is cut where a neighbour (an offset into `flat`) is of another instance. Returns how
    many are 1.
    """
    base = np.uint64(start)
    total = 0
    for i in range(np.uint64(count)):
        body[i] = 1 if flat[base + i] > 0 else 0
    for i in range(np.uint64(count)):
        total += body[i]
    if total == 0:
        return total
    for n in range(neighbours.size):
        other = np.uint64(start + neighbours[n])
        for i in range(np.uint64(count)):
            v, was, kept = flat[other + i], flat[base + i], body[i]
            body[i] = 0 if (v > 0) & (v != was) else kept
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
    d1s, d2s, limits = np.empty(BLOCK, kind), np.empty(BLOCK, kind), np.empty(BLOCK, kind)
    for y in range(rows):
        for x in range(0, width, BLOCK):
            count = min(BLOCK, width - x)
            body, label, value = bodies[:count], labels[:count], values[:count]
            d1, d2, limit = d1s[:count], d2s[:count], limits[:count]
            filled = mark_body(tile, tile_start + y * tile_pitch + x, count, neighbours, body)
            start = y * pitch + left + x
            base = np.uint64(start)
            total += filled
            value[:] = 0.0
            if filled < count or not outside:
                for i in range(np.uint64(count)):
                    near = f1[base + i]
                    d1[i] = kind(0) if (body[i] > 0) & outside else near
                _copy(fl[start : start + count], label)
                search_nearest(f1, fl, start, 1, last1, square, count, d1, label)
                if _limit(body, outside, half * half, reach0, bump, d1, limit):
                    _start_second(f1, fl, f2, start, label, limit, d2)
                    search_second(f1, fl, f2, start, 1, last2, square, count, label, d2)
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


@_jit
def measure_rows(g1, l1, g2, left, last, square, o1, o2):
    """The last axis of the plain distances: squared d1 and d2 (float, (rows, width))."""
    rows, width = o1.shape
    pitch = g1.shape[1]
    f1, fl, f2 = g1.reshape(g1.size), l1.reshape(l1.size), g2.reshape(g2.size)
    label = np.empty(BLOCK, l1.dtype)
    limit = np.full(BLOCK, np.inf)
    for y in range(rows):
        for x in range(0, width, BLOCK):
            count = min(BLOCK, width - x)
            start = y * pitch + left + x
            d1, d2 = o1[y, x : x + count], o2[y, x : x + count]
            _copy(f1[start : start + count], d1)
            _copy(fl[start : start + count], label[:count])
            search_nearest(f1, fl, start, 1, last, square, count, d1, label)
            _start_second(f1, fl, f2, start, label, limit[:count], d2)
            search_second(f1, fl, f2, start, 1, last, square, count, label, d2)


@_jit
def compact(labels, most, window):
    """Rename the labels > 0 of `labels` (n, m) to 1, 2 … in `window`; False once past `most`.

    A hash table with linear probing, asked only where a run of one label begins.
    """
    size = 1024
    while size < 2 * min(most + 1, labels.size):
        size *= 2
    keys = np.zeros(size, np.int64)
    names = np.zeros(size, np.int64)
    found = 0
    last, name = np.int64(0), 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            v = np.int64(labels[y, x])
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
            window[y, x] = name
    return True
