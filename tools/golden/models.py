"""Writes tests/golden/models: small random models and what diffusers makes of them, stage by stage.

    python tools/golden/models.py [CASE...]

Each case is a folder with case.json (what to generate; "model" relative to the repository's root),
stages.safetensors (what diffusers' float32 pipeline gave, see tools/reference_dump.py) and, for the
random models, model/: a diffusers folder without its tokenizers, which are models/emoji-flux's.
To keep files small the cases of the bundled model keep no noise, every TOKEN_STRIDE-th token of
velocity and latents, and every PIXEL_STRIDE-th row and column of the image; case.json says so.

Prints, per case, the size and the largest relative distance from the same pipeline in float64: how
far float32 itself is from the truth, to be seen against the bar of 1e-4.
"""

import json
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import diffusers
import torch
import transformers
from compare_stages import relative_error, thin_out
from make_random_model import make_model
from reference_dump import load_pipeline, run_stages
from safetensors.torch import save_file

OUT = ROOT / "tests/golden/models"
BUNDLED = ROOT / "models/emoji-flux"
TOKEN_STRIDE, PIXEL_STRIDE = 7, 5
DYNAMIC = {"shift": 3.0, "use_dynamic_shifting": True}
LONG_PROMPT = " and ".join(
    f"{a} {b} on a {c} background" for c in ("red", "teal", "pink") for a, b in
    (("two", "green apples"), ("a rocket", "with café flames"), ("the ‘big’", "fox 🦊"), ("7", "snowflakes!")))

# name: (what it covers, model spec, generation)
CASES = {
    "schnell-16x2": (
        "the plainest: two heads of 16, one block of each kind, even steps; stored as float32",
        {"seed": 1, "dtype": "f32", "text_encoder": {"hidden_size": 12}, "text_encoder_2": {"d_model": 12}},
        {"prompt": "a red apple", "width": 64, "height": 64, "steps": 4, "seed": 1, "max_text_tokens": 16}),
    "dev-32x1": (
        "dev: one head of 32, guidance embedding, dynamic shift, 8 steps, wide; tensor names and CLIP's eos_token_id 2 as in FLUX.1",
        {"seed": 2, "old_names": True,
         "transformer": {"num_attention_heads": 1, "attention_head_dim": 32, "axes_dims_rope": [8, 12, 12],
                         "guidance_embeds": True, "num_single_layers": 2},
         "text_encoder": {"eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1, "num_hidden_layers": 2},
         "text_encoder_2": {"num_layers": 2}, "scheduler": DYNAMIC},
        {"prompt": "a rocket and a fox on a teal background", "width": 112, "height": 48, "steps": 8, "seed": 2**32 - 1,
         "guidance": 3.5, "max_text_tokens": 48}),
    "double-64x1": (
        "one head of 64, no single block; both quant convolutions, no shift of latents; tall; one step",
        {"seed": 3,
         "transformer": {"num_attention_heads": 1, "attention_head_dim": 64, "axes_dims_rope": [16, 24, 24],
                         "num_layers": 1, "num_single_layers": 0},
         "vae": {"block_out_channels": [4, 8, 8, 16], "norm_num_groups": 4, "use_quant_conv": True,
                 "use_post_quant_conv": True, "shift_factor": 0.0, "scaling_factor": 0.18215}},
        {"prompt": "snowman", "width": 32, "height": 112, "steps": 1, "seed": 3, "max_text_tokens": 8}),
    "single-40x1": (
        "one head of 40, no double block, two single; T5 with plain ReLU; shift 3 without dynamic shifting; empty prompt",
        {"seed": 4,
         "transformer": {"num_attention_heads": 1, "attention_head_dim": 40, "axes_dims_rope": [8, 16, 16],
                         "num_layers": 0, "num_single_layers": 2},
         "text_encoder_2": {"feed_forward_proj": "relu", "d_ff": 96}, "scheduler": {"shift": 3.0}},
        {"prompt": "", "width": 48, "height": 48, "steps": 2, "seed": 0, "max_text_tokens": 16}),
    "batch-24x2": (
        "batch 3; two heads of 24, equal RoPE axes; CLIP with GELU and three layers",
        {"seed": 5,
         "transformer": {"attention_head_dim": 24, "axes_dims_rope": [8, 8, 8]},
         "text_encoder": {"hidden_act": "gelu", "num_hidden_layers": 3, "num_attention_heads": 4}},
        {"prompt": "two cats", "width": 32, "height": 48, "steps": 3, "seed": 2**63 - 2, "batch": 3, "max_text_tokens": 24}),
    "vae-deep": (
        "VAE with two layers per block, post-quant convolution only, negative shift; four heads of 8; sharded files",
        {"seed": 6, "shard_kb": 60,
         "transformer": {"num_attention_heads": 4, "attention_head_dim": 8, "axes_dims_rope": [2, 2, 4], "num_layers": 2},
         "vae": {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 2, "norm_num_groups": 8, "use_post_quant_conv": True,
                 "scaling_factor": 0.9, "shift_factor": -0.3}},
        {"prompt": "a pink star on a black background", "width": 64, "height": 48, "steps": 5, "seed": 6, "max_text_tokens": 32}),
    "vae-shallow": (
        "VAE with three blocks (latents a quarter as wide), no attention; linear dynamic shift with bounds of its own; float16",
        {"seed": 7, "dtype": "f16",
         "transformer": {"num_attention_heads": 3, "guidance_embeds": True, "attention_head_dim": 12,
                         "axes_dims_rope": [4, 4, 4]},
         "vae": {"block_out_channels": [8, 16, 16], "norm_num_groups": 2, "mid_block_add_attention": False},
         "scheduler": {**DYNAMIC, "time_shift_type": "linear", "base_shift": 0.7, "max_shift": 1.8, "base_image_seq_len": 16,
                       "max_image_seq_len": 400, "shift_terminal": 0.05}},
        {"prompt": "a sunflower", "width": 48, "height": 32, "steps": 6, "seed": 7, "guidance": 1.5, "max_text_tokens": 20}),
    "long-text": (
        "both texts cut: 90 T5 tokens, 77 CLIP tokens; four T5 layers, 16 buckets, heads wider than the model",
        {"seed": 8,
         "transformer": {"num_attention_heads": 2, "attention_head_dim": 20, "axes_dims_rope": [4, 8, 8], "num_single_layers": 2},
         "text_encoder_2": {"num_layers": 4, "d_kv": 16, "num_heads": 3, "relative_attention_num_buckets": 16,
                            "relative_attention_max_distance": 40}},
        {"prompt": LONG_PROMPT, "width": 64, "height": 32, "steps": 2, "seed": 8, "max_text_tokens": 90}),
    "clip-eos": (
        "CLIP pooled at the first of another id (here the word apple); 300 text tokens; RoPE axes all different; batch 2",
        {"seed": 9,
         "transformer": {"num_attention_heads": 1, "attention_head_dim": 28, "axes_dims_rope": [4, 8, 16]},
         "text_encoder": {"eos_token_id": 1084, "hidden_size": 24, "num_attention_heads": 3},
         "text_encoder_2": {"d_model": 16, "num_layers": 2}},
        {"prompt": "one green apple, one red apple", "width": 48, "height": 32, "steps": 2, "seed": 2**64 - 2, "batch": 2,
         "max_text_tokens": 300}),
}
BUNDLED_CASES = {
    "emoji-apple": {"prompt": "red apple", "width": 256, "height": 256, "steps": 4, "seed": 0, "max_text_tokens": 64},
    "emoji-pair": {"prompt": "rocket and fox on a teal background", "width": 256, "height": 256, "steps": 4, "seed": 42,
                   "max_text_tokens": 64},
    "emoji-wide": {"prompt": "Birthday cake", "width": 256, "height": 128, "steps": 3, "seed": 7, "max_text_tokens": 64},
}


def float64_distance(model, generation, stages):
    exact = run_stages(load_pipeline(model, "f64"), **generation)
    return max(relative_error(stages[name], exact[name]) for name in stages)


def write_case(folder, case, model, generation):
    stages = run_stages(load_pipeline(model), **generation)
    print(f"{folder.name:14} {float64_distance(model, generation, stages):.1e} from float64", end="", flush=True)
    spread = stages["image"].std().item()
    inside = ((stages["image"] > 0) & (stages["image"] < 1)).float().mean().item()
    print(f", image deviation {spread:.2f}, {inside:.0%} unclipped", end="")
    save_file(thin_out(stages, case), folder / "stages.safetensors")
    (folder / "case.json").write_text(json.dumps(case, indent=2, ensure_ascii=False) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f", {size / 1e3:.0f} kB")


def random_case(name):
    about, spec, generation = CASES[name]
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    make_model(spec, folder / "model", with_tokenizers=False)
    with tempfile.TemporaryDirectory() as whole:
        shutil.copytree(folder / "model", whole, dirs_exist_ok=True)
        for part in ("tokenizer", "tokenizer_2"):
            shutil.copytree(BUNDLED / part, pathlib.Path(whole) / part)
        case = {"about": about, "model": f"tests/golden/models/{name}/model", "tokenizers": "models/emoji-flux", **generation}
        write_case(folder, case, whole, generation)


def bundled_case(name):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    case = {"about": "the bundled model", "model": "models/emoji-flux", **BUNDLED_CASES[name],
            "token_stride": TOKEN_STRIDE, "pixel_stride": PIXEL_STRIDE}
    write_case(folder, case, BUNDLED, BUNDLED_CASES[name])


def readme():
    yield "# Golden pictures, stage by stage"
    yield ""
    yield "Written by `python tools/golden/models.py` (this page too); packages: tools/requirements.txt. What diffusers makes, in"
    yield "float32 on one thread, of small random models (`model/`, a diffusers folder without its tokenizers: those of"
    yield "`\"tokenizers\"` in case.json belong in it) and of the bundled model. `stages.safetensors` holds the tensors of"
    yield "`fluxq generate --scheme f32 --dump` (DESIGN.md) for the request in `case.json`; the bar is 1e-4 of the largest value"
    yield "per tensor and 60 dB for the image. float32 itself is within 1e-5 of float64 in all of them."
    yield ""
    yield f"Cases of the bundled model leave `noise` out, and keep each {TOKEN_STRIDE}th token of `velocity.I` and `latents.I` and each"
    yield f"{PIXEL_STRIDE}th row and column of `image`, from the first (`token_stride`, `pixel_stride` in case.json)."
    yield ""
    yield "| case | covers | size | steps | batch | text tokens |"
    yield "|---|---|---|---|---|---|"
    for name, (about, _, generation) in CASES.items():
        yield readme_row(name, about, generation)
    for name, generation in BUNDLED_CASES.items():
        yield readme_row(name, f"the bundled model: \"{generation['prompt']}\"", generation)


def readme_row(name, about, g):
    return f"| {name} | {about} | {g['width']} x {g['height']} | {g['steps']} | {g.get('batch', 1)} | {g['max_text_tokens']} |"


def main():
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)  # so that the bytes do not depend on the machine's cores
    for name in sys.argv[1:] or [*CASES, *BUNDLED_CASES]:
        bundled_case(name) if name in BUNDLED_CASES else random_case(name)
    (OUT / "README.md").write_text("\n".join(readme()) + "\n")


if __name__ == "__main__":
    main()
