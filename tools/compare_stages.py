"""Compares two stages.safetensors (`fluxq generate --dump`, tools/reference_dump.py), B the truth.

    python tools/compare_stages.py ours.safetensors reference.safetensors
    python tools/compare_stages.py ours.safetensors CASE/stages.safetensors --case CASE/case.json   (tests/golden/models)

Prints max|a-b| / max|b| for each tensor and the picture's PSNR. Exit status 1 if a tensor is missing,
has another shape, holds NaN or infinity, or is above the limits (fluxq's bar for
float32); the noise has to be equal.
"""

import argparse
import json
import math
import pathlib

import torch
from safetensors.torch import load_file


def order(name):
    stages = ["noise", "prompt_embeds", "pooled_prompt_embeds", "sigmas", "velocity", "latents", "image"]
    stage, _, step = name.partition(".")
    loop = stage in ("velocity", "latents")
    rank = stages.index(stage) if stage in stages else len(stages)
    return (stages.index("velocity") if loop else rank, int(step or 0), rank)


def thin_out(stages, case):
    """What a golden file keeps of the stages, by its case.json: all, or without noise and by strides."""
    tokens, pixels = case.get("token_stride", 1), case.get("pixel_stride", 1)
    kept = {name: stage for name, stage in stages.items() if name != "noise" or tokens == 1}
    for name in kept:
        if name.startswith(("velocity.", "latents.")):
            kept[name] = kept[name][:, ::tokens].contiguous()
        elif name == "image":
            kept[name] = kept[name][:, :, ::pixels, ::pixels].contiguous()
    return kept


def relative_error(a, b):
    """NaN or infinity anywhere gives infinity."""
    if not (a.isfinite().all() and b.isfinite().all()):
        return math.inf
    difference, scale = (a - b).abs().max().item(), b.abs().max().item()
    return difference / scale if scale > 0 else (0.0 if difference == 0 else math.inf)


def psnr_db(a, b):
    """Of pictures in 0..1."""
    error = (a.double() - b.double()).square().mean().item()
    return math.inf if error == 0 else (-math.inf if not math.isfinite(error) else -10 * math.log10(error))


def compare(ours, truth, max_relative=1e-4, min_psnr_db=60.0):
    """Yields (name, text, passed) for each tensor of either side."""
    for name in sorted(set(ours) | set(truth), key=order):
        if name not in ours or name not in truth:
            yield name, f"missing in {'A' if name not in ours else 'B'}", False
        elif ours[name].shape != truth[name].shape:
            yield name, f"shape {list(ours[name].shape)}, expected {list(truth[name].shape)}", False
        else:
            error = relative_error(ours[name].double(), truth[name].double())
            text, passed = f"{error:.2e}", error <= (0 if name == "noise" else max_relative)
            if name == "image":
                db = psnr_db(ours[name], truth[name])
                text, passed = f"{text}  PSNR {db:.1f} dB", db >= min_psnr_db
            yield name, text, passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=pathlib.Path)
    parser.add_argument("b", type=pathlib.Path)
    parser.add_argument("--max-relative", type=float, default=1e-4, help="for all but the picture")
    parser.add_argument("--min-psnr", type=float, default=60.0, help="dB, for the picture")
    parser.add_argument("--case", type=pathlib.Path, help="case.json of B, if B is a golden file that keeps a part only")
    args = parser.parse_args()
    ours = load_file(args.a)
    if args.case:
        ours = thin_out(ours, json.loads(args.case.read_text()))
    rows = list(compare(ours, load_file(args.b), args.max_relative, args.min_psnr))
    for name, text, passed in rows:
        print(f"{'ok  ' if passed else 'FAIL'} {name:22} {text}")
    raise SystemExit(0 if all(passed for _, _, passed in rows) else 1)


if __name__ == "__main__":
    main()
