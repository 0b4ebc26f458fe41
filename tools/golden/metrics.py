"""Writes tests/golden/metrics: picture pairs and what independent implementations say of them.

PSNR and SSIM are scikit-image's, FLIP is the PyPI package flip-evaluator's (its authors' own code).
metrics.json: per pair the three figures (psnr null: identical; ssim null: too small for the window)
and the FLIP error at some pixels, [x, y, error] each.
"""
import io
import json
import pathlib

import flip_evaluator
import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

OUT = pathlib.Path(__file__).parents[2] / "tests/golden/metrics"


def face(size):
    """An emoji-like picture: flat colours with smooth edges on a plain background."""
    scale = 8
    n = size * scale
    image = Image.new("RGB", (n, n), (126, 182, 222))
    draw = ImageDraw.Draw(image)
    draw.ellipse([n * 0.1, n * 0.1, n * 0.9, n * 0.9], fill=(255, 204, 51), outline=(180, 110, 20), width=n // 60)
    for x in (0.35, 0.65):
        draw.ellipse([n * (x - 0.06), n * 0.32, n * (x + 0.06), n * 0.48], fill=(70, 40, 20))
    draw.chord([n * 0.28, n * 0.4, n * 0.72, n * 0.78], 20, 160, fill=(200, 40, 50))
    return np.asarray(image.resize((size, size), Image.LANCZOS))


def clipped(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def jpeg(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(buffer))


def flat(width, height, colour):
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def pairs():
    rng = np.random.default_rng(0)
    smiley = face(96)

    def random(width, height):
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)

    yield "face_noise", smiley, clipped(smiley + rng.normal(0, 4, smiley.shape))
    yield "face_blur", smiley, np.asarray(Image.fromarray(smiley).filter(ImageFilter.GaussianBlur(1.5)))
    yield "face_shift", smiley, np.roll(smiley, 1, axis=1)
    yield "face_posterized", smiley, clipped(np.rint(smiley / 36.0) * 36)
    yield "face_tinted", smiley, clipped(smiley * [1.06, 0.97, 0.9] + 3)
    yield "face_black", smiley, np.zeros_like(smiley)
    yield "face_same", smiley, smiley
    big = face(200)
    yield "large_jpeg", big, jpeg(big, 30)
    yield "noise_noise", random(64, 48), random(64, 48)
    ramp = np.linspace(0, 255, 83)[None, :, None] * np.array([1, 0.6, 0.3]) * np.ones((17, 1, 1))
    yield "wide_ramp", clipped(ramp), clipped(ramp[:, ::-1])
    tall = clipped(rng.normal(128, 30, (150, 13, 3)))
    yield "tall_dimmed", tall, clipped(tall * 0.8)
    yield "flat_near", flat(32, 32, (200, 10, 99)), flat(32, 32, (203, 12, 88))
    yield "flat_black_white", flat(20, 20, (0, 0, 0)), flat(20, 20, (255, 255, 255))
    yield "flat_green_blue", flat(12, 12, (0, 255, 0)), flat(12, 12, (0, 0, 255))
    dot = flat(31, 31, (90, 90, 90))
    dot[15, 15] = (255, 0, 0)
    yield "dot", flat(31, 31, (90, 90, 90)), dot
    board = np.indices((33, 33)).sum(0)[..., None] % 2 * np.full(3, 255)
    yield "checkerboard", clipped(board), clipped(255 - board)
    yield "window_sized", random(11, 11), random(11, 11)
    yield "tiny", random(5, 3), random(5, 3)
    yield "row", random(9, 1), random(9, 1)
    yield "column", random(1, 9), random(1, 9)
    yield "pixel", random(1, 1), random(1, 1)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    results = []
    for name, a, b in pairs():
        height, width = a.shape[:2]
        for suffix, image in (("a", a), ("b", b)):
            Image.fromarray(image).save(OUT / f"{name}_{suffix}.png", optimize=True)
        same = (a == b).all()
        ssim = None
        if min(width, height) >= 11:
            ssim = structural_similarity(
                a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
        error, mean, _ = flip_evaluator.evaluate(
            (a / 255).astype(np.float32), (b / 255).astype(np.float32), "LDR", applyMagma=False
        )
        step = max(1, width * height // 40)
        pixels = [(i % width, i // width) for i in range(0, width * height, step)]
        results.append(
            {
                "name": name,
                "psnr": None if same else float(peak_signal_noise_ratio(a, b, data_range=255)),
                "ssim": ssim,
                "flip": float(mean),
                "flip_map": [[x, y, float(error[y, x, 0])] for x, y in pixels],
            }
        )
    lines = ",\n".join(json.dumps(result) for result in results)
    (OUT / "metrics.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
