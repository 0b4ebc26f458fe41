#!/usr/bin/env python3
"""The weights of fluxq's synthetic models (models/synthetic) for torch: the same bits as src/models/synthetic.cc.

load("flux-tiny") gives diffusers' and transformers' modules with these weights, on any torch device, without a download.
As a program: prints a line "tensor shape sha256" for each tensor, of the bytes of its bf16 values.
"""

import argparse
import contextlib
import hashlib
import json
import math
import pathlib

import torch

MODELS = pathlib.Path(__file__).resolve().parents[1] / "models/synthetic"
GENERATOR = 1
CHUNK = 1 << 24  # elements at once: intermediate values take 8 bytes each

# Suffix, offset, spread, and whether the spread is divided by the root of a row's elements: the first that fits decides.
# src/models/synthetic.cc says why.
RULES = [
    (".bias", 0.0, 0.02, False),
    ("norm_q.weight", 1.6, 0.1, False),
    ("norm_k.weight", 1.6, 0.1, False),
    ("norm_added_q.weight", 1.6, 0.1, False),
    ("norm_added_k.weight", 1.6, 0.1, False),
    ("relative_attention_bias.weight", 0.0, 0.5, False),
    ("position_embedding.weight", 0.0, 0.2, False),
    ("token_embedding.weight", 0.0, 1.0, False),
    ("shared.weight", 0.0, 1.0, False),
    (".linear.weight", 0.0, 0.4, True),
    ("SelfAttention.q.weight", 0.0, 0.125, True),
    ("conv_out.weight", 0.0, 0.5, True),
]
NORM = ("", 1.0, 0.1, False)
LAYER = ("", 0.0, 1.0, True)


def signed(value):
    """A 64-bit pattern as torch's int64, which wraps around as uint64 does."""
    return value - (1 << 64) if value >> 63 else value


def shifted(z, count):
    """z >> count as if z were unsigned."""
    return (z >> count) & ((1 << (64 - count)) - 1)


def bits(key, begin, end, device):
    """64 random bits for the elements begin..end: the finalizer of splitmix64 over their counters."""
    index = torch.arange(begin + 1, end + 1, dtype=torch.int64, device=device)
    z = index * signed(0x9E3779B97F4A7C15) + signed(key)
    z = (z ^ shifted(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ shifted(z, 27)) * signed(0x94D049BB133111EB)
    return z ^ shifted(z, 31)


def float32(value):
    return torch.tensor(value, dtype=torch.float32)


def formula(name, shape):
    """Key, offset and spread of tensor "part.name"."""
    fits = (rule for rule in RULES if name.endswith(rule[0]))
    _, offset, spread, per_input = next(fits, NORM if len(shape) == 1 else LAYER)
    inputs = math.prod(shape) / shape[0] if per_input else 1
    key = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16)
    return key, float32(offset), float32(spread / math.sqrt(inputs))


def values(name, shape, device="cpu"):
    """Tensor "part.name" of that shape, bf16."""
    key, offset, spread = formula(name, shape)
    unit = float32(1.0) / float32(37837.2273)
    step = (spread * unit).to(device)
    offset = offset.to(device)
    out = torch.empty(math.prod(shape), dtype=torch.bfloat16, device=device)
    for begin in range(0, len(out), CHUNK):
        end = min(begin + CHUNK, len(out))
        z = bits(key, begin, end, device)
        total = (z & 0xFFFF) + (shifted(z, 16) & 0xFFFF) + (shifted(z, 32) & 0xFFFF) + shifted(z, 48) - 131070
        # Each operation rounds to float32 on its own, as in kernels/random.h.
        product = total.to(torch.float32) * step
        out[begin:end] = (offset + product).to(torch.bfloat16)
    return out.reshape(shape)


def plain_name(part, name):
    """As fluxq calls the parameter: transformers 4 puts "text_model." before the names of CLIP."""
    return f"{part}.{name.removeprefix('text_model.')}"


@torch.no_grad()
def fill(module, part):
    for name, parameter in module.named_parameters():
        parameter.copy_(values(plain_name(part, name), tuple(parameter.shape), parameter.device))


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def load_part(model, part, device="cpu"):
    """A module of a synthetic model in bf16. `model`: a name under models/synthetic, or a folder."""
    from diffusers import AutoencoderKL, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    folder = pathlib.Path(model) if pathlib.Path(model).is_dir() else MODELS / model
    generator = json.loads((folder / "synthetic.json").read_text())["generator"]
    if generator != GENERATOR:
        raise SystemExit(f"{folder}: generator {generator} is not known here, only {GENERATOR}")
    config = json.loads((folder / part / "config.json").read_text())
    make = {
        "transformer": FluxTransformer2DModel.from_config,
        "vae": AutoencoderKL.from_config,
        "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig(**config)),
        "text_encoder_2": lambda config: T5EncoderModel(T5Config(**config)),
    }[part]
    with torch.device(device), default_dtype(torch.bfloat16):
        module = make(config).to(torch.bfloat16).eval()
    fill(module, part)
    return module


PARTS = ("text_encoder", "text_encoder_2", "transformer", "vae")


def load(model, device="cpu"):
    """All modules of a synthetic model by part."""
    return {part: load_part(model, part, device) for part in PARTS}


def digests(model, device="cpu"):
    """Lines "tensor shape sha256" of all parameters, part by part, sorted by name."""
    for part in PARTS:
        parameters = {plain_name(part, name): p for name, p in load_part(model, part, device).named_parameters()}
        for name, parameter in sorted(parameters.items()):
            data = parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
            shape = ",".join(map(str, parameter.shape))
            yield f"{name} {shape} {hashlib.sha256(data).hexdigest()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name under models/synthetic, or a folder with synthetic.json")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    for line in digests(args.model, args.device):
        print(line)


if __name__ == "__main__":
    main()
