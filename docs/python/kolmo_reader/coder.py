"""Decisions, symbols and texts as a .kolmo file of version 1 codes them, and the errors of whoever reads one."""


def check(fits, message):
    if not fits:
        raise ValueError(message)


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


def can_hold(section, decisions, flat):
    """Counts that the bytes can't hold are refused before anything is made for them."""
    most = (8 if flat else 5680) * (len(section) + 8)
    check(decisions <= most, f"{decisions} decisions in a section of {len(section)} bytes, which holds {most} at most")
    return Decoder(section)
