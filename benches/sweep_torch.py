"""PyTorch's side of `benches/sweep.py`. The first line of the standard input is the list of cases as `sweep --cases` describes them, as JSON;
each further line is the number of a case, which is timed as `benches/suite/timing.rs` does it: `sweep_torch.py THREADS`."""
import json
import os
import sys
import time
import warnings

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

warnings.filterwarnings("ignore")
BUDGET = float(os.environ.get("BENCH_BUDGET", "0.05"))


def fill(seed, n, scale=1.0):
    """Uniform in [-scale, scale) from an integer hash of seed and position: `fill` of `benches/suite/timing.rs`."""
    x = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) ^ np.uint32((seed * 40503 + 12345) & 0xFFFFFFFF)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return ((x >> np.uint32(8)).astype(np.float32) / np.float32(16777216.0) * 2 - 1) * np.float32(scale)


def value(spec, dtype):
    """An input: `Input` of `benches/sweep/case.rs`."""
    kind, shape, low, high = spec["kind"], spec["shape"], spec["low"], spec["high"]
    n = int(np.prod(shape))
    u = (fill(spec["seed"], n).astype(np.float64) + 1) / 2
    x = low + u * (high - low)
    if kind == "p":
        return torch.from_numpy(np.arange(n) * 7919 % n).reshape(shape)
    if kind == "i":
        return torch.from_numpy(np.floor(x).astype(np.int64).reshape(shape))
    if kind == "m":
        return torch.from_numpy((u < 0.5).reshape(shape))
    if kind == "s":
        x = np.where(u < 0.5, -1.0, 1.0)
    if kind == "d":
        k = np.arange(shape[-1])
        low, high = np.minimum.outer(k, k), np.maximum.outer(k, k)
        x = x.reshape(-1, shape[-1], shape[-1])[:, low, high] / shape[-1] + 2 * np.eye(shape[-1])
    x = torch.from_numpy(np.ascontiguousarray(x.reshape(shape))).to(dtype)
    if kind == "t":
        x = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    return x.requires_grad_(kind in "ftd")


def weight(y):
    return torch.from_numpy(fill(99, y.numel(), 0.5).astype(np.float64) + 1).reshape(y.shape).to(y.dtype)


def checksum(y):
    v = y.detach().to(torch.float64).reshape(-1).numpy()
    return float(((fill(99, v.size, 0.5).astype(np.float64) + 1) * (np.abs(v) + v / 2)).sum())


def several(y):
    return y if isinstance(y, (tuple, list)) else (y,)


def step_of(case):
    """What is timed, and the checksum."""
    dtype = getattr(torch, case["dtype"])
    inputs = [(spec["kind"], value(spec, dtype)) for spec in case["inputs"]]
    x = [v for kind, v in inputs if kind in "ftcsd"]
    i = [v for kind, v in inputs if kind in "ip"]
    m = [v for kind, v in inputs if kind == "m"]
    net = None
    if case["object"].startswith("torch.optim"):
        p = [row.detach().clone().requires_grad_(True) for row in x[0]]
        for row, grad in zip(p, x[1]):
            row.grad = grad.clone()
        optimizer = eval(case["object"], globals(), {"p": p})
        for _ in range(3):
            optimizer.step()
        return optimizer.step, sum(checksum(row) for row in p)
    if case["object"]:
        net = eval(case["object"])
        params = [p for _, p in sorted(net.named_parameters())]
        with torch.no_grad():
            for p, v in zip(params, x[len(x) - len(params):]):
                p.copy_(v)
        x[len(x) - len(params):] = params
        net.train(case["backward"])
    f = eval("lambda: " + case["torch"], {**globals(), "x": x, "i": i, "m": m, "net": net})
    if not case["backward"]:
        # Its inputs are plain, or views of them couldn't be taken in this mode.
        x[:] = [v.detach() if net is None else v for v in x]
        with torch.inference_mode():
            total = sum(checksum(y) for y in several(f()))

        def forward():
            with torch.inference_mode():
                f()

        return forward, total
    leaves = [v for v in x if v.requires_grad]
    weights = [weight(y) for y in several(f())]

    def both():
        loss = None
        for y, w in zip(several(f()), weights):
            part = (y * w).sum()
            loss = part if loss is None else loss + part
        return torch.autograd.grad(loss, leaves)

    return both, sum(checksum(g) for g in both())


def measure(step):
    """Median and least time of a call."""
    step()
    step()
    begin = time.perf_counter()
    step()
    step()
    one = max((time.perf_counter() - begin) / 2, 1e-8)
    inner = max(1, int(BUDGET / 20 / one))
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < BUDGET:
        begin = time.perf_counter()
        for _ in range(inner):
            step()
        times.append((time.perf_counter() - begin) / inner)
    times.sort()
    return times[len(times) // 2], times[0]


def main():
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    cases = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        case = cases[int(line)]
        out = {k: case[k] for k in ("family", "case", "dtype", "backward")} | {"peer": "torch", "threads": threads}
        try:
            step, total = step_of(case)
            median, least = measure(step)
            out |= {"median_s": median, "min_s": least, "checksum": total}
        except Exception as error:
            out["error"] = f"{type(error).__name__}: {error}"[:300]
        print(json.dumps(out), flush=True)


main()
