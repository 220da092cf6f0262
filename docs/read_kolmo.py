#!/usr/bin/env python3
"""Reads a .kolmo file, after docs/format.md and nothing else: python3 read_kolmo.py FILE

Needs the standard library and numpy. `read(path)` gives the text about the model and its tensors by name."""
import math, struct, sys, zlib
import numpy as np

LOGISTIC = [22, 36, 60, 98, 162, 267, 439, 724, 1179, 1922, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793,
            47911, 53581, 57724, 60565, 62428, 63614, 64357, 64812, 65097, 65269, 65374, 65438, 65476, 65500, 65514]
SAMPLE = (b'\2\14architecture\200\1{"layers":[{"type":"Linear","in_features":784,"out_features":300,"bias":true},{"type":'
          b'"Relu"},{"type":"Conv2d","in_channels":1,"out_channels":20,"kernel_size":[5,5],"stride":[1,1],"padding":[0,0]}'
          b',{"type":"MaxPool2d"},{"type":"Flatten"}],"dtype":"f32"}\7version\0010\6conv1.weight\0\6conv1.bias\0\13conv2.'
          b'weight\6\4bias\0\12fc1.weight\2\4\4bias\1\2\12fc2.weight\2\4\4bias\1\2\12fc3.weight\2\4\4bias\1')


def squash(x):
    k, f = divmod(min(max(x, -2047), 2047) + 2048, 128)
    return (LOGISTIC[k] * (128 - f) + LOGISTIC[k + 1] * f + 64) >> 7


STRETCH, _x = [], -2047
for _i in range(4096):
    while _x < 2047 and squash(_x) < 16 * _i + 8:
        _x += 1
    STRETCH.append(_x)


class Decoder:
    def __init__(self, data):
        self.data, self.at, self.range, self.code = data, 0, 2**32 - 1, 0
        for _ in range(4):
            self.code = self.code << 8 | self.byte()

    def byte(self):
        self.at += 1
        if self.at > len(self.data) + 7:
            raise ValueError("a stream ends too early")
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def bit(self, p):
        bound = (self.range * p) >> 16
        bit = self.code < bound
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        while self.range < 2**24:
            self.range, self.code = self.range << 8, (self.code << 8 | self.byte()) & 0xffffffff
        return int(bit)

    def raw(self, count):
        value = 0
        for _ in range(count):
            value = value << 1 | self.bit(32768)
        return value

    def end(self):
        if self.at < len(self.data):
            raise ValueError("a stream is longer than what it holds")


class Predictor:
    def __init__(self, sizes, sets):
        self.masks = [(1 << max(size - 1, 0).bit_length()) - 1 for size in sizes]
        self.tables = [{} for _ in sizes]  # context -> [probability, count]
        self.weights = [[65536 // len(sizes)] * len(sizes) for _ in range(sets)]
        self.coded = 0

    def code(self, decoder, contexts, which, known=None):
        """A decision; with `known`, one that is not read but learnt from."""
        counters = [t.setdefault(c & m, [1 << 21, 0]) for t, c, m in zip(self.tables, contexts, self.masks)]
        x = [STRETCH[c[0] >> 10] for c in counters]
        weights = self.weights[which]
        q = squash(sum(w * v for w, v in zip(weights, x)) >> 16)
        bit = decoder.bit(min(max(q, 64), 65472)) if known is None else known
        rate = 14 - 9 * min(self.coded, 4096) // 4096
        self.coded += 1
        error = ((65536 if bit else 0) - q) * rate
        for i, v in enumerate(x):
            weights[i] = min(max(weights[i] + ((v * error + 2**17) >> 18), -2**22), 2**22)
        for c in counters:
            c[0] += (((2**22 - 1 if bit else 0) - c[0]) * (131072 // (2 * c[1] + 3))) >> 16
            c[1] = min(c[1] + 1, 1023)
        return bit


def path(k, decide, known=None):
    """A symbol below k; `decide(node, depth, bit)` codes one of its bits."""
    bits = max(1, (k - 1).bit_length())
    node = 1
    for depth in range(bits):
        left = bits - depth - 1
        so_far = (node - (1 << depth)) << 1 | 1
        bit = 0
        if not (k > 1 and so_far << left >= k):
            bit = decide(node, depth, None if known is None else known >> left & 1)
        node = node << 1 | bit
    symbol = node - (1 << bits)
    if symbol >= k:
        raise ValueError("a symbol is out of range")
    return symbol


class Bytes:
    """The byte model."""

    def __init__(self, sets):
        self.predictor = Predictor([1 << 16] * 4, sets)

    def code(self, decoder, v, which, known=None):
        slot = lambda value, node: ((256 * value + node) % 2**32 * 0x9e3779b1 % 2**32) >> 16
        decide = lambda node, _, bit: self.predictor.code(decoder, [slot(value, node) for value in v], which, bit)
        return path(256, decide, known)


def text(data, count):
    model, decoder, last = Bytes(1), Decoder(data), 0
    out = bytearray()
    for i in range(len(SAMPLE) + count):
        known = SAMPLE[i] if i < len(SAMPLE) else None
        byte = model.code(decoder, [0, last & 0xff, last & 0xffff, last & 0xffffff], 0, known)
        last = last << 8 | byte
        if known is None:
            out.append(byte)
    decoder.end()
    return bytes(out)


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


class Stream:
    """Symbols of a piece: four states that take turns."""

    def __init__(self, data):
        check(len(data) >= 32 and len(data) % 4 == 0, "a stream of a piece has no states")
        self.states = list(struct.unpack("<4Q", data[:32]))
        check(all(2**31 <= state < 2**63 for state in self.states), "a state is out of range")
        self.words, self.turn = struct.iter_unpack("<I", data[32:]), 0

    def slot(self):
        return self.states[self.turn % 4] & 0xffff

    def take(self, start, frequency):
        state = self.states[self.turn % 4]
        state = frequency * (state >> 16) + (state & 0xffff) - start
        if state < 2**31:
            word = next(self.words, None)
            check(word is not None, "a stream ends too early")
            state = state << 32 | word[0]
        self.states[self.turn % 4] = state
        self.turn += 1

    def raw(self, bits):
        value = self.slot() >> (16 - bits)
        self.take(value << (16 - bits), 65536 >> bits)
        return value

    def symbol(self, one, i, other, j, learnt=False):
        (a, m), (b, n) = one.at(i), other.at(j)
        weight = one.all[m][2]
        if learnt:
            starts = [(x * weight[0] >> 16) + (y * (65536 - weight[0]) >> 16) for x, y in zip(a, b)] + [65536]
        else:
            starts = [(x + y + 1) >> 1 for x, y in zip(a, b)] + [65536]
        slot = self.slot()
        symbol = sum(start <= slot for start in starts) - 1
        said = starts[symbol + 1] - starts[symbol]
        if learnt:
            one_said, other_said = ((x + [65536])[symbol + 1] - x[symbol] for x in (a, b))
            more = (abs(one_said - other_said) << 11) // said
            more = min(more, 8192) if one_said > other_said else -min(more, 8192)
            weight[0] = min(max(weight[0] + more, 1024), 64512)
        self.take(starts[symbol], said)
        one.learn(m, symbol)
        other.learn(n, symbol)
        return symbol

    def end(self):
        check(self.states == [2**31] * 4 and next(self.words, None) is None, "a stream doesn't end where it began")


class Contexts:
    def __init__(self, size):
        self.size, self.all = size, {}

    def at(self, i):
        i %= self.size
        return self.all.setdefault(i, ([4096 * k for k in range(16)], [0], [32768]))[0], i

    def learn(self, i, symbol):
        below, seen, _ = self.all[i]
        shift = 1 + ((seen[0] + 1) // 3).bit_length()
        for k in range(1, 16):
            if k <= symbol:
                below[k] -= (below[k] - 8 * k) >> shift
            else:
                below[k] += (65536 - 8 * (16 - k) - below[k]) >> shift
        seen[0] = min(seen[0] + 1, 383)


class Tracker:
    def __init__(self, columns, quick):
        self.mean, self.columns, self.rows, self.seen, self.begun, self.quick = 0, [0] * columns, [0] * 4, 0, False, quick

    def expected(self, column):
        return [self.mean + self.columns[column] + row for row in self.rows]

    def learn(self, row, column, expected, observed):
        error = 64 * observed - expected
        if not self.begun:
            self.begun, self.mean = True, self.mean + error
            return
        self.mean += error >> 9
        self.columns[column] += error >> (4 + (self.seen >= 8) + (self.seen >= 32) + (self.seen >= 128))
        self.rows[row] += error >> self.quick

    def next(self, rows):
        self.rows, self.seen = [0] * 4, self.seen + rows


def piece_mask(data, rows, cols):
    stream, near, dense, fours = Stream(data), Contexts(256), Contexts(64), -(-cols // 4)
    tracker, above, out = Tracker(fours, 7), [0] * fours, []
    for _ in range(rows):
        left = 0
        for i in range(fours):
            expected = tracker.expected(i)[0]
            left = above[i] = stream.symbol(near, 16 * above[i] + left, dense, min(max(expected >> 8, 0), 63))
            out += [left >> k & 1 for k in range(min(4, cols - 4 * i))]
            tracker.learn(0, i, expected, 64 * bin(left).count("1"))
        tracker.next(1)
    stream.end()
    return out


def piece_numbers(data, width, rows, cols, beside=None, kept=None):
    told, places = int.from_bytes(data[:-(-width // 16)], "little"), width // 4
    ways = [told >> 2 * i & 3 for i in range(places)]
    check(ways[0] >= 2 and told >> 2 * places == 0, "four bits are written in no known way")
    steps = []
    for i, way in enumerate(ways):
        if steps and way < 2 and steps[-1][1] == way and steps[-1][2] < 16:
            steps[-1][2] += 4
        else:
            steps.append([i, way, 4])
    stream, above, near = Stream(data[-(-width // 16):]), [Contexts(256) for _ in ways], [Contexts(128) for _ in ways]
    turned = lambda x: x if width == 8 else (x << 1 & (1 << width) - 1) | x >> width - 1
    tracker, coarse, out = Tracker(cols, 3 if cols < 128 else 7), max(width - 16, 0), [0] * (rows * cols)
    for first in range(0, rows, 4):
        band = range(min(4, rows - first))
        for column in range(cols):
            at = [(first + row) * cols + column for row in band]
            expected = tracker.expected(column)
            other = [turned(beside[i]) >> coarse if beside is not None else 0 for i in at]
            value = [0] * 4
            there = [row for row in band if kept is None or kept[at[row]]]
            for i, way, bits in steps:
                shift = width - 4 * i - bits
                for row in there:
                    some = 0
                    if way == 1:
                        some = stream.raw(bits)
                    elif way > 1:
                        guess = max((expected[row] >> 6) + other[row], 0) << coarse
                        level = min(max((guess << 2 >> shift) - 64 * value[row], -16), 79)
                        before = value[row] & 255 if way == 2 else 0
                        some = stream.symbol(above[i], before, near[i], level + 16, True)
                    value[row] = value[row] << bits | some
            for row in there:
                tracker.learn(row, column, expected[row], (value[row] >> coarse) - other[row])
                out[at[row]] = value[row] if width == 8 else value[row] >> 1 | (value[row] & 1) << width - 1
        tracker.next(len(band))
    stream.end()
    return out


def piece_codes(data, rows, cols, k, group, scales, zeros, kept):
    """`scales` are sizes of scales, `zeros` one for each group, or only one if nothing shifts them."""
    check(len(data) > 0 and data[0] < 3, "low bits are written in no known way")
    low, last = max((k - 1).bit_length() - 4, 0) if k else 0, max(k - 1, 0)
    stream, one, other, upper, ends = Stream(data[1:]), Contexts(1024), Contexts(512), Contexts(16), Contexts(64)
    tracker, length = Tracker(cols, 8), group or cols
    groups, shifted, out = -(-cols // length), zeros[1], [0] * (rows * cols)
    for first in range(0, rows, 4):
        band = range(min(4, rows - first))
        for at in range(groups):
            place = [(first + row) * groups + at for row in band]
            scale = [scales[i] if group else 0 for i in place]
            zero = [zeros[0][i if shifted else 0] for i in place]
            seen, end = [0] * 4, min(cols, (at + 1) * length)
            for column in range(at * length, end):
                left = sum(end - column < n for n in (17, 9, 5, 3, 2)) if group else 0
                expected = tracker.expected(column)
                for row in band:
                    i = (first + row) * cols + column
                    if kept is not None and not kept[i]:
                        continue
                    spread = (expected[row] >> 6) - scale[row] - 64 * (low + 1)
                    size, state = min(max(spread >> 3, 0), 23), 6 * seen[row] + left
                    if shifted:
                        middle = zero[row] >> low
                        high = stream.symbol(one, 24 * middle + state, other, 12 * middle + size // 2)
                    else:
                        high = stream.symbol(one, 24 * size + state, other, min(max(spread >> 2, 0), 47))
                    code = high << low
                    if low:
                        if data[0] == 2 or data[0] == 1 and high in (0, last >> low):
                            code |= stream.symbol(upper, high, ends, 4 * high + seen[row])
                        else:
                            code |= stream.raw(low)
                    check(code < k, "a code has no centroid")
                    out[i] = code
                    if group:
                        seen[row] |= (code == 0) | (code == last) << 1
                    x = abs(2 * code + 1 - 2 * zero[row])
                    e = x.bit_length() - 1
                    tracker.learn(row, column, expected[row], scale[row] + 64 * e + ((x << 6 >> e) & 63))
        tracker.next(len(band))
    stream.end()
    return out


def pieces(header, file, rest, kind, rows, cols):
    """A tensor in pieces, `rest` being what follows the checksum of the file."""
    check(rows * cols > 0 and cols <= 2**16, f"pieces of {rows} x {cols}")
    width = 2 if kind & 3 == 1 or kind & 0x4000 else [4, 2, 2, 4][kind & 3]
    group = scale_width = None
    shift, zero_width, scales, zeros = None, None, None, None
    if kind & 3 < 2:
        check(kind & ~0xc003 == 0 and kind & 0x4001 != 0x4001, f"kind {kind:#x}")
    else:
        check(kind & 0x40f4 == 0 and (kind & 1024 or not kind & 0x3800), f"kind {kind:#x}")
        k = header.number()
        check(k <= 256, f"{k} centroids")
        decoder = Decoder(file.take(header.number()))
        book = codebook(decoder, k, width, kind >> 8 & 3)
        decoder.end()

        def shared(width, flat):
            decoder = can_hold(file.take(header.number()), 8 * width, flat)
            found = values(decoder, 1, width, flat)
            decoder.end()
            return found

        if kind & 1024:
            group, scale_width = header.number(), 4 if kind & 2048 else 2
            scales = shared(scale_width, kind & 4096) if group == 0 else None
        if kind & 8192:
            number = header.number()
            check(number < 6, f"{number} sets the zero")
            shift, zero_width = number >> 1, [1, 2, 4][number >> 1]
            zeros = shared(zero_width, number & 1) if group == 0 else None
    each = header.number()
    check(each > 0 and each % 16 == 0, f"pieces of {each} rows")
    lengths = [header.number() for _ in range(-(-rows // each))]
    array = np.zeros((rows, cols), np.float32)
    for piece, length in enumerate(lengths):
        data = rest.take(length)
        here = min(each, rows - piece * each)
        check(here * cols <= 16384 * (length + 8), f"{here * cols} places in a piece of {length} bytes")
        check(length > 4 and zlib.crc32(data[4:]) == struct.unpack("<I", data[:4])[0], "a piece is damaged")
        data = Reader(data[4:])
        out = array[piece * each:piece * each + here]
        if kind & 3 < 2:
            sizes = [data.number(), data.number()]
            kept = piece_mask(data.take(sizes[0]), here, cols) if sizes[0] else None
            bits = piece_numbers(data.take(sizes[1]), 8 * width, here, cols, None, kept)
            out[:] = to_floats(bits, width, kind & 0x4000).reshape(here, cols)
        else:
            groups = -(-cols // group) if group else 0
            names = [n for n, there in (("scales", groups and scale_width), ("zeros", groups and shift is not None),
                                        ("mask", kind & 8), ("codes", True)) if there]
            sizes = {n: data.number() for n in names}
            if groups:
                scales = piece_numbers(data.take(sizes["scales"]), 8 * scale_width, here, groups)
                if shift is not None:
                    beside = scales if zero_width == scale_width else None
                    zeros = piece_numbers(data.take(sizes["zeros"]), 8 * zero_width, here, groups, beside)
            kept = piece_mask(data.take(sizes["mask"]), here, cols) if kind & 8 else None
            factor = floats(scales, scale_width) if scale_width else np.ones(1, np.float32)
            offset = None if shift is None else np.array(zeros, np.float32) if shift == 0 else floats(zeros, zero_width)
            with np.errstate(all="ignore"):
                at = np.zeros(1, np.float32) if offset is None else offset if shift == 0 else -offset / factor
            if not groups:
                at = np.zeros(1, np.float32)
            sizes_of = [(s & 0x7fffffff) >> 17 if scale_width == 4 else (s & 0x7fff) >> 4 for s in scales] if groups else []
            below = [int(np.sum(book < t)) for t in at]
            found = piece_codes(data.take(sizes["codes"]), here, cols, k, group or 0, sizes_of,
                                (below, bool(groups) and shift is not None), kept)
            worth = book[found].reshape(here, cols) if k else np.zeros((here, cols), np.float32)
            if kept is not None:
                worth = np.where(np.array(kept).reshape(here, cols) == 1, worth, np.float32(0))
            if kind & 1024:
                index = np.arange(here)[:, None] * groups + np.arange(cols) // (group or cols)
                worth = scaled(worth, factor[index], None if offset is None else offset[index], shift)
            out[:] = worth
        check(data.at == len(data.data), "a piece is longer than what it holds")
    return array.ravel()


def to_floats(bits, width, brain):
    return (np.array(bits, np.uint32) << np.uint32(16)).view(np.float32) if brain else floats(bits, width)


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


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("the file ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self):
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number is too long")

    def string(self):
        return self.take(self.number())


def check(fits, message):
    if not fits:
        raise ValueError(message)


def can_hold(section, decisions, flat):
    """Counts that the bytes can't hold are refused before anything is made for them."""
    most = (8 if flat else 5680) * (len(section) + 8)
    check(decisions <= most, f"{decisions} decisions in a section of {len(section)} bytes, which holds {most} at most")
    return Decoder(section)


def read(name):
    data = open(name, "rb").read()
    check(len(data) > 9 or data[:4] != b"klmo"[:len(data)], "the file is cut short")
    if data[:5] not in (b"klmo\1", b"klmo\3"):
        raise ValueError("no .kolmo file of version 1 or 3")
    cut, end = data[4] == 3, len(data) - 4
    if cut:
        file = Reader(data)
        file.take(5)
        file.number()
        file.take(file.number() + file.number())
        end = file.at
        file.take(4)
    if zlib.crc32(data[:end]) != struct.unpack("<I", data[end:end + 4])[0]:
        raise ValueError("the checksum is wrong: the file is damaged or cut short")
    file, rest = Reader(data[:end]), Reader(data[end + 4:])
    file.take(5)
    length, flat = divmod(file.number(), 2)
    coded = file.number()
    if cut:
        file.number()
    stored = file.take(coded)
    check(length == len(stored) if flat else length <= 64 * len(stored) + 1024, f"a header of {length} bytes")
    header = Reader(stored if flat else text(stored, length))
    meta = {key: value for key, value in ((header.string().decode(), header.string().decode()) for _ in range(header.number()))}
    tensors, previous = {}, b""
    entries = header.number()
    check(entries <= len(data), f"{entries} entries in a file of {len(data)} bytes")
    for _ in range(entries):
        shared = header.number()
        check(shared <= len(previous), "a name shares more than there is")
        previous = previous[:shared] + header.string()
        check(len(previous) <= 1024 and previous.decode() not in tensors, "a name is too long or used twice")
        rank = header.number()
        check(rank <= 32, f"{rank} axes")
        shape = [header.number() for _ in range(rank)]
        elements = math.prod(shape)
        check(max([elements, *shape]) <= 2**31, f"shape {shape} is too large")
        rows = shape[0] if rank > 1 else 1
        cols = elements // max(rows, 1)
        if elements == 0:
            rows = cols = 0
        kind = header.number()
        if cut and kind & 0x8000:
            tensors[previous.decode()] = pieces(header, file, rest, kind, rows, cols).reshape(shape)
            continue
        brain = kind & 0x4000
        check(kind < 2**15 and (kind & 3 > 1 or kind & ~0x4007 == 0) and not (brain and kind & 3), f"kind {kind:#x}")
        check(kind & 24 != 24 and (kind & 24 or not kind & 96) and (kind & 1024 or not kind & 0x3800), f"kind {kind:#x}")
        width = 2 if brain else [4, 2, 2, 4][kind & 3]
        if kind & 3 < 2:
            decoder = can_hold(file.take(header.number()), elements * 8 * width, kind & 4)
            array = to_floats(values(decoder, rows * cols, width, kind & 4), width, brain)
            decoder.end()
        else:
            k = header.number()
            common = header.number() if kind & 16 else None
            period = header.number() if kind & 128 else 1
            check(k <= 256 and (common is None or common < k) and period <= 2**16, "a codebook that can't be")
            lengths = [header.number() for _ in range(3 if kind & 24 else 2)]
            kept = None
            if kind & 24:
                decoder = can_hold(file.take(lengths.pop(0)), elements, kind & 32)
                kept = mask(decoder, rows, cols, period, kind & 32, bool(kind & 64))
                decoder.end()
            decoder = Decoder(file.take(lengths[0]))
            book = codebook(decoder, k, width, kind >> 8 & 3)
            decoder.end()
            count = elements if kept is None else int(kept.sum())
            decoder = can_hold(file.take(lengths[1]), count, kind & 4)
            kept = np.ones((rows, cols), bool) if kept is None else kept
            found = codes(decoder, kept, period, k, kind & 4)
            check(all(code < k for code in found), "a code has no centroid")
            decoder.end()
            array = np.full(elements, book[common] if common is not None else 0, np.float32)
            array[kept.ravel()] = book[found] if found else 0
            if kind & 1024:
                group, width = header.number(), 4 if kind & 2048 else 2
                each = -(-cols // group) if group else 1
                check(group <= 2**31, f"groups of {group}")
                count = rows * each if group else 1
                decoder = can_hold(file.take(header.number()), count * 8 * width, kind & 4096)
                scales = floats(values(decoder, count, width, kind & 4096), width)
                decoder.end()
                shifts, of = None, 0
                if kind & 8192:
                    number = header.number()
                    check(number < 6, f"{number} sets the zero")
                    of, width = number >> 1, [1, 2, 4][number >> 1]
                    decoder = can_hold(file.take(header.number()), count * 8 * width, number & 1)
                    bits = values(decoder, count, width, number & 1)
                    shifts = np.array(bits, np.float32) if of == 0 else floats(bits, width)
                    decoder.end()
                if elements:
                    spread = lambda x: x.reshape(-1, each)[:, np.arange(cols) // group].ravel() if group else x[0]
                    array = scaled(array, spread(scales), None if shifts is None else spread(shifts), of)
        tensors[previous.decode()] = array.reshape(shape)
    check(not cut or rest.at == len(rest.data), "there is more in the file than it tells")
    check(header.at == len(header.data) and file.at == len(file.data), "there is more in the file than it tells")
    return meta, tensors


if __name__ == "__main__":
    meta, tensors = read(sys.argv[1])
    for key, value in meta.items():
        print(f"{key}: {value}")
    for name, tensor in tensors.items():
        print(f"{name} {list(tensor.shape)}: {np.count_nonzero(tensor)} not zero, checksum {zlib.crc32(tensor.tobytes()):08x}")
