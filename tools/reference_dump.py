"""Runs diffusers' FluxPipeline and writes the tensors that `fluxq generate --dump` writes.

    python tools/reference_dump.py MODEL --prompt "a red apple" --width 256 --height 256 --out stages.safetensors

The file holds, all float32: noise [B,C,H/s,W/s] (s = 8 for a VAE with four blocks), prompt_embeds
[B,T,d], pooled_prompt_embeds [B,d], sigmas [steps+1], velocity.I and latents.I [B,tokens,4C] for step
I (latents after it), image [B,3,H,W] in 0..1. Item i of the batch starts from torch's CPU generator
with seed + i, drawn in float32 whatever the dtype.
"""

import argparse
import pathlib

import torch
from diffusers import FluxPipeline
from diffusers.utils.torch_utils import randn_tensor
from safetensors.torch import save_file

DTYPES = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16}


def load_pipeline(model, dtype="f32"):
    pipeline = FluxPipeline.from_pretrained(str(model), dtype=DTYPES[dtype], local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def default_text_tokens(pipeline):
    """FLUX.1's own: 512 for dev, 256 for schnell; less if the tokenizer says so."""
    longest = 512 if pipeline.transformer.config.guidance_embeds else 256
    return min(longest, pipeline.tokenizer_2.model_max_length)


@torch.inference_mode()
def run_stages(pipeline, prompt, *, width, height, steps=4, seed=0, batch=1, guidance=3.5, max_text_tokens=None):
    """All stages as a dict of float32 tensors."""
    tokens = max_text_tokens or default_text_tokens(pipeline)
    dtype = pipeline.transformer.dtype
    channels = pipeline.transformer.config.in_channels // 4
    rows, columns = height // pipeline.vae_scale_factor, width // pipeline.vae_scale_factor
    generators = [torch.Generator("cpu").manual_seed((seed + i) % 2**64) for i in range(batch)]
    noise = randn_tensor((batch, channels, rows, columns), generator=generators, dtype=torch.float32)

    stages = {"noise": noise}
    embeds, pooled, _ = pipeline.encode_prompt(prompt, num_images_per_prompt=batch, max_sequence_length=tokens)
    stages |= {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    velocities = []
    hook = pipeline.transformer.register_forward_hook(lambda module, inputs, output: velocities.append(output[0]))

    def keep(_, step, timestep, tensors):
        stages[f"velocity.{step}"] = velocities[step]
        stages[f"latents.{step}"] = tensors["latents"]
        return {}

    result = pipeline(
        prompt, width=width, height=height, num_inference_steps=steps, guidance_scale=guidance,
        num_images_per_prompt=batch, max_sequence_length=tokens, output_type="pt",
        latents=FluxPipeline._pack_latents(noise.to(dtype), batch, channels, rows, columns),
        callback_on_step_end=keep, callback_on_step_end_tensor_inputs=["latents"],
    )
    hook.remove()
    stages["sigmas"] = pipeline.scheduler.sigmas
    stages["image"] = result.images
    # clone: stages of a batch are expanded views, and safetensors refuses shared memory
    return {name: stage.detach().to(torch.float32).contiguous().clone() for name, stage in stages.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="diffusers folder")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--guidance", type=float, default=3.5, help="read by models with a guidance embedding only")
    parser.add_argument("--max-text-tokens", type=int)
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    stages = run_stages(
        load_pipeline(args.model, args.dtype), args.prompt, width=args.width, height=args.height, steps=args.steps,
        seed=args.seed, batch=args.batch, guidance=args.guidance, max_text_tokens=args.max_text_tokens)
    save_file(stages, args.out)


if __name__ == "__main__":
    main()
