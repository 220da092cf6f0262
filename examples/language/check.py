"""Compares the examples with PyTorch, on weights of SmolLM2 and MiniLM (docs/language_models.md says how to get them).

    pip install torch transformers safetensors tokenizers gguf peft torchao
    python check.py folder MODEL.gguf FOLDER       a GGUF file of Llama's kind as a folder of Hugging Face's, in two shards
    python check.py logits FOLDER PROMPT OUT       `llama --logits OUT --prompt PROMPT` against transformers
    python check.py vectors FOLDER LINES OUT       `sentence --lines LINES --out OUT` against transformers
    python check.py quantized FOLDER FILE.gguf OUT the folder of a BERT with the weights that a GGUF file of it gives back
    python check.py likeness A B                   the cosines of the vectors that `sentence --out` wrote to both
    python check.py torchao FOLDER FILE TEXT [WINDOWS]     the perplexity of a file of `llama --torchao FILE --perplexity TEXT`
    python check.py adapters FOLDER ADAPTERS PROMPT OUT    the first with adapters that `llama --tune` wrote, read by peft
"""
import json
import sys
from pathlib import Path


def text(field):
    return field.contents()


def folder(path, out):
    import gguf
    import numpy as np
    import tokenizers
    import torch
    from safetensors.torch import save_file

    file, out = gguf.GGUFReader(path), Path(out)
    out.mkdir(exist_ok=True)
    of = lambda key: text(file.fields[key])
    size = lambda key: of(f"llama.{key}")
    heads, kv_heads = size("attention.head_count"), size("attention.head_count_kv")
    names = {
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head", "blk": "model.layers",
        "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }
    tensors = {}
    for tensor in file.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if "attn_q." in tensor.name or "attn_k." in tensor.name:
            # llama.cpp has neighbours turned together, transformers halves.
            n = heads if "attn_q." in tensor.name else kv_heads
            values = values.reshape(n, -1, 2, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)
        name = ".".join(names.get(part, part) for part in tensor.name.split("."))
        tensors[name] = torch.from_numpy(np.ascontiguousarray(values))
    shards = [dict(list(tensors.items())[i::2]) for i in range(2)]
    weight_map = {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05}-of-00002.safetensors"
        save_file(shard, out / name, metadata={"format": "pt"})
        weight_map |= {key: name for key in shard}
    index = {"metadata": {"total_size": sum(4 * t.numel() for t in tensors.values())}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))
    tokens = of("tokenizer.ggml.tokens")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(tokens),
        "hidden_size": size("embedding_length"), "intermediate_size": size("feed_forward_length"),
        "num_hidden_layers": size("block_count"), "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "rms_norm_eps": size("attention.layer_norm_rms_epsilon"), "rope_theta": size("rope.freq_base"),
        "hidden_act": "silu", "max_position_embeddings": size("context_length"),
        "tie_word_embeddings": "lm_head.weight" not in tensors, "eos_token_id": of("tokenizer.ggml.eos_token_id"),
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))
    merges = [tuple(pair.split(" ", 1)) for pair in of("tokenizer.ggml.merges")]
    made = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(True), tokenizers.pre_tokenizers.ByteLevel(False, use_regex=True)])
    made.decoder = tokenizers.decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, of("tokenizer.ggml.token_type")) if kind == 3]
    made.add_special_tokens(control)
    made.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps({"chat_template": of("tokenizer.chat_template")}))


def told(name, ours, theirs):
    most = (ours.double() - theirs.double()).abs().max().item()
    print(f"{name}: {most:.3g} apart at most, the largest is {theirs.abs().max().item():.4g}")


def logits(path, prompt, out, adapters=None):
    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    ids = Tokenizer.from_file(path + "/tokenizer.json").encode(prompt).ids
    model = LlamaForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    if adapters:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, adapters).eval()
    with torch.no_grad():
        told("logits", load_file(out)["logits"], model(torch.tensor([ids])).logits[0])


def vectors(path, lines, out):
    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertModel

    tokenizer = Tokenizer.from_file(path + "/tokenizer.json")
    tokenizer.enable_padding()
    tokenizer.enable_truncation(json.loads((Path(path) / "sentence_bert_config.json").read_text())["max_seq_length"])
    lines = dict.fromkeys(line.strip() for line in Path(lines).read_text().splitlines() if line.strip())
    found = tokenizer.encode_batch(list(lines))
    ids, mask = (torch.tensor([getattr(f, part) for f in found]) for part in ("ids", "attention_mask"))
    model = BertModel.from_pretrained(path, attn_implementation="eager").eval().double()
    with torch.no_grad():
        x = model(ids, attention_mask=mask).last_hidden_state
    mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    told("vectors", load_file(out)["vectors"], torch.nn.functional.normalize(mean, dim=1))


def quantized(path, file, out):
    import shutil

    import gguf
    import numpy as np
    from safetensors.numpy import load_file, save_file

    names = {
        "token_embd": "embeddings.word_embeddings", "position_embd": "embeddings.position_embeddings",
        "token_types": "embeddings.token_type_embeddings", "token_embd_norm": "embeddings.LayerNorm",
        "blk": "encoder.layer", "attn_q": "attention.self.query", "attn_k": "attention.self.key",
        "attn_v": "attention.self.value", "attn_output": "attention.output.dense",
        "attn_output_norm": "attention.output.LayerNorm", "ffn_up": "intermediate.dense", "ffn_down": "output.dense",
        "layer_output_norm": "output.LayerNorm",
    }
    shutil.copytree(path, out, dirs_exist_ok=True)
    tensors = load_file(Path(path, "model.safetensors"))
    for tensor in gguf.GGUFReader(file).tensors:
        name = ".".join(names.get(part, part) for part in tensor.name.split("."))
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        tensors[name] = np.ascontiguousarray(values.reshape(tensors[name].shape))
    save_file(tensors, Path(out, "model.safetensors"), metadata={"format": "pt"})


def likeness(a, b):
    import numpy as np
    from safetensors.numpy import load_file

    a, b = (load_file(path)["vectors"].astype(np.float64) for path in (a, b))
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    print(f"mean {cosines.mean():.5f}, least {cosines.min():.5f}")


def adapters(path, folder, prompt, out):
    logits(path, prompt, out, folder)


def torchao(path, file, text, windows="1000000"):
    import torch
    from safetensors import safe_open
    from tokenizers import Tokenizer
    from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict
    from transformers import AutoConfig, LlamaForCausalLM

    with safe_open(file, "pt") as opened:
        state, left = unflatten_tensor_state_dict({key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata())
    assert not left
    with torch.device("meta"):
        model = LlamaForCausalLM(AutoConfig.from_pretrained(path, attn_implementation="eager"))
    print(model.load_state_dict(state, strict=False, assign=True), state["model.layers.0.mlp.up_proj.weight"])
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    ids = torch.tensor(Tokenizer.from_file(path + "/tokenizer.json").encode(Path(text).read_text()).ids)
    losses = []
    with torch.no_grad():
        for window in ids.split(512)[: int(windows)]:
            if len(window) == 512:
                logits = model.eval()(window[None, :-1]).logits[0]
                losses.append(torch.nn.functional.cross_entropy(logits, window[1:]))
    print(f"perplexity {torch.stack(losses).mean().exp().item():.4f}")


globals()[sys.argv[1]](*sys.argv[2:])
