#!/usr/bin/env python3
"""Writes a Gemma verifier in the two NVFP4 layouts that are published for the 31B, with the tools that
made those, so that Talon's loading can be compared with the tools' own dequantization.

  OUT/compressed-tensors   all linears, as RedHat publishes it (PyPI's compressed-tensors)
  OUT/modelopt             MLP only and FP8 KV scales, as NVIDIA publishes it (PyPI's nvidia-modelopt)

Both are nested like a multimodal checkpoint (`model.language_model.`, `text_config`) and carry a vision
tensor that a reader must ignore. Beside each lies `reference.safetensors`: `weight.<module>`, the tool's
float32 dequantization of every quantized linear, and `input_ids`, `logits_fp32` of transformers with
these weights in float32 (W4A16).

    pip install torch==2.13.0 transformers==5.19.0 compressed-tensors==0.17.0 nvidia-modelopt==0.47.0
    scripts/dev/write_verifier_layouts.py --verifier ../shared/models/tiny-gemma4/verifier --out OUT
    TALON_VERIFIER_LAYOUTS=OUT build/release/tests/talon_checkpoint_test --gtest_filter='*VerifierLayout*'
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
NUM_CONVERSATIONS = 16
MAX_TOKENS = 256
MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def load_model(verifier, dtype=torch.bfloat16):
    model = AutoModelForCausalLM.from_pretrained(
        verifier, dtype=dtype, attn_implementation="eager"
    )
    return model.eval()


def read_conversations(verifier, path):
    """Token ids [1, n] of the first conversations, in the verifier's chat format."""
    tokenizer = AutoTokenizer.from_pretrained(verifier)
    lines = Path(path).read_text(encoding="utf-8").splitlines()[:NUM_CONVERSATIONS]
    conversations = []
    for line in lines:
        text = tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:MAX_TOKENS]
        conversations.append(torch.tensor([ids]))
    return conversations


def text_linears(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    }


def share_group(name):
    """Linears of one group run as one: they share their global scales."""
    for members, group in (
        (("q_proj", "k_proj", "v_proj"), "qkv"),
        (("gate_proj", "up_proj"), "gate_up"),
    ):
        if name.endswith(members):
            return name.rsplit(".", 1)[0] + "." + group
    return name


def input_maxima(model, conversations):
    """max |x| of every linear's input over the calibration conversations."""
    maxima = {}
    handles = []
    for name, module in text_linears(model).items():

        def observe(_, inputs, name=name):
            largest = inputs[0].abs().max().float()
            maxima[name] = torch.maximum(maxima.get(name, largest), largest)

        handles.append(module.register_forward_pre_hook(observe))
    with torch.no_grad():
        for ids in conversations:
            model(ids)
    for handle in handles:
        handle.remove()
    return maxima


def shared_maxima(maxima):
    groups = {}
    for name, value in maxima.items():
        group = share_group(name)
        groups[group] = torch.maximum(groups.get(group, value), value)
    return {name: groups[share_group(name)] for name in maxima}


def nested_name(name):
    return name.replace("model.", "model.language_model.", 1)


def nest(folder, vision_pattern):
    """Turns a text-only checkpoint folder into the published multimodal form."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    nested = {
        nested_name(name): tensor
        for name, tensor in tensors.items()
        if name != "lm_head.weight"  # tied
    }
    nested["model.vision_tower.patch_embedder.input_proj.weight"] = torch.zeros(
        4, 4, dtype=torch.bfloat16
    )
    save_file(nested, path, metadata={"format": "pt"})
    text = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    quantization = text.pop("quantization_config")
    quantization["ignore"] = [nested_name(n) for n in quantization["ignore"]] + [vision_pattern]
    outer = {
        "architectures": ["Gemma4ForConditionalGeneration"],
        "model_type": "gemma4",
        "audio_config": None,
        "vision_config": {"model_type": "gemma4_vision"},
        "tie_word_embeddings": True,
        "eos_token_id": text["eos_token_id"],
        "quantization_config": quantization,
        "text_config": text,
    }
    (folder / "config.json").write_text(json.dumps(outer, indent=2), encoding="utf-8")


def write_reference(verifier, folder, weights, ids):
    """`weights`: float32 dequantization of every quantized linear."""
    model = load_model(verifier, torch.float32)
    linears = text_linears(model)
    with torch.no_grad():
        for name, weight in weights.items():
            linears[name].weight.copy_(weight)
        logits = model(ids).logits.float()
    tensors = {f"weight.{name}": weight.contiguous() for name, weight in weights.items()}
    tensors["input_ids"] = ids.to(torch.int32)
    tensors["logits_fp32"] = logits.contiguous()
    save_file(tensors, folder / "reference.safetensors")


def copy_texts(verifier, folder):
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
    ):
        shutil.copyfile(Path(verifier) / name, folder / name)


def write_compressed_tensors(verifier, conversations, folder):
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    from compressed_tensors.quantization import (
        QuantizationConfig,
        QuantizationScheme,
        apply_quantization_config,
        preset_name_to_scheme,
    )
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    model = load_model(verifier)
    linears = text_linears(model)
    inputs = shared_maxima(input_maxima(model, conversations))
    weights = shared_maxima({n: m.weight.detach().abs().max().float() for n, m in linears.items()})
    scheme: QuantizationScheme = preset_name_to_scheme("NVFP4", ["Linear"])
    config = QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"])
    apply_quantization_config(model, config)
    with torch.no_grad():
        for name, module in linears.items():
            blocks = module.weight.detach().unflatten(-1, (-1, 16)).float()
            module.weight_global_scale.copy_(generate_gparam(-weights[name], weights[name]))
            scale, _ = calculate_qparams(
                blocks.amin(-1), blocks.amax(-1), scheme.weights, module.weight_global_scale
            )
            module.weight_scale.copy_(scale)
            module.input_global_scale.copy_(generate_gparam(-inputs[name], inputs[name]))
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)

    tensors = load_file(folder / "model.safetensors")
    dequantized = {}
    for name in linears:
        packed = tensors[f"{name}.weight_packed"]
        values = unpack_fp4_from_uint8(packed, packed.shape[0], packed.shape[1] * 2, torch.float32)
        dequantized[name] = dequantize(
            x_q=values,
            scale=tensors[f"{name}.weight_scale"].float(),
            global_scale=tensors[f"{name}.weight_global_scale"],
            args=scheme.weights,
            dtype=torch.float32,
        )
    nest(folder, "re:.*vision.*")
    copy_texts(verifier, folder)
    write_reference(verifier, folder, dequantized, conversations[0])


def write_modelopt(verifier, conversations, folder):
    import modelopt.torch.quantization as mtq
    from modelopt.torch.export import export_hf_checkpoint
    from modelopt.torch.quantization.qtensor import NVFP4QTensor

    model = load_model(verifier)
    linears = [name for name in text_linears(model) if name.endswith(MLP)]
    config = dict(mtq.NVFP4_MLP_ONLY_CFG)
    config["quant_cfg"] = list(config["quant_cfg"]) + list(mtq.FP8_KV_CFG["quant_cfg"])

    def calibrate(quantized):
        with torch.no_grad():
            for ids in conversations:
                quantized(ids)

    mtq.quantize(model, config, calibrate)
    export_hf_checkpoint(model, dtype=torch.bfloat16, export_dir=folder)

    tensors = load_file(folder / "model.safetensors")
    dequantized = {}
    for name in linears:
        packed = tensors[f"{name}.weight"]
        shape = (packed.shape[0], packed.shape[1] * 2)
        dequantized[name] = NVFP4QTensor(shape, torch.float32, packed).dequantize(
            dtype=torch.float32,
            scale=tensors[f"{name}.weight_scale"],
            double_scale=tensors[f"{name}.weight_scale_2"],
            block_sizes={-1: 16},
        )
    nest(folder, "model.vision_tower*")
    copy_texts(verifier, folder)
    write_reference(verifier, folder, dequantized, conversations[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verifier", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--calibration", type=Path, default=ROOT / "models/demo/calibration.jsonl"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    conversations = read_conversations(arguments.verifier, arguments.calibration)
    for name, write in (
        ("compressed-tensors", write_compressed_tensors),
        ("modelopt", write_modelopt),
    ):
        folder = arguments.out / name
        folder.mkdir(parents=True)
        write(arguments.verifier, conversations, folder)
        print(f"wrote {folder}")


if __name__ == "__main__":
    main()
