#!/usr/bin/env python3
"""Times every operation and layer of kolmo beside PyTorch, case by case in turn, and prints where it is slower:

    python3 benches/sweep.py [--threads 1] [--families unary,conv] [--rounds 3] [--out FILE.json] [--python PYTHON_WITH_TORCH]
    python3 benches/sweep.py --table FILE.json      # the table of an earlier run

A case counts by the least of its medians over the rounds; with `--by least` by its least time, which other work on the
machine disturbs less: a step of several milliseconds is seldom left alone. Checksums of results and gradients are compared."""
import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def built():
    """Builds the benchmark; its path."""
    out = subprocess.run(
        ["cargo", "bench", "--no-run", "--bench", "sweep", "--message-format=json"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "sweep")


def started(command, budget):
    env = os.environ | {"BENCH_BUDGET": str(budget)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=env)


def ask(peer, number):
    peer.stdin.write(f"{number}\n")
    peer.stdin.flush()
    line = peer.stdout.readline()
    if not line:
        sys.exit(f"{peer.args[0]} ended at case {number}")
    return json.loads(line)


def better(old, new):
    """The least of both."""
    if not old or "error" in old or "error" in new:
        return new if not old or "error" not in old else old
    return new | {k: min(old[k], new[k]) for k in ("median_s", "min_s")}


def agree(case, a, b):
    if case["random"]:
        return True
    a, b = a["checksum"], b["checksum"]
    if a is None:  # No number: not in JSON.
        return not math.isfinite(b)
    return abs(a - b) <= 1e-3 * max(abs(a), abs(b)) + 1e-9


def title(case):
    return f"{case['case']} {case['dtype'].replace('float', 'f')} {'with gradient' if case['backward'] else 'forward'}"


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else float("nan")


def table(rows, by):
    mark = "_min" if by == "least" else ""
    rows = [r | {k: r[k + mark] for k in ("kolmo", "torch")} for r in rows]
    rows = [r | {"ratio": r["torch"] / r["kolmo"]} for r in rows]
    print(f"\n{'family':<12}{'cases':>6}{'torch/kolmo':>13}{'forward':>9}{'gradient':>10}{'<1.0':>6}{'<0.8':>6}{'<0.5':>6}")
    families = list(dict.fromkeys(r["family"] for r in rows))
    for family in families + ["all"]:
        of = [r for r in rows if family in (r["family"], "all")]
        all_of = [r["ratio"] for r in of]
        forward, gradient = ([r["ratio"] for r in of if r["backward"] == b] for b in (False, True))
        below = "".join(f"{sum(r < limit for r in all_of):>6}" for limit in (1.0, 0.8, 0.5))
        print(f"{family:<12}{len(of):>6}{mean(all_of):>13.2f}{mean(forward):>9.2f}{mean(gradient):>10.2f}{below}")
    slow = sorted((r for r in rows if r["ratio"] < 1.0), key=lambda r: r["ratio"])
    print(f"\nSlower than PyTorch, worst first ({len(slow)}): torch/kolmo, microseconds of kolmo and of torch")
    for r in slow:
        print(f"{r['ratio']:6.2f} {r['kolmo'] * 1e6:10.1f} {r['torch'] * 1e6:10.1f}  {r['family']:<10} {title(r)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--families", default="all", help="separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=0.03, help="seconds for each case and round")
    parser.add_argument("--out", help="all figures as JSON")
    parser.add_argument("--by", choices=["median", "least"], default="median")
    parser.add_argument("--table", help="a file of --out, of which to print the table")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has torch and numpy")
    options = parser.parse_args()
    if options.table:
        return table(json.loads(Path(options.table).read_text()), options.by)
    binary = built()
    lines = subprocess.run([binary, options.families, "--cases"], stdout=subprocess.PIPE, text=True, check=True).stdout
    cases = [json.loads(line) for line in lines.splitlines()]
    kolmo = started([binary, options.families, str(options.threads), "--ask"], options.budget)
    torch = started([options.python, str(ROOT / "benches/sweep_torch.py"), str(options.threads)], options.budget)
    torch.stdin.write(json.dumps(cases) + "\n")
    best = [({}, {}) for _ in cases]
    for round in range(options.rounds):
        for number, case in enumerate(cases):
            if sys.stderr.isatty():
                print(f"\rround {round + 1}, case {number + 1} of {len(cases)}  ", end="", file=sys.stderr, flush=True)
            best[number] = tuple(better(old, ask(peer, number)) for old, peer in zip(best[number], (kolmo, torch)))
    print(file=sys.stderr)
    for peer in (kolmo, torch):
        peer.stdin.close()
        peer.wait()
    rows, wrong = [], []
    for case, (a, b) in zip(cases, best):
        row = {k: case[k] for k in ("family", "case", "dtype", "backward")} | {"threads": options.threads}
        if "error" in a or "error" in b:
            wrong.append(f"{case['family']}: {title(case)}: kolmo: {a.get('error', 'done')}; torch: {b.get('error', 'done')}")
            continue
        if not agree(case, a, b):
            wrong.append(f"{case['family']}: {title(case)}: checksums {a['checksum']} and {b['checksum']}")
        row |= {"kolmo": a["median_s"], "torch": b["median_s"], "kolmo_min": a["min_s"], "torch_min": b["min_s"]}
        rows.append(row | {"checksum": a["checksum"], "torch_checksum": b["checksum"]})
    table(rows, options.by)
    print(f"\nFailed, or with other checksums: {len(wrong)}", *wrong, sep="\n")
    if options.out:
        Path(options.out).write_text(json.dumps(rows, indent=1))


main()
