#!/usr/bin/env python3
"""A step of several processes of one thread beside others, in milliseconds (medians of steps; of rounds the least):

    cargo build --release --example distributed --features kolmo-examples/mpi
    python3 benches/distributed.py [--processes 2] [--steps 60] [--rounds 5] [--python PYTHON_WITH_TORCH]

`plain`: one process without slots, of as many threads; `threads`: the same with 8 slots; `mpi`: the processes, with the
same 8 slots; `ddp`: PyTorch's DistributedDataParallel with gloo, each process having its part of the batch in one piece;
`ddp8`: in as many pieces as kolmo's process has slots (of gpt_nano 6 in all), with
no_sync but for the last. Then the bytes of gradients and of
the optimiser's state that a process has, of both."""
import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"lenet5": "lenet5", "gpt_nano": "gpt"}


def kolmo(model, processes, threads, slots, steps):
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    start = ["mpirun", "--oversubscribe", "--allow-run-as-root", "-n", str(processes)] if processes > 1 else []
    command = start + [str(target / "release/examples/distributed"), "--model", MODELS[model], "--slots", str(slots)]
    environment = {**os.environ, "KOLMO_NUM_THREADS": str(threads)}
    out = subprocess.run(
        command + ["--steps", str(steps)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return float(re.search(r"([\d.]+) ms a step", out)[1])


def ddp(model, processes, pieces, steps):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, "--rank", model, str(pieces), str(steps)],
            env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(processes)
    ]
    found = [rank.communicate()[0].split() for rank in ranks]
    return [float(word) for word in found[0]]


def rank(model, pieces, steps):
    import contextlib
    import torch
    from memory import makers

    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.distributed.init_process_group("gloo")
    size = torch.distributed.get_world_size()
    net, loss, _ = makers(size * pieces)[model]()

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self):
            return loss()

    whole = torch.nn.parallel.DistributedDataParallel(Loss())
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    times = []
    for _ in range(steps):
        began = time.perf_counter()
        optimizer.zero_grad()
        for piece in range(pieces):
            last = piece + 1 == pieces
            with contextlib.nullcontext() if last else whole.no_sync():
                (whole() / pieces).backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - began))
    gradients = sum(p.grad.numel() * p.grad.element_size() for p in net.parameters())
    state = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    if torch.distributed.get_rank() == 0:
        print(statistics.median(times), gradients, sum(t.numel() * t.element_size() for t in state))
    torch.distributed.destroy_process_group()


def main():
    if sys.argv[1:2] == ["--rank"]:
        return rank(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--processes", type=int, default=2)
    args.add_argument("--steps", type=int, default=60)
    args.add_argument("--rounds", type=int, default=5)
    args = args.parse_args()
    n, steps = args.processes, args.steps
    for model in MODELS:
        times, held = {}, (0, 0)
        for _ in range(args.rounds):
            found = {
                "plain": kolmo(model, 1, n, 0, steps),
                "threads": kolmo(model, 1, n, 8, steps),
                "mpi": kolmo(model, n, 1, 8, steps),
            }
            # The 12 sequences of gpt_nano are no multiple of 8.
            for name, pieces in [("ddp", 1), ("ddp8", max(1, (6 if model == "gpt_nano" else 8) // n))]:
                found[name], *held = ddp(model, n, pieces, steps)
            for name, ms in found.items():
                times.setdefault(name, []).append(ms)
        print(model, " ".join(f"{name} {min(ms):.2f}" for name, ms in times.items()))
        print(f"  of a process, PyTorch: gradients {held[0]:.0f}, state {held[1]:.0f}; "
              f"kolmo: sums of ranges {held[0] / n:.0f}, state {held[1] / n:.0f}, about")


if __name__ == "__main__":
    main()
