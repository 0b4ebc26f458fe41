"""Times fluxq's picture beside diffusers' on this machine's CPU, in one run, and writes a dated table.

    cmake --preset release -DFLUXQ_BENCHMARKS=ON && cmake --build --preset release --target fluxq picture_times
    python tools/compare_cpu.py --out results/DATE-cpu-vs-diffusers.md [--rounds 3] [--repeats 12]

The bundled model, 256x256, 4 steps, 2 threads. Rounds of all rows follow each other, so that a slow minute of the
machine hits every row alike; the median is over all rounds' pictures. "start to PNG" is a whole process, page cache
warm; peak memory is the maximum resident set.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
PROMPT = "rocket and fox on a teal background"


def fluxq_row(scheme, args):
    output = subprocess.run([BUILD / "benchmarks/picture_times", scheme, str(args.repeats), str(args.threads)],
                            check=True, capture_output=True, text=True).stdout
    result = json.loads(output)
    starts, peak_kb = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            begun = time.perf_counter()
            process = subprocess.Popen([BUILD / "fluxq", "generate", PROMPT, "--scheme", scheme, "--threads", str(args.threads), "-q",
                                        "-o", f"{folder}/a.png"], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"fluxq generate --scheme {scheme} failed")
            starts.append(time.perf_counter() - begun)
            peak_kb = max(peak_kb, usage.ru_maxrss)
    return {"times_s": [t / 1000 for t in result["total_ms"]], "start_to_png_s": starts, "peak_mb": peak_kb / 1024,
            "load_s": result["load_ms"] / 1000, "stages": {k: statistics.median(result[k]) for k in ("text_ms", "step_ms", "vae_ms")}}


def diffusers_row(dtype, args):
    output = subprocess.run([sys.executable, ROOT / "tools/bench_diffusers.py", "--dtypes", dtype, "--threads", str(args.threads),
                             "--repeats", str(args.repeats), "--json"], check=True, capture_output=True, text=True).stdout
    row = json.loads(output)["results"][0]
    return {"times_s": row["times_s"], "start_to_png_s": [row["start_to_png_s"]], "peak_mb": row["peak_mb"], "load_s": None, "stages": {}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--schemes", default="f32,bf16,int8dq,fp8dqrow,fp8dq,int8wo,int4wo,sparse24-int8dq")
    args = parser.parse_args()
    rows = [("diffusers", d, diffusers_row) for d in ("f32", "bf16")] + [("fluxq", s, fluxq_row) for s in args.schemes.split(",")]
    gathered = {}
    for _ in range(args.rounds):
        for who, what, measure in rows:
            row = measure(what, args)
            entry = gathered.setdefault((who, what), {"times_s": [], "start_to_png_s": [], "peak_mb": 0})
            entry["times_s"] += row["times_s"]
            entry["start_to_png_s"] += row["start_to_png_s"]
            entry["peak_mb"] = max(entry["peak_mb"], row["peak_mb"])
            entry["load_s"], entry["stages"] = row["load_s"], row["stages"]

    median = {key: statistics.median(entry["times_s"]) for key, entry in gathered.items()}
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    processor = next(line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    lines = [f"# fluxq beside diffusers on a CPU, {datetime.date.today()}", "",
             f"{processor}, {args.threads} threads, commit {commit}. emoji-flux, 256x256, 4 steps, "
             f"{args.rounds} rounds of {args.repeats} pictures after 3 unmeasured; made by tools/compare_cpu.py.", "",
             "| who | scheme | median s | quartiles s | min s | against diffusers' same dtype | start to PNG, median s | peak MB | load s | text / step / VAE ms |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for (who, what), entry in gathered.items():
        low, _, high = statistics.quantiles(entry["times_s"], n=4)
        peer = median[("diffusers", "f32" if what == "f32" else "bf16")]
        ratio = "-" if who == "diffusers" else f"{median[(who, what)] / peer:.2f}x"
        stages = " / ".join(f"{v:.1f}" for v in entry["stages"].values()) or "-"
        load = "-" if entry["load_s"] is None else f"{entry['load_s']:.2f}"
        lines.append(f"| {who} | {what} | {median[(who, what)]:.3f} | {low:.3f} to {high:.3f} | {min(entry['times_s']):.3f} | {ratio} "
                     f"| {statistics.median(entry['start_to_png_s']):.2f} | {entry['peak_mb']:.0f} | {load} | {stages} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
