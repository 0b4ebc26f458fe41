"""Writes tests/golden/models_units.safetensors: what diffusers and transformers say that the small parts of src/models are,
and the token ids of the prompts in tests/golden/models.

    python tools/golden/models_units.py

- bucket_starts.B.M [n, 2]: for a T5 with B buckets up to distance M, each distance in -1000 ... 1000 at which the bucket
  changes, and the bucket from there on
- sinusoid.in [n], sinusoid.out [n, 256]: FLUX's embedding of numbers
- time.in [n], time.bf16 [n], guidance.bf16 [n]: what its transformer makes of times and guidance scales in bfloat16
- rope.A-B-C.TxHxW.cos, .sin [tokens, dim / 2]: FLUX's rotary table for T text tokens and H x W image tokens
- flops.t5, .clip, .transformer, .vae [1], float64: what torch counts for the bundled model, 256 x 256, 64 text tokens
- ids.CASE.clip, ids.CASE.t5 [tokens]: what FluxPipeline's tokenizers give for a case
"""

import json
import pathlib

import torch
from diffusers import FluxPipeline
from diffusers.models.embeddings import Timesteps
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTokenizer, T5TokenizerFast
from transformers.models.t5.modeling_t5 import T5Attention

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = ROOT / "tests/golden/models"


def bucket_starts(buckets, max_distance):
    distances = torch.arange(-1000, 1001)
    of = T5Attention._relative_position_bucket(distances, True, buckets, max_distance)
    starts = torch.cat([torch.tensor([True]), of[1:] != of[:-1]])
    return torch.stack([distances[starts], of[starts]], dim=1).to(torch.int32)


def sinusoids():
    values = torch.tensor([1000.0, 752.25, 500.0, 250.125, 0.0, 1e-3, 3500.0])
    return {"sinusoid.in": values, "sinusoid.out": Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)(values)}


def bf16_numbers():
    # FluxPipeline.__call__ and FluxTransformer2DModel.forward, with latents in bfloat16
    times = torch.tensor([1000.0, 999.5, 752.25, 751.0, 500.0, 333.4, 251.0, 1.0, 3.5, 0.1, 30.0])
    model = (times.to(torch.bfloat16) / 1000).to(torch.bfloat16) * 1000
    return {"time.in": times, "time.bf16": model.float(), "guidance.bf16": (times.to(torch.bfloat16) * 1000).float()}


def rope(axes, text, height, width):
    ids = torch.cat([torch.zeros(text, 3), FluxPipeline._prepare_latent_image_ids(1, height, width, "cpu", torch.float32)])
    cos, sin = FluxPosEmbed(10000, axes)(ids)
    name = f"rope.{'-'.join(map(str, axes))}.{text}x{height}x{width}"
    return {f"{name}.cos": cos[:, ::2].contiguous(), f"{name}.sin": sin[:, ::2].contiguous()}


def token_ids():
    result = {}
    for file in sorted(CASES.glob("*/case.json")):
        case = json.loads(file.read_text())
        folder = ROOT / case.get("tokenizers", case["model"])
        clip = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        t5 = T5TokenizerFast.from_pretrained(folder / "tokenizer_2")
        for name, tokenizer, length in (("clip", clip, 77), ("t5", t5, case["max_text_tokens"])):
            ids = tokenizer([case["prompt"]], padding="max_length", max_length=length, truncation=True).input_ids[0]
            result[f"ids.{file.parent.name}.{name}"] = torch.tensor(ids, dtype=torch.int32)
    return result


def flops():
    pipeline = FluxPipeline.from_pretrained(ROOT / "models/emoji-flux", dtype=torch.float32, local_files_only=True)
    counts = {}

    def count(name, model, *inputs, **named):
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(*inputs, **named)
        counts[f"flops.{name}"] = torch.tensor([counter.get_total_flops()], dtype=torch.float64)

    count("t5", pipeline.text_encoder_2, torch.ones(1, 64, dtype=torch.int64))
    count("clip", pipeline.text_encoder, torch.ones(1, 77, dtype=torch.int64))
    count("transformer", pipeline.transformer, torch.zeros(1, 256, 64), torch.zeros(1, 64, 256), torch.zeros(1, 128),
          torch.ones(1), torch.zeros(256, 3), torch.zeros(64, 3))
    count("vae", pipeline.vae.decode, torch.zeros(1, 16, 32, 32))
    return counts


tensors = flops() | sinusoids() | bf16_numbers() | rope([16, 56, 56], 2, 3, 5) | rope([4, 8, 16], 0, 70, 1) | token_ids()
for buckets, max_distance in ((32, 128), (16, 40), (33, 100), (4, 2), (128, 1000)):
    tensors[f"bucket_starts.{buckets}.{max_distance}"] = bucket_starts(buckets, max_distance)
save_file(tensors, ROOT / "tests/golden/models_units.safetensors")
