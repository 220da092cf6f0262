"""What is in a file: python3 -m kolmo_reader FILE. With --check, a line for each of several files: whether it is read."""
import sys
import zlib

import numpy as np

from . import read

USAGE = "python3 -m kolmo_reader FILE, or --check FILE..."


def show(path):
    meta, tensors = read(path)
    for key, value in meta.items():
        print(f"{key}: {value}")
    for name, tensor in tensors.items():
        print(f"{name} {list(tensor.shape)}: {np.count_nonzero(tensor)} not zero, checksum {zlib.crc32(tensor.tobytes()):08x}")


def check(paths):
    """Any other error than a ValueError is this reader's own, and ends it. One NaN is like another."""
    for path in paths:
        try:
            tensors = [np.where(np.isnan(tensor), tensor.dtype.type(np.nan), tensor) for tensor in read(path)[1].values()]
            print("read", f"{zlib.crc32(b''.join(tensor.tobytes() for tensor in tensors)):08x}")
        except ValueError as error:
            print("refused", str(error).splitlines()[0])


match sys.argv[1:]:
    case ["--check", *paths]:
        check(paths)
    case [path]:
        show(path)
    case _:
        sys.exit(USAGE)
