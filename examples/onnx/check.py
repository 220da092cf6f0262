"""Runs ONNX files by onnxruntime, and makes test cases of others' files.

    pip install numpy onnx onnxruntime
    python check.py FOLDER [TOLERANCE]   onnx.checker and onnxruntime on all models of a folder: NAME.onnx with
                                         NAME.input_0.npy, … and NAME.output_0.npy, …
    python check.py --standard FOLDER    the operators' own test cases, which the package onnx ships, in such a folder
    python check.py --run MODEL FOLDER   a model with random inputs and what onnxruntime gives for them in such a folder
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def files(model, what):
    found = []
    while (path := model.with_suffix(f".{what}_{len(found)}.npy")).exists():
        found.append(path)
    return found


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def apart(a, b):
    if a.shape != b.shape:
        return np.inf
    a, b = a.astype(np.float64), b.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    finite = np.abs(b[np.isfinite(b)])
    far = np.where(same, 0, np.abs(a - b)) / max(1, finite.max(initial=0))
    return np.nan_to_num(far.max(initial=0), nan=np.inf)


def steps(graph):
    """The step sizes of results that are codes times these, as they lie along the axes, by name."""
    made = {name: node for node in graph.node for name in node.output}
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {}
    for output in graph.output:
        last = made.get(output.name)
        if last and last.op_type == "DequantizeLinear" and getattr(made.get(last.input[0]), "op_type", "") == "QuantizeLinear":
            sizes, rank = known[last.input[1]], len(output.type.tensor_type.shape.dim)
            axis = next((a.i for a in last.attribute if a.name == "axis"), 1)
            found[output.name] = sizes.reshape([-1 if i == axis % rank else 1 for i in range(rank)]) if sizes.size > 1 else sizes
    return found


def codes_apart(a, b, steps):
    """By how many codes results differ at most, how many do, and of how many; half a code is none."""
    off = np.abs(a.astype(np.float64) - b) / np.abs(steps)
    whole = np.where(off <= 0.5, 0, off)
    return whole.max(initial=0), int((whole > 0).sum()), whole.size


def check(folder, tolerance):
    bad, models = [], sorted(Path(folder).glob("*.onnx"))
    for model in models:
        try:
            loaded = onnx.load(model)
            onnx.checker.check_model(loaded, full_check=True)
            run = session(model)
            inputs = {i.name: np.load(path) for i, path in zip(run.get_inputs(), files(model, "input"))}
            results = run.run(None, inputs)
            far, codes, coded = 0, 0, steps(loaded.graph)
            for place, a, path in zip(run.get_outputs(), results, files(model, "output"), strict=True):
                b = np.load(path)
                if place.name in coded and a.shape == b.shape:
                    most, count, size = codes_apart(a, b, coded[place.name])
                    codes = max(codes, most)
                    print(f"{model.stem:<28} {count} of {size} results are other codes, {most:.3g} off at most")
                else:
                    far = max(far, apart(a, b))
            operators = sorted({node.op_type for node in loaded.graph.node})
            print(f"{model.stem:<28} {far:9.1e}  {' '.join(operators)[:120]}")
            # A code may be the next one, where rounding is on the brink.
            if not (far <= tolerance and codes <= 1 + 1e-4):
                bad.append(model.stem)
        except Exception as error:
            print(f"{model.stem:<28} {str(error).splitlines()[0][:300]}")
            bad.append(model.stem)
    print(f"{len(models) - len(bad)} of {len(models)} models give the same{': not ' if bad else ''}{' '.join(bad)}")
    return not bad


def save(model, folder, name, inputs, outputs):
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / f"{name}.onnx")
    # Floats first, as `Model::forward` takes them.
    floats = [a for a in inputs if a.dtype.kind == "f"]
    for what, arrays in (("input", floats + [a for a in inputs if a.dtype.kind != "f"]), ("output", outputs)):
        for i, array in enumerate(arrays):
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
            np.save(folder / f"{name}.{what}_{i}.npy", array)


def cases():
    """The operators' own test cases: names, models, inputs and outputs."""
    from onnx import numpy_helper
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        inputs, outputs = case.data_sets[0]
        yield case.name, case.model, inputs, outputs
    for path in sorted((Path(onnx.__file__).parent / "backend/test/data").glob("*/*/model.onnx")):
        tensors = {}
        for what in ("input", "output"):
            paths = sorted(path.parent.glob(f"test_data_set_0/{what}_*.pb"), key=lambda p: int(p.stem.split("_")[1]))
            tensors[what] = [onnx.TensorProto.FromString(p.read_bytes()) for p in paths]
        try:
            arrays = {what: [numpy_helper.to_array(t) for t in all] for what, all in tensors.items()}
        except Exception:
            continue  # Sequences.
        yield path.parent.name, onnx.load(path), arrays["input"], arrays["output"]


def standard(folder):
    count = 0
    for name, model, inputs, outputs in cases():
        # What kolmo reads: floats, which it reckons with in 32 bits, and whole numbers of 0 or more.
        known = lambda a: isinstance(a, np.ndarray) and (a.dtype.kind in "iub" or a.dtype in (np.float32, np.float64))
        arrays = [a for a in [*inputs, *outputs] if known(a)]
        if len(arrays) == len(inputs) + len(outputs) and not any((a < 0).any() for a in inputs if a.dtype.kind == "i"):
            save(model, Path(folder), name, inputs, outputs)
            count += 1
    print(f"{count} cases are in {folder}")


def run(path, folder):
    model, rng = onnx.load(path), np.random.default_rng(0)
    session_of = session(path)
    inputs = {}
    for i in session_of.get_inputs():
        sizes = [n if isinstance(n, int) else 2 for n in i.shape]
        if len(sizes) == 4 and not isinstance(i.shape[2], int):
            sizes[2:] = [64, 64]
        kind = np.int32 if "int32" in i.type else np.int64
        inputs[i.name] = rng.standard_normal(sizes).astype(np.float32) if "float" in i.type else rng.integers(1, 9, sizes, kind)
    save(model, Path(folder), Path(path).stem, list(inputs.values()), session_of.run(None, inputs))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--standard"]:
        standard(arguments[1])
    elif arguments[:1] == ["--run"]:
        run(arguments[1], arguments[2])
    else:
        sys.exit(not check(arguments[0], float((arguments[1:] or ["1e-5"])[0])))
