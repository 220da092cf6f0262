"""Files of versions 1 and 3, and the way to those of version 2."""
import math
import struct
import zlib

import numpy as np

from . import mapped
from .coder import Decoder, Reader, can_hold, check, text
from .pieces import pieces
from .sections import codebook, codes, floats, mask, scaled, to_floats, values


def read(path):
    """The texts about a model, and its tensors as NumPy arrays, by their names.

    All versions of the format are read: coded files (1), those in pieces (3), and mapped ones (2). What is damaged,
    cut short or makes claims that its bytes can't hold is a ValueError."""
    with open(path, "rb") as file:
        return read_bytes(file.read())


def read_bytes(data):
    """The same of a file's bytes."""
    check(len(data) > 9 or data[:4] != b"klmo"[:len(data)], "the file is cut short")
    if data[:5] == b"klmo\2":
        return mapped.read(data)
    check(data[:5] in (b"klmo\1", b"klmo\3"), "no .kolmo file of version 1, 2 or 3")
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
