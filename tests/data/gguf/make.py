"""Writes types.gguf and types.safetensors: two blocks of each type that src/data/gguf reads, and what they stand for.

The file is written and its values are computed by llama.cpp's own package (`pip install gguf==0.19.0 safetensors`). What
it can quantise is quantised, of the others the blocks are random bytes with scales that are numbers.
"""
import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type, quants
from safetensors.numpy import save_file

rng = np.random.default_rng(0)
writer = gguf.GGUFWriter("types.gguf", "test")
writer.add_uint8("of.u8", 200)
writer.add_int8("of.i8", -100)
writer.add_uint16("of.u16", 60000)
writer.add_int16("of.i16", -30000)
writer.add_uint32("of.u32", 4000000000)
writer.add_int32("of.i32", -2000000000)
writer.add_uint64("of.u64", 2**64 - 1)
writer.add_int64("of.i64", -2**63)
writer.add_float32("of.f32", 0.1)
writer.add_float64("of.f64", 0.1)
writer.add_bool("of.bool", True)
writer.add_string("of.text", "größer")
writer.add_array("of.texts", ["a", "", "▁the"])
writer.add_array("of.numbers", [1.5, -2.0])
writer.add_custom_alignment(64)

expected = {}


def add(kind, data, values):
    name = f"{kind.name.lower()}.weight"
    writer.add_tensor(name, data, raw_dtype=kind)
    expected[name] = np.ascontiguousarray(values, dtype=np.float32)


for kind in [Type.F32, Type.F16, Type.BF16]:
    data = quants.quantize(rng.standard_normal((3, 2, 5), dtype=np.float32), kind)
    values = quants.dequantize(data, kind)
    add(kind, data.view(np.uint8) if kind == Type.BF16 else data, values)
for kind in [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]:
    data = quants.quantize(rng.standard_normal((2, 32), dtype=np.float32), kind)
    add(kind, data, quants.dequantize(data, kind))
# Where the scales of a block are.
for kind, scales in [(Type.Q2_K, [80, 82]), (Type.Q3_K, [108]), (Type.Q4_K, [0, 2]), (Type.Q5_K, [0, 2]), (Type.Q6_K, [208])]:
    data = rng.integers(0, 256, (2, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for at in scales:
        data[:, at : at + 2] = rng.standard_normal((2, 1)).astype("<f2").view(np.uint8)
    add(kind, data, quants.dequantize(data, kind))
for kind in [Type.IQ4_NL, Type.IQ4_XS]:
    data = rng.integers(0, 256, (2, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    data[:, :2] = rng.standard_normal((2, 1)).astype("<f2").view(np.uint8)
    add(kind, data, quants.dequantize(data, kind))
# Exponents near that of one, and the least.
data = rng.integers(0, 256, (2, 17), dtype=np.uint8)
data[:, 0] = [124, 1]
add(Type.MXFP4, data, quants.dequantize(data, Type.MXFP4))

writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, "types.safetensors")
