"""The sections of a tensor in a file of version 1: which elements are kept, codes, values, codebooks, scales."""
import numpy as np

from .coder import Bytes, Predictor, check, path


def h(x):
    return 0 if x < 2 else 2 * (x.bit_length() - 1) + (x >> (x.bit_length() - 2) & 1)


def density(ones, seen, least):
    return max(0, h((2 * ones + 1) * 65536 // (2 * seen + 2)) - (33 - least))


def mask(decoder, rows, cols, p, flat, inverted):
    m = np.zeros((rows, cols), int)
    if flat:
        m[:] = [[decoder.raw(1) for _ in range(cols)] for _ in range(rows)]
        return m != inverted
    predictor = Predictor([cols if rows > 1 else 1, rows, 128, 1024, 512], 11)
    ones = [0] * cols
    grid = m.tolist()
    for r in range(rows):
        def at(up, d, c):
            return grid[r - up][c + d] if r >= up and 0 <= c + d < cols and (up > 0 or d < 0) else 0
        for c in range(cols):
            total = lambda d: ones[c + d] if 0 <= c + d < cols else 0
            near = lambda up, d: at(up, d, c)
            if p >= 2:
                third = (near(0, -1) + 2 * near(0, -2) + 4 * near(0, -p) + 8 * near(0, -p - 1) + 16 * near(0, 1 - p)
                         + 32 * near(0, -2 * p) + 64 * near(1, 0))
                a = near(0, -p)
                active = sum(near(0, -t) + near(0, t - 4 - p) + near(0, t - 4 - 2 * p) for t in range(1, 9))
                s, v = 2 * total(0) + total(-1) + total(1) + total(-p) + total(p), 6 * r + 2
            else:
                third = (near(0, -1) + 2 * near(0, -2) + 4 * near(1, 0) + 8 * near(1, -1) + 16 * near(1, 1)
                         + 32 * near(2, 0))
                a = near(1, 0)
                active = sum(near(0, -t) for t in range(1, 9))
                s, v = 2 * total(0) + total(-1) + total(1), 4 * r + 1
            contexts = [c, r, third,
                        64 * density(total(-1), r + 1, 14) + 4 * density(total(1), r, 14) + 2 * near(0, -1) + a,
                        32 * min(15, active) + density(s, v, 20)]
            grid[r][c] = predictor.code(decoder, contexts, min(r.bit_length(), 10))
            ones[c] += grid[r][c]
    return np.array(grid, int).reshape(rows, cols) != inverted


def codes(decoder, kept, p, k, flat):
    rows, cols = kept.shape
    bits = max(1, (k - 1).bit_length())
    if flat:
        return [decoder.raw(bits) for _ in range(int(kept.sum()))]
    z = 1 << bits
    predictor = Predictor([z, z * z, 512 * z, 256 * z, 256 * z, 2048 * z], 8)
    columns = kept.sum(0).tolist()
    m = [[0] * cols for _ in range(rows)]
    mean, out = [128] * cols, []
    for r in range(rows):
        row, recent, previous = int(kept[r].sum()), 128, k // 2
        for c in np.flatnonzero(kept[r]).tolist():
            col = lambda d: columns[c + d] if 0 <= c + d < cols else 0
            at = lambda up, d: m[r - up][c + d] if r >= up and 0 <= c + d < cols and (up > 0 or d < 0) else 0
            w = 2 * col(0) + col(-1) + col(1)
            if p >= 2:
                w = 2 * (w + col(-p) + col(p)) // 3
                f, e = at(0, -1) + 3 * at(0, -p) + 9 * at(0, -p - 1) + 27 * at(0, 1 - p), at(1, 0)
            else:
                f, e = at(0, -1) + 3 * at(1, 0) + 9 * at(1, -1) + 27 * at(1, 1), at(0, -2)
            a = [0, previous, 16 * min(31, h(w + 1)) + min(15, h(row + 1)), 16 * (mean[c] // 16) + recent // 16,
                 f + 81 * e, 81 * min(15, h(col(0) + 1)) + f]
            code = path(k, lambda node, depth, _: predictor.code(decoder, [v * z + node for v in a], min(depth, 7)))
            out.append(code)
            g = min(7, 8 * abs(2 * code + 1 - k) // k)
            mean[c] += 8 * g - mean[c] // 4
            recent += 4 * g - recent // 8
            previous = code
            m[r][c] = 1 if 2 * code < k else 2
    return out


def values(decoder, count, width, flat):
    """Bit patterns of so many numbers of `width` bytes."""
    if flat:
        return [decoder.raw(8 * width) for _ in range(count)]
    model, out, last = Bytes(width), [], 0
    for _ in range(count):
        value = 0
        for j in range(width):
            v = [0, value & 0xff, last >> 8 * (width - 1 - j) & 0xff, value & 0xffff]
            value = value << 8 | model.code(decoder, [4 * u + j for u in v], j)
        out.append(value)
        last = value
    return out


def floats(bits, width):
    return np.array(bits, np.uint32 if width == 4 else np.uint16).view(np.float32 if width == 4 else np.float16).astype(np.float32)


def to_floats(bits, width, brain):
    return (np.array(bits, np.uint32) << np.uint32(16)).view(np.float32) if brain else floats(bits, width)


def codebook(decoder, count, width, form):
    if form < 2:
        return floats(values(decoder, count, width, form == 0), width)
    if form == 3:
        scale = np.uint32(decoder.raw(32)).view(np.float32)
        zero = decoder.raw(8)
        book = np.array([np.float32(i - zero) * scale for i in range(count)], np.float32)
        return book if width == 4 else book.astype(np.float16).astype(np.float32)
    predictor, order, previous, out = Predictor([128, 4096], 1), 0, 0, []
    top = 1 << 8 * width - 1
    for _ in range(count):
        digits = path(34, lambda node, _, bit: predictor.code(decoder, [node, 64 * previous + node], 0))
        size = (1 << digits - 1 | decoder.raw(digits - 1)) if digits else 0
        if digits and predictor.code(decoder, [64, 0], 0):
            size = -size
        previous, order = digits, order + size
        check(-top <= order < top, "a difference leads out of the floats")
        out.append(order if order >= 0 else top | (-1 - order))
    return floats(out, width)


def scaled(worth, scales, shifts, kind):
    """Times scales, less zero points or with offsets, which are added in one rounding."""
    if shifts is None:
        return worth * scales
    if kind == 0:
        return (worth - shifts) * scales
    # The product of two binary32 is exact in binary64. Where the sum isn't, it is made odd in its last place,
    # so that it is rounded once.
    product = worth.astype(np.float64) * scales
    total = product + shifts
    with np.errstate(all="ignore"):
        part = total - product
        error = (product - (total - part)) + (shifts - part)
    bits = total.view(np.int64)
    inexact = (error != 0) & np.isfinite(total) & (bits & 1 == 0)
    up = (error > 0) == (total > 0)
    bits = np.where(inexact, bits + np.where(up, 1, -1), bits)
    return bits.view(np.float64).astype(np.float32)
