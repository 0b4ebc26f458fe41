"""Makes a small FLUX model with seeded random weights, as a diffusers folder.

    python tools/make_random_model.py SPEC.json OUT_FOLDER [--no-tokenizers]

SPEC.json holds what differs from DEFAULTS below, part by part, in the names of each part's own
config.json, and how to store it:

    {"seed": 1, "dtype": "bf16", "shard_kb": 200, "old_names": true,
     "transformer": {"num_attention_heads": 3}, "vae": {"use_quant_conv": true}, ...}

dtype: bf16, f16 or f32. shard_kb: cuts the transformer and T5 into files of at most so many KB, with
an index. old_names: the tensor names of checkpoints made before transformers 5 ("text_model." before
CLIP's; T5's embedding also as "encoder.embed_tokens.weight"), as FLUX.1's own.

joint_attention_dim and pooled_projection_dim follow the text encoders; vocabularies are those of the
tokenizers of models/emoji-flux, which are copied into the folder. Weights are scaled so that
activations, attention scores, modulation and picture keep the sizes that trained models have.
"""

import argparse
import json
import math
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

BUNDLED = pathlib.Path(__file__).resolve().parents[1] / "models/emoji-flux"
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
DEFAULTS = {
    "transformer": {
        "num_attention_heads": 2, "attention_head_dim": 16, "axes_dims_rope": [4, 6, 6],
        "num_layers": 1, "num_single_layers": 1, "guidance_embeds": False, "in_channels": 64,
    },
    "text_encoder": {
        "hidden_size": 16, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
        "vocab_size": 2276, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
        "bos_token_id": 2274, "eos_token_id": 2275, "pad_token_id": 2275,
    },
    "text_encoder_2": {
        "d_model": 24, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 3,
        "feed_forward_proj": "gated-gelu", "vocab_size": 1114, "dropout_rate": 0.0,
    },
    "vae": {
        "block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 2,
        "latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159,
        "use_quant_conv": False, "use_post_quant_conv": False, "force_upcast": False,
        "mid_block_add_attention": True, "sample_size": 64,
    },
    "scheduler": {"shift": 1.0, "use_dynamic_shifting": False},
}
MODEL_INDEX = {
    "_class_name": "FluxPipeline",
    "_diffusers_version": "0.42.1",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


@torch.no_grad()
def randomize(module, generator):
    """Weights with unit gain, norms near 1, small biases."""
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            value = 1 + 0.1 * noise if name.endswith("weight") else 0.1 * noise
        elif "embedding.weight" in name and "position" in name:
            value = 0.2 * noise
        elif "embedding.weight" in name or name == "shared.weight":
            value = noise
        elif "relative_attention_bias" in name:
            value = noise
        else:
            value = noise / math.sqrt(parameter[0].numel())
            if name.endswith("SelfAttention.q.weight"):  # T5 does not scale its scores
                value /= math.sqrt(module.config.d_kv)
        parameter.copy_(value)


def part_configs(spec):
    configs = {part: {**defaults, **spec.get(part, {})} for part, defaults in DEFAULTS.items()}
    configs["transformer"].setdefault("joint_attention_dim", configs["text_encoder_2"]["d_model"])
    configs["transformer"].setdefault("pooled_projection_dim", configs["text_encoder"]["hidden_size"])
    blocks = len(configs["vae"]["block_out_channels"])
    configs["vae"]["down_block_types"] = ["DownEncoderBlock2D"] * blocks
    configs["vae"]["up_block_types"] = ["UpDecoderBlock2D"] * blocks
    return configs


def use_old_names(folder):
    path = folder / "text_encoder/model.safetensors"
    save_file({"text_model." + name: t for name, t in load_file(path).items()}, path, {"format": "pt"})
    path = folder / "text_encoder_2/model.safetensors"
    tensors = load_file(path)
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
    save_file(tensors, path, {"format": "pt"})


def make_model(spec, folder, with_tokenizers=True):
    folder = pathlib.Path(folder)
    if unknown := set(spec) - set(DEFAULTS) - {"seed", "dtype", "shard_kb", "old_names"}:
        raise SystemExit(f"spec: unknown keys {sorted(unknown)}")
    if spec.get("old_names") and spec.get("shard_kb"):
        raise SystemExit("spec: old_names and shard_kb exclude each other")
    configs = part_configs(spec)
    modules = {
        "transformer": FluxTransformer2DModel(**configs["transformer"]),
        "vae": AutoencoderKL(**configs["vae"]),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**configs["text_encoder"])),
        "text_encoder_2": T5EncoderModel(T5Config(**configs["text_encoder_2"])),
    }
    generator = torch.Generator("cpu").manual_seed(spec.get("seed", 0))
    shard = {"max_shard_size": f"{spec['shard_kb']}KB"} if "shard_kb" in spec else {}
    for part, module in modules.items():
        randomize(module, generator)
        module.to(DTYPES[spec.get("dtype", "bf16")])
        module.save_pretrained(folder / part, **(shard if part in ("transformer", "text_encoder_2") else {}))
    FlowMatchEulerDiscreteScheduler(**configs["scheduler"]).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX, indent=2) + "\n")
    if spec.get("old_names"):
        use_old_names(folder)
    if with_tokenizers:
        for part in ("tokenizer", "tokenizer_2"):
            shutil.copytree(BUNDLED / part, folder / part, dirs_exist_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--no-tokenizers", action="store_true", help="leave the tokenizer folders out")
    args = parser.parse_args()
    make_model(json.loads(args.spec.read_text()), args.out, with_tokenizers=not args.no_tokenizers)


if __name__ == "__main__":
    main()
