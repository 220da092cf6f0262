"""Files of version 2, which are there to be run from: every tensor in the form that it is computed with."""
import json
import math
import struct
import zlib

import numpy as np

from .coder import check
from .sections import scaled

LANES = 16  # rows side by side in a panel
SMALL = {"at": int, "len": int, "crc32": int}
CODED = {"bits": int, "low": int, "pruned": int, "group": int, "scales": int, "zeros": bool, "offsets": int}


def fields(value, kinds, optional=()):
    """The fields of an object that has these and no others."""
    check(isinstance(value, dict) and set(value) <= set(kinds), f"an object should have the fields {', '.join(kinds)}")
    for name, kind in kinds.items():
        there = value.get(name)
        if there is None and name in optional:
            continue
        check(kind is object or type(there) is kind, f"field {name!r} is {there!r}")
        check(kind is not int or abs(there) < 2**64 and (there >= 0 or name == "low"), f"field {name!r} is {there!r}")
    return value


def once(pairs):
    names = [name for name, _ in pairs]
    check(len(set(names)) == len(names), "a name is there twice")
    return dict(pairs)


def unpanelled(piece, kind, rows, cols):
    """Numbers that lie in panels, as a matrix."""
    panels, size = -(-rows // LANES), np.dtype(kind).itemsize
    check(len(piece) == panels * cols * LANES * size, f"{len(piece)} bytes for {rows} x {cols} numbers")
    return np.frombuffer(piece, kind).reshape(panels, cols, LANES).transpose(0, 2, 1).reshape(-1, cols)[:rows]


def codes(form, pieces, rows, cols):
    form = fields(form, CODED, ("low", "pruned"))
    bits, low, group = form["bits"], form.get("low"), form["group"]
    check(1 <= bits <= 8, f"{bits} bits: takes 1 to 8")
    check(low is None or abs(low) < 2**20, f"{low} is no lowest value of codes")
    check((form.get("pruned") or 0) < 256, "what is pruned is no code")
    left = list(pieces)

    def take():
        check(left, "pieces are too few")
        return left.pop(0)

    found, shift = np.zeros((rows, cols), np.uint8), 0
    for wide in (w for w in (8, 4, 2, 1) if bits & w):
        each = 8 // wide
        plane = unpanelled(take(), np.uint8, rows, -(-cols // each))
        parts = [plane >> np.uint8(wide * i) & np.uint8((1 << wide) - 1) for i in range(each)]
        found |= np.stack(parts, 2).reshape(rows, -1)[:, :cols] << np.uint8(shift)
        shift += wide
    table = None
    if low is None:
        table = take()
        check(len(table) != 2048, "the weights are of 64 bits, which this reader has not")
        check(len(table) == 1024, f"a table of {len(table)} bytes")

    def shared(kind):
        """What groups share, for each element."""
        if group == 0:
            piece = take()
            check(len(piece) == LANES * np.dtype(kind).itemsize, f"{len(piece)} bytes for one number")
            return np.broadcast_to(np.frombuffer(piece, kind)[0], (rows, cols))
        return np.repeat(unpanelled(take(), kind, rows, -(-cols // group)), min(group, cols), 1)[:, :cols]

    def floats(width):
        check(width != 64, "the weights are of 64 bits, which this reader has not")
        check(width in (0, 16, 32), f"numbers of {width} bits")
        return shared(np.float16 if width == 16 else np.float32).astype(np.float32) if width else None

    scales = floats(form["scales"])
    zeros = shared(np.uint8) if form["zeros"] else None
    offsets = floats(form["offsets"])
    check(not left, "pieces are too many")
    if table is not None:
        worth = np.frombuffer(table, np.float32)[found]
        if scales is None and offsets is None:
            return worth
    else:
        worth = found.astype(np.float32) + np.float32(low)
        if zeros is not None:
            worth = worth - zeros.astype(np.float32)
    ones, nothing = np.ones((rows, cols), np.float32), np.zeros((rows, cols), np.float32)
    return scaled(worth, ones if scales is None else scales, nothing if offsets is None else offsets, 1)


def tensor(form, shape, pieces):
    elements = math.prod(shape)
    if form in ("f32", "f64"):
        check(len(pieces) == 1 and len(pieces[0]) == elements * int(form[1:]) // 8, f"its bytes aren't those of {shape}")
        return np.frombuffer(pieces[0], np.dtype(f"<{form[0]}{int(form[1:]) // 8}")).reshape(shape)
    check(isinstance(form, dict) and list(form) == ["packed"], f"the form is {form!r}")
    form = form["packed"]
    check(len(shape) > 1 and elements > 0, f"{shape}: takes two axes or more, and elements")
    rows, cols = shape[0], elements // shape[0]
    if form in ("f16", "bf16"):
        check(len(pieces) == 1, f"{len(pieces)} pieces, expected one")
        bits = unpanelled(pieces[0], np.uint16, rows, cols)
        wide = bits.view(np.float16).astype(np.float32) if form == "f16" else (
            bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return np.ascontiguousarray(wide).reshape(shape)
    check(isinstance(form, dict) and list(form) == ["codes"], f"the form is {form!r}")
    return codes(form["codes"], pieces, rows, cols).reshape(shape)


def read(data):
    check(data[:8] == b"klmo\2\0\0\0" and len(data) >= 20, "no mapped .kolmo file")
    length, checksum = struct.unpack("<QI", data[8:20])
    text = data[20:20 + length]
    check(len(text) == length, "the header is longer than the file")
    check(zlib.crc32(text) == checksum, "the header's checksum is another: it is damaged")
    header = fields(json.loads(text, object_pairs_hook=once), {"meta": dict, "entries": list})
    check(all(isinstance(value, str) for value in header["meta"].values()), "a text about the model is none")
    tensors = {}
    for entry in header["entries"]:
        fields(entry, {"name": str, "shape": list, "form": object, "pieces": list})
        name, shape = entry["name"], entry["shape"]
        check(name not in tensors, f"{name}: the name is there twice")
        check(all(type(n) is int and 0 <= n < 2**64 for n in shape), f"{name}: the shape is {shape}")
        pieces = []
        for place in (fields(place, SMALL) for place in entry["pieces"]):
            at, size = place["at"], place["len"]
            check(at % 64 == 0 and at + size <= len(data), f"{name}: bytes that aren't in the file")
            piece = data[at:at + size]
            check(zlib.crc32(piece) == place["crc32"], f"{name}: the bytes from {at} on are damaged")
            pieces.append(piece)
        tensors[name] = tensor(entry["form"], tuple(shape), pieces)
    return header["meta"], tensors
