#!/usr/bin/env python3
"""Compares what `talon quantize` wrote with NVIDIA ModelOpt itself, on a CPU.

    pip install torch==2.13.0 transformers==5.19.0 nvidia-modelopt==0.47.0
    scripts/dev/check_modelopt.py [--talon PROGRAM] [--shared DIR] [--work DIR]

 1. ModelOpt quantizes the tiny drafter as tests/data/modelopt-nvfp4-drafter was made (its NVFP4_DEFAULT_CFG,
    max calibration on the tokens of calib_tokens.json) and exports it; `talon quantize --amax` with the ranges
    it found writes the same tensors.
 2. mto.restore_from_modelopt_state accepts Talon's modelopt_state.pt (W4A4 and W4A16 forms); ModelOpt's export
    of the model restored from it, with the maxima of Talon's provenance record, has the bytes of Talon's.
 3. transformers' AutoConfig loads Talon's folder with trust_remote_code.
Prints one line each and exits with 1 when something differs. A development check: Talon needs none of it.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import modelopt.torch.opt as mto
import modelopt.torch.quantization as mtq
import torch
import torch.nn.functional as F
from modelopt.torch.export import export_hf_checkpoint
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, PreTrainedModel

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/data/modelopt-nvfp4-drafter"
DRAFTER = ROOT / "models/demo/drafter"


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * self.weight.float()).to(x.dtype)


class AttentionPart(nn.Module):  # ModelOpt would put quantizers into a class named ...Attention
    def __init__(self, config):
        super().__init__()
        self.config = config
        size = config.num_attention_heads * config.head_dim
        kv_size = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(2 * config.hidden_size, size, bias=False)
        self.k_proj = nn.Linear(2 * config.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(2 * config.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(size, config.hidden_size, bias=False)

    def rotate(self, x):
        half = self.config.head_dim // 2
        inverse = 10000.0 ** (-torch.arange(half, dtype=torch.float32) / half)
        angles = torch.arange(x.shape[-2], dtype=torch.float32)[:, None] * inverse
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x[..., :half], x[..., half:]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def forward(self, x):
        batch, length, _ = x.shape

        def heads(y):
            return y.view(batch, length, -1, self.config.head_dim).transpose(1, 2)

        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        q, k = self.rotate(q), self.rotate(k)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o_proj(x.transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        for name in ("input_layernorm", "hidden_norm", "post_attention_layernorm"):
            setattr(self, name, RmsNorm(config.hidden_size, config.rms_norm_eps))
        self.self_attn = AttentionPart(config)
        self.mlp = Mlp(config)

    def forward(self, embedded, hidden):
        residual = self.hidden_norm(hidden)
        x = torch.cat([self.input_layernorm(embedded), residual], -1)
        x = residual + self.self_attn(x)
        return x + self.mlp(self.post_attention_layernorm(x))


class Drafter(PreTrainedModel):
    """An EAGLE-3 drafter with the module names of the speculators format."""

    config_class = LlamaConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.fc = nn.Linear(3 * config.hidden_size, config.hidden_size, bias=False)
        self.layers = nn.ModuleList([Layer(config)])
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.draft_vocab_size, bias=False)
        self.register_buffer("d2t", torch.zeros(config.draft_vocab_size, dtype=torch.int64))
        self.register_buffer("t2d", torch.zeros(config.vocab_size, dtype=torch.bool))
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids, features):
        x = self.layers[0](self.embed_tokens(input_ids), self.fc(features))
        return self.lm_head(self.norm(x))

    def get_dummy_inputs(self):
        return {
            "input_ids": torch.tensor([[1, 2]]),
            "features": torch.ones(1, 2, self.fc.in_features, dtype=self.fc.weight.dtype),
        }


def load_drafter():
    speculators = json.loads((DRAFTER / "config.json").read_text())
    config = LlamaConfig(**speculators["transformer_layer_config"])
    config.draft_vocab_size = speculators["draft_vocab_size"]
    config.architectures = ["Drafter"]
    model = Drafter(config).to(torch.bfloat16)
    model.load_state_dict(load_file(DRAFTER / "model.safetensors"))
    return model.eval()


@torch.no_grad()
def features_of(verifier, ids):
    states = verifier(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return torch.cat([states[i].to(torch.bfloat16) for i in (2, 4, 5)], -1)


def calibrated(verifier_path, config, conversations):
    """The drafter quantized by ModelOpt; first passes over what the float32 verifier computes."""
    verifier = AutoModelForCausalLM.from_pretrained(
        verifier_path, dtype=torch.float32, attn_implementation="eager"
    ).eval()

    @torch.no_grad()
    def forward_loop(model):
        for ids in conversations:
            model(torch.tensor([ids[1:]]), features_of(verifier, ids)[:, :-1])

    return mtq.quantize(load_drafter(), config, forward_loop)


def restored(folder):
    """The drafter wrapped by Talon's modelopt_state.pt, with Talon's maxima."""
    model = load_drafter()
    state = torch.load(folder / "modelopt_state.pt", weights_only=True)
    mto.restore_from_modelopt_state(model, state)
    linears = json.loads((folder / "talon_provenance.json").read_text())["linears"]
    for name, linear in linears.items():
        module = model.get_submodule(name)
        module.weight_quantizer.amax = torch.tensor(linear["weight_amax"], dtype=torch.bfloat16)
        if "input_amax" in linear:
            module.input_quantizer.amax = torch.tensor(linear["input_amax"], dtype=torch.bfloat16)
    return model


def exported(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    export_hf_checkpoint(model, export_dir=folder)
    return load_file(folder / "model.safetensors")


def input_maxima(model):
    return {
        name.removesuffix(".input_quantizer"): module.amax.item()
        for name, module in model.named_modules()
        if name.endswith(".input_quantizer") and module.is_enabled
    }


def as_bytes(tensor):
    return tensor.reshape(-1).view(torch.uint8)


class Checks:
    def __init__(self):
        self.failed = False

    def report(self, passed, what):
        print(f"{'same' if passed else 'DIFFERS'}: {what}", flush=True)
        self.failed |= not passed

    def compare(self, ours, theirs, what):
        different = [
            name
            for name in sorted(ours.keys() | theirs.keys())
            if name not in ours
            or name not in theirs
            or ours[name].dtype != theirs[name].dtype
            or not torch.equal(as_bytes(ours[name]), as_bytes(theirs[name]))
        ]
        self.report(not different, f"{what}: {len(ours)} tensors, different: {different or 'none'}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--talon", type=Path, default=ROOT / "build/release/bin/talon")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--work", type=Path, default=ROOT / "build/modelopt")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    checks = Checks()

    def quantize(name, *flags):
        shutil.rmtree(work / name, ignore_errors=True)
        command = [arguments.talon, "--quiet", "quantize", DRAFTER, "--embedding", "keep"]
        command += ["--output", work / name, *flags]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
        return work / name

    conversations = json.loads((GOLDEN / "calib_tokens.json").read_text())["tokens"]
    verifier = arguments.shared / "models/tiny-gemma4/verifier"
    model = calibrated(verifier, mtq.NVFP4_DEFAULT_CFG, conversations)
    maxima = input_maxima(model)
    golden = json.loads((GOLDEN / "amax.json").read_text())["calibrated"]
    checks.report(
        all(float(golden[f"{name}.input_quantizer"]["decimal"]) == v for name, v in maxima.items()),
        f"input maxima of this run and of amax.json: {maxima}",
    )
    (work / "amax.json").write_text(json.dumps(maxima))
    theirs = exported(model, work / "theirs")
    w4a4 = quantize("w4a4", "--amax", work / "amax.json")
    checks.compare(load_file(w4a4 / "model.safetensors"), theirs, "Talon and ModelOpt, W4A4")

    w4a16 = quantize("w4a16", "--recipe", "w4a16")
    for folder in (w4a4, w4a16):
        ours = load_file(folder / "model.safetensors")
        again = exported(restored(folder), work / f"{folder.name}-restored")
        checks.compare(ours, again, f"restored from Talon's modelopt_state.pt, {folder.name}")

    config = AutoConfig.from_pretrained(w4a4, trust_remote_code=True)
    checks.report(
        config.draft_vocab_size == 4096 and config.quantization_config["quant_algo"] == "NVFP4",
        f"AutoConfig loads {type(config).__name__} with trust_remote_code",
    )
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
