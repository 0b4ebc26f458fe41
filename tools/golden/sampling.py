"""Writes tests/golden/sampling: what torch and diffusers draw and schedule, for src/sampling's tests.

Run on x86-64 with AVX2 or more (torch draws other last bits without it): python tools/golden/sampling.py
"""

import pathlib

import torch

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


def main():
    capability = torch.backends.cpu.get_cpu_capability()
    if capability == "DEFAULT":
        raise SystemExit("torch runs without AVX2 here: its noise would differ from what users have")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "noise.txt").write_text("\n".join(noise_lines()) + "\n")


if __name__ == "__main__":
    main()
