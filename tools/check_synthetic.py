#!/usr/bin/env python3
"""Holds one step of a full-size synthetic model to diffusers with the same weights on the same device.

    python tools/check_synthetic.py build/cuda/fluxq [--model flux-schnell] [--sizes 1024,512]

fluxq draws with one step and dumps its stages; diffusers' transformer (tools/synthetic.py fills it) starts from the very
same noise and text, once in f32 arithmetic on the bf16 weights, once in bf16. Relative error ||a - b|| / ||b|| of the
velocity against f32: fluxq's may be 1.2 times that of diffusers' bf16. So for

- one double block alone and one single block alone, and the whole model, at the first size;
- the whole model cut after more and more of its blocks, at the last size: a step, block by block. Cut models are folders
  with other block counts in transformer/config.json; to load fast they have one layer of T5;
- the picture that the VAE decodes.

Needs torch, diffusers and safetensors, and a device that holds the transformer in bf16 beside 10 GB. Exit status 1 if a
comparison failed.
"""

import argparse
import concurrent.futures
import json
import math
import pathlib
import shutil
import subprocess
import tempfile
import time

import synthetic
import torch
from diffusers.utils import logging
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel

ALLOWED = 1.2  # times the error of diffusers' bf16
PROMPT = "rocket and fox on a teal background"


def cut_model(model, double, single, folder):
    """A folder with the first blocks of a synthetic model and one layer of T5."""
    shutil.copytree(model, folder)
    for part, values in [("transformer", {"num_layers": double, "num_single_layers": single}), ("text_encoder_2", {"num_layers": 1})]:
        file = folder / part / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values, indent=2))
    return folder


def fluxq_stages(args, model, size, folder):
    """The dump of one step of fluxq's."""
    folder.mkdir(parents=True)
    command = [args.fluxq, "generate", PROMPT, "--model", model, "--scheme", "bf16", "--device", args.device, "--steps", 1, "--width", size,
               "--height", size, "--dump", folder / "dump", "-o", folder / "picture.png", "-q"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {done.returncode}: {done.stderr.strip()}")
    return load_file(folder / "dump/stages.safetensors")


def packed(latents):
    """[B, C, h, w] to tokens [B, (h/2) (w/2), 4 C]."""
    batch, channels, height, width = latents.shape
    tokens = latents.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return tokens.reshape(batch, height // 2 * (width // 2), 4 * channels)


def unpacked(tokens, height, width):
    batch, _, columns = tokens.shape
    latents = tokens.view(batch, height // 2, width // 2, columns // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return latents.reshape(batch, columns // 4, height, width)


class InF32:
    """While it is entered, the transformer computes in f32: its small parts are f32, a block is for its own call only.
    Weights come back as they were, since all are bf16 numbers."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.hooks = []
        for child in self.model.children():
            blocks = child if isinstance(child, torch.nn.ModuleList) else []
            if not blocks:
                child.float()
            for block in blocks:
                self.hooks.append(block.register_forward_pre_hook(lambda module, inputs: module.float() and None))
                self.hooks.append(block.register_forward_hook(lambda module, inputs, output: module.bfloat16() and None))
        self.attention = sdpa_kernel(SDPBackend.MATH)
        self.attention.__enter__()

    def __exit__(self, *error):
        self.attention.__exit__(*error)
        for hook in self.hooks:
            hook.remove()
        self.model.bfloat16()


class Diffusers:
    """The whole transformer; a forward pass takes its first blocks."""

    def __init__(self, model, device):
        self.device = device
        self.model = synthetic.load_part(model, "transformer", device)
        self.double, self.single = list(self.model.transformer_blocks), list(self.model.single_transformer_blocks)

    @torch.inference_mode()
    def velocity(self, stages, double, single, dtype):
        """[B, tokens, 64] in f32, for the first step."""
        self.model.transformer_blocks = torch.nn.ModuleList(self.double[:double])
        self.model.single_transformer_blocks = torch.nn.ModuleList(self.single[:single])
        noise, text = stages["noise"], stages["prompt_embeds"]
        ids = torch.zeros(noise.shape[2] // 2, noise.shape[3] // 2, 3)
        ids[..., 1] += torch.arange(ids.shape[0])[:, None]
        ids[..., 2] += torch.arange(ids.shape[1])[None, :]
        put = lambda tensor: tensor.to(self.device, dtype)
        inputs = {
            # fluxq's stream is bf16: both sides start from the rounded noise.
            "hidden_states": put(packed(noise).bfloat16()),
            "encoder_hidden_states": put(text),
            "pooled_projections": put(stages["pooled_prompt_embeds"]),
            "timestep": put(stages["sigmas"][:1].expand(len(noise))),
            "img_ids": put(ids.reshape(-1, 3)),
            "txt_ids": put(torch.zeros(text.shape[1], 3)),
            "guidance": put(torch.full([len(noise)], 3.5)) if self.model.config.guidance_embeds else None,
        }
        run = lambda: self.model(**inputs, return_dict=False)[0].float().cpu()
        if dtype == torch.bfloat16:
            return run()
        with InF32(self.model):
            return run()


@torch.inference_mode()
def decoded(vae, stages, dtype):
    """[B, 3, H, W] in 0..1, f32."""
    latents = unpacked(stages["latents.0"], *stages["noise"].shape[2:]).to(vae.device)
    latents = (latents / vae.config.scaling_factor + vae.config.shift_factor).to(dtype)
    picture = vae.to(dtype).decode(latents, return_dict=False)[0].float().cpu()
    return (picture / 2 + 0.5).clamp(0, 1)


def relative_error(a, b):
    """NaN or infinity anywhere gives infinity."""
    a, b = a.double(), b.double()
    error = ((a - b).norm() / b.norm()).item()
    return error if math.isfinite(error) else math.inf


class Table:
    def __init__(self):
        self.failures = 0
        print(f"{'':4} {'blocks':>8} {'size':>5}  {'fluxq bf16':>11} {'diffusers bf16':>14} {'ratio':>6}   relative error against f32")

    def add(self, what, size, ours, theirs, truth):
        if not ours.shape == theirs.shape == truth.shape:
            raise SystemExit(f"{what} at {size}: shapes {list(ours.shape)}, {list(theirs.shape)}, {list(truth.shape)}")
        ours, theirs = relative_error(ours, truth), relative_error(theirs, truth)
        passed = math.isfinite(theirs) and ours <= ALLOWED * theirs
        self.failures += not passed
        ratio = ours / theirs if theirs > 0 else math.inf
        print(f"{'ok  ' if passed else 'FAIL'} {what:>8} {size:5}  {ours:11.3e} {theirs:14.3e} {ratio:6.3f}", flush=True)


def depths(double, single, stride):
    """(double, single) blocks: more and more of a model, up to all of it."""
    doubles = [*range(stride, double, stride), double]
    singles = [*range(2 * stride, single, 2 * stride), single]
    return [(d, 0) for d in doubles] + [(double, 1)] + [(double, s) for s in singles if s > 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fluxq", type=pathlib.Path)
    parser.add_argument("--model", default="flux-schnell", help="a name under models/synthetic")
    parser.add_argument("--sizes", default="1024,512", help="pixels: of whole steps; the last also block by block")
    parser.add_argument("--stride", type=int, default=5, help="double blocks from cut to cut, and half as many as single ones")
    parser.add_argument("--jobs", type=int, default=2, help="cut models of fluxq at once")
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    logging.set_verbosity_error()  # of casts to and from f32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = synthetic.MODELS / args.model
    config = json.loads((model / "transformer/config.json").read_text())
    whole = config["num_layers"], config["num_single_layers"]
    sizes = [int(size) for size in args.sizes.split(",")]
    cuts = [(1, 0, sizes[0]), (0, 1, sizes[0])] + [(*depth, sizes[-1]) for depth in depths(*whole, args.stride)]

    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)

        def cut_stages(cut):
            name = "-".join(map(str, cut))
            return fluxq_stages(args, cut_model(model, *cut[:2], folder / f"model-{name}"), cut[2], folder / name)

        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            runs = list(zip(cuts, pool.map(cut_stages, cuts)))
        full = [(size, fluxq_stages(args, model, size, folder / f"whole-{size}")) for size in sizes]
    print(f"fluxq: {len(runs) + len(full)} runs in {time.monotonic() - begun:.0f} s", flush=True)

    begun = time.monotonic()
    diffusers = Diffusers(model, args.device)
    print(f"diffusers: loaded in {time.monotonic() - begun:.0f} s", flush=True)
    table = Table()
    for (double, single, size), stages in runs + [((*whole, size), stages) for size, stages in full]:
        theirs, truth = (diffusers.velocity(stages, double, single, dtype) for dtype in (torch.bfloat16, torch.float32))
        is_whole = any(stages is other for _, other in full)
        table.add("whole" if is_whole else f"{double}+{single}", size, stages["velocity.0"], theirs, truth)
    del diffusers
    vae = synthetic.load_part(model, "vae", args.device)
    for size, stages in full:
        theirs, truth = (decoded(vae, stages, dtype) for dtype in (torch.bfloat16, torch.float32))
        table.add("VAE", size, stages["image"], theirs, truth)
    print(f"{table.failures} failed" if table.failures else "all passed", f"after {time.monotonic() - begun:.0f} s")
    raise SystemExit(1 if table.failures else 0)


if __name__ == "__main__":
    main()
