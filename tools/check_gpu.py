#!/usr/bin/env python3
"""Holds fluxq on a GPU to itself on the CPU: pictures, bytes, and what it says when something fails.

    python tools/check_gpu.py build/cuda/fluxq [--synthetic]
    python tools/check_gpu.py build/release/fluxq --make-cpu-pictures cpu-pictures    where a CPU is at hand
    python tools/check_gpu.py build/cuda/fluxq --cpu-pictures cpu-pictures            where only the GPU's half runs

1. emoji-flux draws the benchmark's prompts under every scheme: f32 as on the CPU (>= 60 dB), and every scheme as far
   from the CPU's f32 as the CPU's same scheme is (within 1 dB of mean PSNR); bf16 also as far as diffusers' bf16 is.
2. The same bytes: in another process, at another place in the order of prompts (a step's operations are given one by
   one the first times and replayed later), and in a batch of 4. With --synthetic also the full-size architecture.
3. Faults: memory that does not suffice, no device, a kernel that traps, NaN in an activation; and a benchmark that goes
   on after each.

Needs numpy and Pillow. Prints a line per check; exit status 1 if one failed.
"""

import argparse
import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
SEED = 2  # of all pictures; the batch begins two before it, so that it has neighbours on both sides
BATCH = 4
MIN_EXACT_DB = 60.0
TOLERANCE_DB = 1.0
# diffusers' bf16 against its f32 from the same noise, mean over prompts/bench.txt (DESIGN.md, "Schemes").
DIFFUSERS_BF16_DB = 52.5
LARGE_BATCH, LARGE_SIDE = 1024, 4096  # more than any GPU holds at once, of whatever model
OUT_OF_DEVICE_MEMORY, DEVICE_LOST, NO_DEVICE, NUMERIC = 7, 8, 9, 14  # README, "Exit status"
TRAP_SIDE, TRAP_ROWS = 112, 49  # pixels, and the rows that only products of such pictures have (tests/gpu_faults)


class Failed(Exception):
    """A check could not be made or did not hold; the text says why."""


class Fluxq:
    def __init__(self, program):
        self.program = pathlib.Path(program).resolve()

    def run(self, *words, environment=None):
        command = [str(self.program), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | (environment or {}))

    def must(self, *words, environment=None):
        done = self.run(*words, environment=environment)
        if done.returncode != 0:
            raise Failed(f"fluxq {' '.join(map(str, words))}: exit status {done.returncode}: {last_line(done.stderr)}")
        return done.stdout

    def schemes(self, device):
        return [s["name"] for s in json.loads(self.must("schemes", "--json"))["schemes"] if device in s["devices"]]

    def draw(self, folder, prompts, *options):
        """Pictures by name, "red-apple-2.png": prompt and seed say which is which."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "prompts.txt"
        file.write_text("".join(f"{prompt}\n" for prompt in prompts))
        self.must("generate", "--prompts", file, "-o", folder, "-q", *options)
        return pictures_in(folder)


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def pictures_in(folder):
    pictures = {path.name: path for path in sorted(folder.glob("*.png"))}
    if not pictures:
        raise Failed(f"{folder}: expected pictures, found none")
    return pictures


def psnr_db(path_a, path_b):
    a, b = (np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) for path in (path_a, path_b))
    if a.shape != b.shape:
        raise Failed(f"{path_a.name}: {a.shape} beside {b.shape}")
    error = np.mean((a - b) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def psnrs_db(pictures, truth):
    if set(pictures) != set(truth):
        raise Failed(f"other pictures: {sorted(set(pictures) ^ set(truth))}")
    # Equal pictures count as the best that 8 bits can tell apart, so that a mean exists.
    return [min(psnr_db(pictures[name], truth[name]), 100.0) for name in sorted(truth)]


def same_bytes(pictures, others):
    """How many pictures of `others` were compared; all of those must be in `pictures`."""
    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    for name, path in others.items():
        if name not in pictures:
            raise Failed(f"{name}: drawn only once")
        if digest(path) != digest(pictures[name]):
            raise Failed(f"{name} differs: {psnr_db(path, pictures[name]):.1f} dB")
    return len(others)


class Table:
    def __init__(self):
        self.failures = 0
        self.begun = time.monotonic()

    def add(self, name, passed, text):
        self.failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'} {time.monotonic() - self.begun:5.0f} s  {name:44} {text}", flush=True)

    def check(self, name, check):
        """`check` gives (passed, text)."""
        try:
            self.add(name, *check())
        except Failed as failure:
            self.add(name, False, str(failure))


def compare_with_cpu(table, ours, cpu):
    """Both: pictures by scheme."""
    truth = cpu["f32"]

    def exact():
        worst = min(psnrs_db(ours["f32"], truth))
        return worst >= MIN_EXACT_DB, f"worst {worst:.1f} dB (>= {MIN_EXACT_DB:g})"

    def scheme_error(scheme):
        mean = float(np.mean(psnrs_db(ours[scheme], truth)))
        expected = float(np.mean(psnrs_db(cpu[scheme], truth)))
        return abs(mean - expected) <= TOLERANCE_DB, f"{mean:.2f} dB; the CPU's {expected:.2f} (+- {TOLERANCE_DB:g})"

    def beside_diffusers():
        mean = float(np.mean(psnrs_db(ours["bf16"], truth)))
        return mean >= DIFFUSERS_BF16_DB - TOLERANCE_DB, f"{mean:.2f} dB; diffusers' {DIFFUSERS_BF16_DB:g} (- {TOLERANCE_DB:g})"

    table.check("f32 against the CPU's f32", exact)
    for scheme in ours:
        if scheme == "f32":
            continue
        if scheme not in cpu:
            table.add(f"{scheme} against the CPU's f32", False, "no pictures of the CPU's")
            continue
        table.check(f"{scheme} against the CPU's f32", lambda scheme=scheme: scheme_error(scheme))
    table.check("bf16 beside diffusers' bf16", beside_diffusers)


def check_bytes(table, fluxq, name, folder, prompts, first, options):
    """`first`: the pictures of all prompts in order, one process, batch 1."""

    def reversed_order():
        # What was given one by one the first time is replayed now, and the other way round.
        again = fluxq.draw(folder / "again", prompts[::-1], "--seed", SEED, *options)
        if len(again) != len(first):
            raise Failed(f"{len(again)} pictures, expected {len(first)}")
        return True, f"{same_bytes(first, again)} pictures"

    def in_a_batch():
        drawn = fluxq.draw(folder / "batch", prompts[:3], "--seed", SEED - 2, "--batch", BATCH, *options)
        ours = {name: path for name, path in drawn.items() if name.endswith(f"-{SEED}.png")}
        if len(drawn) != BATCH * len(prompts[:3]) or len(ours) != len(prompts[:3]):
            raise Failed(f"expected {BATCH} pictures per prompt, got {len(drawn)} in all")
        return True, f"{same_bytes(first, ours)} pictures"

    table.check(f"{name}: same bytes, other order", reversed_order)
    table.check(f"{name}: same bytes, batch {BATCH}", in_a_batch)


def check_synthetic(table, fluxq, folder, prompts, schemes, device):
    for scheme in schemes:
        options = ("--model", ROOT / "models/synthetic/flux-schnell", "--width", 512, "--height", 512,
                   "--device", device, "--scheme", scheme)

        def draws(options=options, scheme=scheme):
            first = fluxq.draw(folder / scheme / "first", prompts[:4], "--seed", SEED, *options)
            check_bytes(table, fluxq, f"flux-schnell {scheme}", folder / scheme, prompts[:4], first, options)
            return len(first) == 4, f"{len(first)} pictures"

        table.check(f"flux-schnell {scheme}: draws", draws)


def copy_with_nan(model, folder, part, tensor, row=0):
    """A copy of `model` with a NaN in one row of a tensor of bf16. (Weights of linear layers with one are not loaded.)"""
    shutil.copytree(model, folder)
    for file in (folder / part).glob("*.safetensors"):
        with open(file, "r+b") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            entry = json.loads(stream.read(header_bytes)).get(tensor)
            if entry:
                stream.seek(8 + header_bytes + entry["data_offsets"][0] + 2 * row * math.prod(entry["shape"][1:]))
                stream.write(b"\xff\xff")
                return folder
    raise Failed(f"{model}: no {tensor}")


def check_faults(table, fluxq, folder, prompts, device, trap):
    def fault(status, words, *options, environment=None):
        done = fluxq.run("generate", prompts[0], "-o", folder / "fault", "--device", device, "-q", *options, environment=environment)
        said = last_line(done.stderr)
        return done.returncode == status and words in said, f"status {done.returncode} (expected {status}): {said[:110]}"

    def bench(name, *options, environment=None):
        run = folder / name
        fluxq.must("bench", "--device", device, "--schemes", "int8dq", "--steps", 1, "--warmups", 0, "--repeats", 1, "-q", "-o", run,
                   *options, environment=environment)
        return json.loads((run / "results.json").read_text())

    def goes_on(failing_side, code, *options, environment=None):
        results = bench(code, "--model", ROOT / "models/synthetic/flux-tiny", "--sizes", f"{failing_side},64", *options, environment=environment)
        ended = {(c["scheme"], c["width"]): c["failure_code"] or c["status"] for c in results["cells"]}
        expected = {(scheme, side): end for scheme in ("bf16", "int8dq") for side, end in ((failing_side, code), (64, "done"))}
        return ended == expected, ", ".join(f"{scheme} {side}: {end}" for (scheme, side), end in ended.items())

    def nan_in_bench():
        # In one word's embedding: of the pictures, only those of the prompt that has it.
        red = json.loads((model / "tokenizer/vocab.json").read_text())["red</w>"]
        broken = copy_with_nan(model, folder / "sometimes-nan", "text_encoder", "embeddings.token_embedding.weight", red)
        (folder / "two.txt").write_text("penguin\nred apple\n")
        results = bench("nan", "--model", broken, "--prompts", folder / "two.txt", "--sizes", 64, "--batches", 1, "--seeds", 1)
        cells = [cell["status"] for cell in results["cells"]]
        nans = sorted((p["scheme"], p["prompt"]) for p in results["pictures"] if p["has_nan"])
        drawn = sum(bool(p["file"]) for p in results["pictures"])
        expected = [("bf16", 1), ("f32", 1), ("int8dq", 1)]  # f32's are the noise floor
        return cells == ["done"] * 2 and nans == expected and drawn == 3, f"cells {cells}, NaN in {nans}, {drawn} drawn"

    if device == "cuda":
        too_large = ("--batch", LARGE_BATCH, "--width", LARGE_SIDE, "--height", LARGE_SIDE, "--steps", 1)
        table.check("more memory than there is", lambda: fault(OUT_OF_DEVICE_MEMORY, "memory", *too_large))
        table.check("a benchmark goes on", lambda: goes_on(LARGE_SIDE, "out_of_memory_device", "--batches", LARGE_BATCH))
        table.check("no device", lambda: fault(NO_DEVICE, "device", environment={"CUDA_VISIBLE_DEVICES": ""}))
        trapped = {"LD_PRELOAD": str(trap.resolve()), "TRAP_ROWS": str(TRAP_ROWS)}
        at_size = ("--width", TRAP_SIDE, "--height", TRAP_SIDE)
        table.check("a kernel that traps", lambda: fault(DEVICE_LOST, "the GPU, ", *at_size, environment=trapped))
        table.check("a benchmark goes on after it", lambda: goes_on(TRAP_SIDE, "device_lost", environment=trapped))
    model = ROOT / "models/emoji-flux"
    always = copy_with_nan(model, folder / "always-nan", "transformer", "x_embedder.bias")
    for scheme in fluxq.schemes(device):
        table.check(f"{scheme}: NaN in an activation",
                    lambda: fault(NUMERIC, "the latents after step 0: expected finite", "--model", always, "--scheme", scheme))
    table.check("a benchmark goes on after it", nan_in_bench)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fluxq", type=pathlib.Path)
    parser.add_argument("--prompts", type=pathlib.Path, default=ROOT / "prompts/bench.txt")
    parser.add_argument("--cpu-pictures", type=pathlib.Path, help="a folder per scheme, made by --make-cpu-pictures [made now]")
    parser.add_argument("--make-cpu-pictures", type=pathlib.Path, metavar="DIR", help="only make those")
    parser.add_argument("--synthetic", action="store_true", help="also the bytes of synthetic:flux-schnell at 512 x 512")
    parser.add_argument("--synthetic-schemes", default="bf16,fp8dqrow,int8dq")
    parser.add_argument("--device", default="cuda", help="cpu: without a GPU's faults, to try this program")
    parser.add_argument("--trap", type=pathlib.Path, help="the library of tests/gpu_faults [where the build puts it]")
    parser.add_argument("--jobs", type=int, default=4, help="processes of emoji-flux at once on the GPU")
    args = parser.parse_args()
    fluxq = Fluxq(args.fluxq)
    prompts = [line for line in args.prompts.read_text().splitlines() if line.strip()]
    table = Table()

    def draw_cpu(folder):
        return {scheme: fluxq.draw(folder / scheme, prompts, "--seed", SEED, "--device", "cpu", "--scheme", scheme)
                for scheme in fluxq.schemes("cpu")}

    if args.make_cpu_pictures:
        draw_cpu(args.make_cpu_pictures)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        if args.cpu_pictures:
            cpu = {path.name: pictures_in(path) for path in sorted(args.cpu_pictures.iterdir()) if path.is_dir()}
        else:
            cpu = draw_cpu(folder / "cpu")

        def options(scheme):
            return "--device", args.device, "--scheme", scheme

        ours = {}
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            draw = lambda scheme: fluxq.draw(folder / scheme / "first", prompts, "--seed", SEED, *options(scheme))
            for scheme, drawn in [(scheme, pool.submit(draw, scheme)) for scheme in fluxq.schemes(args.device)]:
                try:
                    ours[scheme] = drawn.result()
                except Failed as failure:
                    table.add(f"{scheme}: draws", False, str(failure))
            if "f32" in ours and "bf16" in ours and "f32" in cpu:
                compare_with_cpu(table, ours, cpu)
            else:
                table.add("against the CPU's f32", False, "f32 and bf16 of the GPU and f32 of the CPU are needed")
            check = lambda scheme: check_bytes(table, fluxq, scheme, folder / scheme, prompts, ours[scheme], options(scheme))
            list(pool.map(check, ours))
        trap = args.trap or fluxq.program.parent / "tests/gpu_faults/trap.so"
        check_faults(table, fluxq, folder, prompts, args.device, trap)
        if args.synthetic:
            check_synthetic(table, fluxq, folder / "synthetic", prompts, args.synthetic_schemes.split(","), args.device)
    print(f"{table.failures} failed" if table.failures else "all passed")
    raise SystemExit(1 if table.failures else 0)


if __name__ == "__main__":
    main()
