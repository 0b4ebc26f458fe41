"""Writes tests/golden/sampling: what torch and diffusers draw and schedule, for src/sampling's tests.

Run on x86-64 with AVX2 or more (torch draws other last bits without it): python tools/golden/sampling.py
"""

import json
import pathlib

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/sampling"
SEEDS = [0, 1, 42, 2**32 - 1, 2**32, 2**32 + 7, 2**63, 2**64 - 1]
SIZES = [*range(1, 16), 16, 17, 31, 32, 33, 1000, 16 * 32 * 32, 16 * 24 * 40]


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def noise_lines():
    yield "# seed n fnv1a64(bytes) then, for n <= 33, each value's bits"
    for seed in SEEDS:
        for n in SIZES:
            noise = torch.randn(n, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)
            bits = noise.view(torch.int32).tolist() if n <= 33 else []
            yield " ".join([str(seed), str(n), f"{fnv1a(noise.numpy().tobytes()):016x}", *(f"{b & 0xFFFFFFFF:08x}" for b in bits)])


SCHNELL = {"shift": 1.0, "use_dynamic_shifting": False}
DEV = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15,
       "base_image_seq_len": 256, "max_image_seq_len": 4096}
SCHEDULES = [  # config, [(steps, image tokens)]
    ({}, [(1, 256), (3, 64), (200, 256)]),
    (SCHNELL, [(n, 256) for n in range(1, 13)] + [(4, 4096)]),
    ({**SCHNELL, "shift": 3}, [(n, 256) for n in (1, 2, 4, 7, 28)]),
    ({**SCHNELL, "shift": 1.7}, [(5, 256), (50, 256)]),
    ({**SCHNELL, "num_train_timesteps": 700}, [(6, 256)]),
    (DEV, [(n, t) for n in (1, 2, 3, 4, 8, 20, 28, 50) for t in (16, 256, 1000, 4096)]),
    ({**DEV, "time_shift_type": "linear"}, [(4, 256), (8, 1024), (28, 4096)]),
    ({**DEV, "base_shift": 0.3, "max_shift": 2.1, "base_image_seq_len": 64, "max_image_seq_len": 1024},
     [(4, 64), (7, 96), (28, 4096)]),
    ({**DEV, "shift_terminal": 0.1}, [(2, 256), (8, 1024)]),
    ({**SCHNELL, "shift": 2.5, "shift_terminal": 0.02}, [(2, 256), (9, 256)]),
    ({**SCHNELL, "use_karras_sigmas": True}, [(1, 256), (4, 256), (28, 256)]),
    ({**DEV, "use_karras_sigmas": True}, [(5, 1024)]),
    ({**SCHNELL, "use_exponential_sigmas": True}, [(1, 256), (4, 256), (28, 256)]),
    ({**DEV, "use_exponential_sigmas": True, "shift_terminal": 0.05}, [(6, 1024)]),
    ({**SCHNELL, "invert_sigmas": True}, [(1, 256), (4, 256)]),
    ({**DEV, "invert_sigmas": True}, [(7, 1024)]),
]


def bits(tensor):
    return [b & 0xFFFFFFFF for b in tensor.to(torch.float32).view(torch.int32).tolist()]


def schedule(config, steps, tokens):
    """What FluxPipeline.__call__ does before and in its loop."""
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu = calculate_shift(tokens, *(scheduler.config.get(name) for name in names))
    timesteps, _ = retrieve_timesteps(scheduler, steps, "cpu", sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    seen = (timesteps.to(torch.float32) / 1000).to(torch.float32) * 1000
    return {"config": config, "steps": steps, "tokens": tokens, "sigmas": bits(scheduler.sigmas), "timesteps": bits(seen)}


def packing():
    channels, height, width = 3, 4, 6
    latents = torch.arange(channels * height * width, dtype=torch.float32).reshape(1, channels, height, width)
    tokens = FluxPipeline._pack_latents(latents, 1, channels, height, width)
    return {"channels": channels, "height": height, "width": width, "tokens": [int(v) for v in tokens.flatten()]}


def main():
    capability = torch.backends.cpu.get_cpu_capability()
    if capability == "DEFAULT":
        raise SystemExit("torch runs without AVX2 here: its noise would differ from what users have")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "noise.txt").write_text("\n".join(noise_lines()) + "\n")
    rows = [schedule(config, steps, tokens) for config, sizes in SCHEDULES for steps, tokens in sizes]
    (OUT / "sigmas.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    (OUT / "packing.json").write_text(json.dumps(packing()) + "\n")


if __name__ == "__main__":
    main()
