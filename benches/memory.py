#!/usr/bin/env python3
"""The most bytes that a training step of kolmo and of PyTorch needs, from the model's parameters on, in MB (10^6 bytes):

    python3 benches/memory.py [--threads 1] [--python PYTHON_WITH_TORCH]

Of kolmo all that its allocator gave out, buffers that wait to be used again included; of PyTorch the tensors that its profiler
saw in three steps from the model's making on, and no memory that its libraries take for themselves."""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKLOADS = ["mlp300", "lenet5", "cnn3", "gpt_nano", "gru_char"]


def kolmo(threads):
    out = subprocess.run(
        ["cargo", "bench", "--no-run", "--bench", "suite", "--message-format=json"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    suite = next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "suite")
    peaks = {}
    for workload in WORKLOADS:
        # A process each: what one keeps another could use.
        line = subprocess.run([suite, workload, str(threads)], stdout=subprocess.PIPE, text=True, check=True).stdout
        peaks[workload] = json.loads(line)["peak_bytes"]
    return peaks


def makers(share=1):
    """Net, loss and optimiser of each workload, whose batches are divided by `share`."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    def mlp():
        net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
        x, y = torch.rand(64 // share, 784), torch.randint(10, (64 // share,))
        return net, lambda: F.cross_entropy(net(x), y), torch.optim.Adam(net.parameters())

    def lenet5():
        net = nn.Sequential(
            nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
        )
        x, y = torch.rand(64 // share, 1, 28, 28), torch.randint(10, (64 // share,))
        return net, lambda: F.cross_entropy(net(x), y), torch.optim.SGD(net.parameters(), 0.02, momentum=0.9)

    def cnn3():
        def part(a, b):
            return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]

        body, last = nn.Sequential(*part(3, 32), *part(32, 64), *part(64, 128)), nn.Linear(128, 10)
        x, y = torch.rand(32 // share, 3, 32, 32), torch.randint(10, (32 // share,))
        loss = lambda: F.cross_entropy(last(body(x).mean((2, 3))), y)
        return nn.ModuleList([body, last]), loss, torch.optim.Adam([*body.parameters(), *last.parameters()])

    def gpt_nano():
        width, heads = 128, 4

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
                self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
                self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

            def forward(self, x):
                b, t, _ = x.shape
                q, k, v = self.qkv(self.norms[0](x)).view(b, t, 3, heads, -1).permute(2, 0, 3, 1, 4)
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + self.out(y.transpose(1, 2).reshape(b, t, width))
                return x + self.mlp(self.norms[1](x))

        tokens, places = nn.Embedding(65, width), nn.Embedding(64, width)
        body = nn.Sequential(*[Block() for _ in range(4)], nn.LayerNorm(width), nn.Linear(width, 65, bias=False))
        net = nn.ModuleList([tokens, places, body])
        x, y = torch.randint(65, (12 // share, 64)), torch.randint(65, (12 // share, 64))
        loss = lambda: F.cross_entropy(body(tokens(x) + places.weight).view(-1, 65), y.view(-1))
        return net, loss, torch.optim.AdamW(net.parameters())

    def gru_char():
        tokens, gru, out = nn.Embedding(65, 128), nn.GRU(128, 256), nn.Linear(256, 65)
        net = nn.ModuleList([tokens, gru, out])
        x, y = torch.randint(65, (64 // share, 16)), torch.randint(65, (64 // share * 16,))
        loss = lambda: F.cross_entropy(out(gru(tokens(x))[0]).view(-1, 65), y)
        return net, loss, torch.optim.Adam(net.parameters())

    return {"mlp300": mlp, "lenet5": lenet5, "cnn3": cnn3, "gpt_nano": gpt_nano, "gru_char": gru_char}


def torch_peak(workload, threads):
    import torch

    torch.set_num_threads(threads)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        net, loss, optimizer = makers()[workload]()
        for _ in range(3):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    return max(e["args"]["Total Allocated"] for e in events if e.get("name") == "[memory]")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--python", default=sys.executable)
    args.add_argument("--torch", choices=WORKLOADS, help=argparse.SUPPRESS)
    args = args.parse_args()
    if args.torch:
        print(torch_peak(args.torch, args.threads))
        return
    own = kolmo(args.threads)
    print(f"{'MB':<10}{'kolmo':>8}{'torch':>8}{'ratio':>8}")
    for workload in WORKLOADS:
        command = [args.python, __file__, "--torch", workload, "--threads", str(args.threads)]
        theirs = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        print(f"{workload:<10}{own[workload] / 1e6:8.1f}{theirs / 1e6:8.1f}{own[workload] / theirs:8.2f}", flush=True)


if __name__ == "__main__":
    main()
