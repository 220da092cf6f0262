"""Tensors in pieces, as files of version 3 have them."""
import struct
import zlib

import numpy as np

from .coder import Decoder, Reader, can_hold, check
from .sections import codebook, floats, scaled, to_floats, values


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
