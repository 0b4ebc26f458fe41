"""Times diffusers + torchao on a GPU beside a benchmark run of fluxq, and prints one table.

    python tools/compare_peers.py --run RUN [--schemes bf16,fp8dqrow] [--repeats 10] [--batch 1] [--json FILE]

RUN is the folder of `fluxq bench --model synthetic:flux-schnell` (or flux-dev) on the same device: its sizes, steps and
text tokens are taken. The peer is FluxPipeline of the same architecture with random weights, bf16 or torchao's row-wise
fp8 on the linear layers inside the transformer's blocks, its repeated blocks compiled (regional, default mode), cuDNN
attention. Both are timed from prompt to pixels in memory; "first" is the first picture, compilation included.
The ratio (fluxq / peer) is the figure that counts: below 1 fluxq is faster.
"""

import argparse
import json
import pathlib
import statistics
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOKENIZERS = ROOT / "models/emoji-flux"
PROMPT = "red apple"


def make_pipeline(dev):
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel

    torch.manual_seed(0)
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        transformer = FluxTransformer2DModel(guidance_embeds=dev)
        t5 = T5EncoderModel(T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
                                     feed_forward_proj="gated-gelu", is_encoder_decoder=False, use_cache=False))
        clip = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                            num_attention_heads=12, max_position_embeddings=77))
        vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=16,
                            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                            norm_num_groups=32, scaling_factor=0.3611, shift_factor=0.1159,
                            use_quant_conv=False, use_post_quant_conv=False)
    torch.set_default_dtype(previous)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0 if dev else 1.0, use_dynamic_shifting=dev)
    pipeline = FluxPipeline(scheduler, vae.eval(), clip.eval(), CLIPTokenizer.from_pretrained(TOKENIZERS / "tokenizer"),
                            t5.eval(), AutoTokenizer.from_pretrained(TOKENIZERS / "tokenizer_2"), transformer.eval())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def quantize_blocks(transformer, scheme):
    import torch
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    if scheme == "bf16":
        return
    if scheme != "fp8dqrow":
        raise SystemExit(f"compare_peers: scheme {scheme}: expected bf16 or fp8dqrow")
    for blocks in (transformer.transformer_blocks, transformer.single_transformer_blocks):
        quantize_(blocks, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),
                  filter_fn=lambda module, name: isinstance(module, torch.nn.Linear) and "norm" not in name)


def time_peer(scheme, plan, dev, batch, repeats):
    import torch

    pipeline = make_pipeline(dev)
    quantize_blocks(pipeline.transformer, scheme)
    pipeline.transformer.set_attention_backend("_native_cudnn")
    pipeline.transformer.compile_repeated_blocks(fullgraph=True)
    width, height = plan["sizes"][0]
    step_times = []

    def on_step(pipe, index, timestep, tensors):
        torch.cuda.synchronize()
        step_times.append(time.perf_counter())
        return tensors

    @torch.inference_mode()
    def picture():
        begun = time.perf_counter()
        pipeline(PROMPT, width=width, height=height, num_inference_steps=plan["steps"], num_images_per_prompt=batch,
                 guidance_scale=plan["guidance"], max_sequence_length=plan["max_text_tokens"], output_type="np",
                 callback_on_step_end=on_step)
        torch.cuda.synchronize()
        return (time.perf_counter() - begun) * 1e3

    first = picture()
    for _ in range(2):
        picture()
    step_times.clear()
    totals, steps = [], []
    for _ in range(repeats):
        step_times.clear()
        totals.append(picture())
        steps += [(b - a) * 1e3 for a, b in zip(step_times, step_times[1:])]
    peak = torch.cuda.max_memory_allocated()
    del pipeline
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch._dynamo.reset()
    return {"first_ms": first, "total_ms": totals, "step_ms": steps, "peak_bytes": peak}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--schemes", default="bf16,fp8dqrow")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    results = json.loads((args.run / "results.json").read_text())
    plan, dev = results["plan"], results["environment"]["variant"] == "dev"
    rows, kept = [], {}
    for scheme in args.schemes.split(","):
        ours = next(cell for cell in results["cells"] if cell["scheme"] == scheme and cell["batch"] == args.batch)
        peer = time_peer(scheme, plan, dev, args.batch, args.repeats)
        kept[scheme] = peer
        for what, our_ms, peer_ms in (
                ("total", statistics.median(ours["samples"]["total_ms"]), statistics.median(peer["total_ms"])),
                ("step", statistics.median(ours["samples"]["step_ms"]), statistics.median(peer["step_ms"])),
                ("first", ours["cold_ms"], peer["first_ms"])):
            rows.append((scheme, what, our_ms, peer_ms, our_ms / peer_ms))
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1))
    print(f"{'scheme':10} {'what':6} {'fluxq ms':>10} {'peer ms':>10} {'ratio':>7}")
    for scheme, what, our_ms, peer_ms, ratio in rows:
        print(f"{scheme:10} {what:6} {our_ms:10.1f} {peer_ms:10.1f} {ratio:7.3f}")


if __name__ == "__main__":
    main()
