"""Reads .kolmo files, after docs/format.md and nothing else: `read` gives NumPy arrays, `state_dict` tensors of PyTorch."""
from .file import read, read_bytes

__all__ = ["read", "read_bytes", "state_dict"]


def state_dict(path):
    """The tensors of a file as `torch.nn.Module.load_state_dict` takes them: names are those of the model's fields."""
    import torch

    return {name: torch.from_numpy(array.copy()) for name, array in read(path)[1].items()}
