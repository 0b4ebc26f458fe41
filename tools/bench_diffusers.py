"""Times diffusers' picture of a model on the CPU, as fluxq's peer.

    python tools/bench_diffusers.py [--model DIR] [--dtypes f32,bf16] [--threads 2] [--repeats 20] [--json]

One child process per dtype: loads FluxPipeline.from_pretrained(dtype=...), makes a first picture and
writes it as PNG (cold: process start to PNG), then --warmup pictures unmeasured and --repeats
measured, each a whole pipeline call under torch.inference_mode (tokenizers, both text encoders, the
steps, VAE, PIL image). Peak memory is the child's maximum resident set.
torch.set_num_threads(threads); progress bars off; nothing compiled, nothing quantized.
"""

import argparse
import json
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

BUNDLED = pathlib.Path(__file__).resolve().parents[1] / "models/emoji-flux"


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(args):
    import torch
    from reference_dump import default_text_tokens, load_pipeline

    torch.set_num_threads(args.threads)
    pipeline = load_pipeline(args.model, args.child)
    tokens = args.max_text_tokens or default_text_tokens(pipeline)

    @torch.inference_mode()
    def picture(seed):
        return pipeline(
            args.prompt, width=args.width, height=args.height, num_inference_steps=args.steps, guidance_scale=args.guidance,
            max_sequence_length=tokens, generator=torch.Generator("cpu").manual_seed(seed)).images[0]

    with tempfile.TemporaryDirectory() as folder:
        picture(args.seed).save(pathlib.Path(folder) / "first.png")
    print("written", flush=True)  # the parent's clock stops here
    cold_mb = peak_mb()
    for _ in range(args.warmup):
        picture(args.seed)
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        picture(args.seed)
        times.append(time.perf_counter() - start)
    capability = torch.backends.cpu.get_cpu_capability()
    print(json.dumps({"times_s": times, "cold_peak_mb": cold_mb, "peak_mb": peak_mb(), "torch_isa": capability,
                      "text_tokens": tokens}))


def measure(dtype):
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--child", dtype],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    start_to_png_s = time.perf_counter() - start
    output, errors = process.communicate()
    if process.returncode != 0 or first != "written\n":
        raise SystemExit(f"{dtype}: the child failed\n{errors}")
    result = json.loads(output.splitlines()[-1])
    low, median, high = statistics.quantiles(result["times_s"], n=4)
    return {"dtype": dtype, "median_s": median, "quartiles_s": [low, high], "min_s": min(result["times_s"]),
            "max_s": max(result["times_s"]), "start_to_png_s": start_to_png_s, **result}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=BUNDLED)
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--prompt", default="rocket and fox on a teal background")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--max-text-tokens", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.repeats < 2:
        parser.error("--repeats: expected at least 2")
    if args.child:
        return child(args)

    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers")}
    results = [measure(dtype) for dtype in args.dtypes.split(",")]
    if args.json:
        settings = {name: str(value) if isinstance(value, pathlib.Path) else value
                    for name, value in vars(args).items() if name not in ("json", "child", "dtypes")}
        print(json.dumps({"processor": processor(), "versions": versions, "settings": settings, "results": results}))
        return
    print(f"{processor()}, {args.threads} threads, " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{args.width}x{args.height}, {args.steps} steps, {args.repeats} pictures after {args.warmup} unmeasured")
    for r in results:
        low, high = r["quartiles_s"]
        print(f"{r['dtype']:5} median {r['median_s']:.3f} s (quartiles {low:.3f} to {high:.3f}, min {r['min_s']:.3f}, "
              f"max {r['max_s']:.3f}); start to PNG {r['start_to_png_s']:.2f} s; peak {r['peak_mb']:.0f} MB "
              f"({r['cold_peak_mb']:.0f} after the first); {r['torch_isa']}")


if __name__ == "__main__":
    main()
