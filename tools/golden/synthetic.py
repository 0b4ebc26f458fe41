"""Writes tests/golden/synthetic/flux-tiny.txt: every tensor of synthetic:flux-tiny as torch makes it, under the names and
with the shapes that diffusers and transformers give it, as lines `tensor shape sha256`."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import synthetic  # noqa: E402

out = ROOT / "tests/golden/synthetic/flux-tiny.txt"
out.parent.mkdir(exist_ok=True)
# fluxq reads the decoder of the VAE only.
lines = [line for line in synthetic.digests("flux-tiny") if not line.startswith("vae.encoder.")]
out.write_text("\n".join(lines) + "\n")
