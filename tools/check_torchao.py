"""Does torchao, and diffusers with it, load what `fluxq quantize` writes?

usage: python tools/check_torchao.py MODEL QUANTIZED...
MODEL is a plain diffusers folder (models/emoji-flux), each QUANTIZED what fluxq made of it with fp8dqrow, fp8dq,
int8dq, int8wo or int4wo. Not part of the tests: it needs tools/requirements.txt. For each folder:

1. torchao's unflatten_tensor_state_dict rebuilds every packed weight from its parts;
2. its codes, scales and zero points are those that torchao itself makes of the plain bf16 weight, bit for bit, and so
   is dequantize() (fluxq's own unpack() is compared with that in src/quant/golden_test.cc);
3. diffusers' FluxTransformer2DModel.from_pretrained loads the folder, with the same weights in the same places, and
   where torchao multiplies on a CPU a forward pass stays near the plain model's.
"""

import json
import pathlib
import sys
import warnings

import torch
from diffusers import FluxTransformer2DModel
from safetensors import safe_open
from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict
from torchao.quantization import Float8Tensor, Int4Tensor, PerRow
from torchao.quantization.quant_primitives import (
    MappingType,
    _choose_qparams_affine_tinygemm,
    _quantize_affine_tinygemm,
)
from torchao.quantization.quantize_.workflows import Int8Tensor

RUNS_ON_CPU = {"Int8Tensor"}


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def read_part(folder: pathlib.Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    tensors, metadata = {}, {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as f:
            metadata |= f.metadata() or {}
            tensors |= {name: f.get_tensor(name) for name in f.keys()}
    return tensors, metadata


def requantized(stored: torch.Tensor, plain: torch.Tensor) -> dict[str, torch.Tensor]:
    """What torchao makes of the plain weight, in the form of `stored`."""
    if isinstance(stored, Float8Tensor):
        made = Float8Tensor.from_hp(plain, granularity=stored.act_quant_kwargs.granularity)
        return {"qdata": made.qdata, "scale": made.scale, "values": made.dequantize()}
    if isinstance(stored, Int8Tensor):
        made = Int8Tensor.from_hp(plain, PerRow())
        return {"qdata": made.qdata, "scale": made.scale, "zero_point": made.zero_point, "values": made.dequantize()}
    assert isinstance(stored, Int4Tensor), type(stored)
    block = tuple(stored.block_size)
    scale, zero = _choose_qparams_affine_tinygemm(plain, MappingType.ASYMMETRIC, block, torch.int32, 0, 15,
                                                  scale_dtype=plain.dtype, zero_point_dtype=plain.dtype)
    codes = _quantize_affine_tinygemm(plain, block, scale, zero, torch.int32, 0, 15) - 8
    qdata = ((codes[:, ::2] & 15) | (codes[:, 1::2] << 4)).to(torch.int8)  # pack_int4 of the missing package
    rows = plain.shape[0]
    return {"qdata": qdata, "scale": scale.view(rows, -1).t().contiguous(),
            "zero_point": zero.view(rows, -1).t().contiguous()}


def check(model: pathlib.Path, folder: pathlib.Path) -> bool:
    tensors, metadata = read_part(folder / "transformer")
    plain, _ = read_part(model / "transformer")
    state, leftover = unflatten_tensor_state_dict(tensors, metadata)
    problems = [f"left over: {name}" for name in leftover]
    problems += [f"other names: {name}" for name in set(state) ^ set(plain)]
    packed = {name: value for name, value in state.items() if type(value) is not torch.Tensor}
    for name, stored in state.items():
        if name not in packed:
            problems += [] if same(stored, plain[name]) else [f"{name}: changed"]
            continue
        for field, expected in requantized(stored, plain[name]).items():
            got = stored.dequantize() if field == "values" else getattr(stored, field)
            problems += [] if same(got, expected) else [f"{name}: {field} differs"]
    kinds = {type(value).__name__ for value in packed.values()}

    loaded = FluxTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.bfloat16)
    for name, value in loaded.state_dict().items():
        if name in packed and not same(value.qdata, packed[name].qdata):
            problems.append(f"diffusers: {name} differs")
    config = json.loads((folder / "transformer/config.json").read_text())["quantization_config"]
    print(f"{folder.name}: {len(packed)} weights as {', '.join(kinds)} ({config['quant_method']}), diffusers loads them")
    if kinds <= RUNS_ON_CPU:
        problems += forward(loaded, FluxTransformer2DModel.from_pretrained(model / "transformer",
                                                                           torch_dtype=torch.bfloat16))
    for problem in problems[:10]:
        print(f"  {problem}")
    return not problems


@torch.no_grad()
def forward(quantized: FluxTransformer2DModel, plain: FluxTransformer2DModel) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    config = plain.config
    draw = lambda *shape: torch.randn(*shape, generator=generator).to(torch.bfloat16)
    inputs = {
        "hidden_states": draw(1, 64, config.in_channels),
        "encoder_hidden_states": draw(1, 32, config.joint_attention_dim),
        "pooled_projections": draw(1, config.pooled_projection_dim),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(64, 3),
        "txt_ids": torch.zeros(32, 3),
    }
    expected = plain(**inputs, return_dict=False)[0].double()
    got = quantized(**inputs, return_dict=False)[0].double()
    error = ((got - expected).norm() / expected.norm()).item()
    print(f"  forward pass: relative difference from the plain model {error:.4f}")
    return [] if error < 0.1 else ["forward pass: too far from the plain model"]


def main() -> None:
    warnings.simplefilter("ignore")
    model, *folders = map(pathlib.Path, sys.argv[1:])
    results = [check(model, folder) for folder in folders]
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
