"""Writes tests/golden/image: small PNGs of every kind, each with the 8-bit RGB that it shows.

The PNGs are put together here byte by byte (Pillow writes only some kinds); what they show comes
from Pillow where it reads the kind exactly, else from the rule itself in numpy: 16 bits to 8 by
round(v / 257), transparency laid on white.
"""
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).parents[2] / "tests/golden/image"
WIDTH, HEIGHT = 11, 9
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_rows(samples, depth):
    out = b""
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            out += b"\0" + row.astype(">u2").tobytes()
        else:
            bits = "".join(format(int(v), f"0{depth}b") for v in row)
            bits += "0" * (-len(bits) % 8)
            out += b"\0" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return out


def write(name, samples, depth, kind, interlace=0, palette=None, transparent=None):
    data = b"\x89PNG\r\n\x1a\n"
    data += chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, interlace))
    if palette is not None:
        data += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparent is not None:
        data += chunk(b"tRNS", transparent)
    if interlace:
        parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        raw = b"".join(packed_rows(p, depth) for p in parts if p.size)
    else:
        raw = packed_rows(samples, depth)
    data += chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    (OUT / f"{name}.png").write_bytes(data)


def to8(v, depth):
    if depth == 16:
        return np.floor(v / 257 + 0.5)
    return v * (255 // (2**depth - 1))


def on_white(rgb, alpha):
    return np.floor((rgb * alpha + 255 * (255 - alpha)) / 255 + 0.5)


def expect(name, rgb, check_with_pillow=True):
    rgb = np.broadcast_to(rgb, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(rgb).save(OUT / f"expected_{name}.png", optimize=True)
    if check_with_pillow:
        shown = Image.open(OUT / f"{name}.png").convert("RGBA")
        white = Image.new("RGBA", shown.size, "white")
        white.alpha_composite(shown)
        # Pillow blends with rounding of its own: one step apart at most.
        difference = np.abs(np.asarray(white.convert("RGB")).astype(int) - rgb).max()
        assert difference <= 1, (name, difference)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)

    def samples(depth, kind):
        return rng.integers(0, 2**depth, (HEIGHT, WIDTH, CHANNELS[kind])).astype(np.int64)

    for interlace, suffix in ((0, ""), (1, "_interlaced")):
        s = samples(8, RGB)
        write(f"rgb8{suffix}", s, 8, RGB, interlace)
        expect(f"rgb8{suffix}", s)

        s = samples(16, RGBA)
        write(f"rgba16{suffix}", s, 16, RGBA, interlace)
        s8 = to8(s, 16)
        expect(f"rgba16{suffix}", on_white(s8[..., :3], s8[..., 3:]), check_with_pillow=False)

        colours, s = rng.integers(0, 256, (16, 3)), samples(4, PALETTE)
        write(f"palette4{suffix}", s, 4, PALETTE, interlace, palette=colours)
        expect(f"palette4{suffix}", colours[s[..., 0]])

    s = samples(16, RGB)
    write("rgb16", s, 16, RGB)
    expect("rgb16", to8(s, 16), check_with_pillow=False)  # Pillow truncates to the high byte
    s = samples(8, RGBA)
    write("rgba8", s, 8, RGBA)
    expect("rgba8", on_white(s[..., :3], s[..., 3:]))
    for depth in (1, 2, 4, 8, 16):
        s = samples(depth, GREY)
        write(f"grey{depth}", s, depth, GREY)
        expect(f"grey{depth}", to8(s, depth), check_with_pillow=depth < 16)
    s = samples(8, GREY_ALPHA)
    write("grey_alpha8", s, 8, GREY_ALPHA)
    expect("grey_alpha8", on_white(s[..., :1], s[..., 1:]))
    s = samples(8, GREY)
    s[2:5, 3:8] = 70
    write("grey_transparent8", s, 8, GREY, transparent=struct.pack(">H", 70))
    expect("grey_transparent8", np.where(s == 70, 255, s))
    s = samples(8, RGB)
    s[2:5, 3:8] = (1, 2, 3)
    write("rgb_transparent8", s, 8, RGB, transparent=struct.pack(">HHH", 1, 2, 3))
    expect("rgb_transparent8", np.where((s == (1, 2, 3)).all(-1, keepdims=True), 255, s))
    for depth in (1, 8):
        colours, s = rng.integers(0, 256, (2**depth, 3)), samples(depth, PALETTE)
        write(f"palette{depth}", s, depth, PALETTE, palette=colours)
        expect(f"palette{depth}", colours[s[..., 0]])
    alpha = rng.integers(0, 256, 200).astype(np.uint8)  # the last 56 entries stay opaque
    write("palette8_transparent", s, 8, PALETTE, palette=colours, transparent=alpha.tobytes())
    alpha = np.concatenate([alpha, np.full(56, 255)]).astype(np.int64)
    expect("palette8_transparent", on_white(colours[s[..., 0]], alpha[s]))


if __name__ == "__main__":
    main()
