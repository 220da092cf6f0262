"""Weights between PyTorch and kolmo. Needs torch and safetensors.

    python torch_mlp.py write           writes mlp.safetensors (a state_dict) and mlp_io.safetensors (x and y) beside this file
    python torch_mlp.py check FILE      loads what kolmo wrote into the same model, and compares outputs for the same x
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

here = Path(__file__).parent
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

if sys.argv[1:] == ["write"]:
    torch.manual_seed(0)
    for p in model.parameters():
        torch.nn.init.normal_(p)
    x = torch.randn(5, 4)
    save_file(model.state_dict(), here / "mlp.safetensors")
    save_file({"x": x, "y": model(x).detach()}, here / "mlp_io.safetensors")
elif len(sys.argv) == 3 and sys.argv[1] == "check":
    model.load_state_dict(load_file(sys.argv[2]))
    io = load_file(here / "mlp_io.safetensors")
    difference = (model(io["x"]) - io["y"]).abs().max().item()
    print(f"largest difference: {difference:.1e}")
    sys.exit(difference > 1e-6)
else:
    sys.exit(__doc__)
