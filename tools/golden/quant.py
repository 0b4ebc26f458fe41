"""Writes tests/golden/quant, for src/quant's tests: torchao.safetensors, what torchao 0.18 makes of difficult rows, and
torchao_header.json, how it describes such weights in a safetensors header and diffusers in config.json.

Run: python tools/golden/quant.py (needs tools/requirements.txt; CPU only).

Names: `CASE.x` is the bf16 input; `CASE.SCHEME.PART` what torchao stores for it as a weight,
`CASE.SCHEME.values` its dequantize() in float32, `CASE.SCHEME.act.{qdata,scale}` what it makes of the same rows
as an activation. Rows for which torchao gives NaN (all-zero rows in fp8) are in no fp8 case: fluxq differs there.
"""

import json
import pathlib

import torch
from diffusers import TorchAoConfig
from safetensors.torch import save_file
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization import (
    Float8DynamicActivationFloat8WeightConfig,
    Float8Tensor,
    Int4Tensor,
    Int4WeightOnlyConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    PerRow,
    PerTensor,
    quantize_,
)
from torchao.quantization.quant_primitives import (
    MappingType,
    _choose_qparams_affine_tinygemm,
    _dequantize_affine_tinygemm,
    _quantize_affine_tinygemm,
)
from torchao.quantization.quantize_.common import _choose_quant_func_and_quantize_tensor
from torchao.quantization.quantize_.workflows import Int8Tensor, QuantizeTensorToFloat8Kwargs, QuantizeTensorToInt8Kwargs

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/quant"


def rows(width: int) -> dict[str, torch.Tensor]:
    """One row per difficulty, each [width]."""
    g = torch.Generator().manual_seed(width)
    noise = lambda: torch.randn(width, generator=g)
    column = torch.arange(width)
    outlier = noise() * 0.02
    outlier[width // 3] = -37.5
    single = torch.zeros(width)
    single[width - 1] = -0.8125
    # x / scale lies exactly between two codes: int8's scale is 2^-3 (127.5 * 2^-3 = 15.9375), e4m3's is 2 (896 / 448).
    int8_ties = (column % 64 - 31.5) * 0.125
    int8_ties[0] = 15.9375
    e4m3_ties = torch.tensor([17.0, 19, 21, 23, 25, 27, 29, 31, 34, 38, -17, -19, 1 / 1024, 3 / 1024, 5 / 1024, -7 / 1024])
    e4m3_ties = 2 * e4m3_ties[column % 16]
    e4m3_ties[0] = 896
    return {
        "normal": noise(),
        "small": noise() * 0.02,
        "wide": noise() * torch.exp(4 * noise()),
        "outlier": outlier,
        "single": single,
        "constant": torch.full([width], 0.3),
        "constant_negative": torch.full([width], -1.7),
        "offset": 3 + 0.05 * noise(),
        "positive": noise().abs(),
        "int8_ties": int8_ties,
        "e4m3_ties": e4m3_ties,
        "int4_ties": (column % 31) * 0.5 - 4,  # range 15: scale 1, low end -4
        "powers": torch.exp2(-(column % 40).float()) * (1 - 2 * (column % 2)),
        "subnormal_scale": noise() * 3e-37,
        "subnormal": (noise() * 1e-38).clamp(-3e-38, 3e-38) + 2e-38,
        "tiny_for_int8": noise() * 1e-6,
        "huge": noise().clamp(-2.9, 2.9) / 3 * 1e38,
        "negative_zero": torch.where(column % 3 == 0, -0.0, noise()),
    }


def weight_parts(case: str, x: torch.Tensor, out: dict[str, torch.Tensor]) -> None:
    for scheme, granularity in (("fp8dqrow", PerRow()), ("fp8dq", PerTensor())):
        w = Float8Tensor.from_hp(x, granularity=granularity)
        out |= {f"{case}.{scheme}.qdata": w.qdata, f"{case}.{scheme}.scale": w.scale,
                f"{case}.{scheme}.values": w.dequantize(torch.float32)}
        a = _choose_quant_func_and_quantize_tensor(x[None], QuantizeTensorToFloat8Kwargs(granularity=granularity))
        out |= {f"{case}.{scheme}.act.qdata": a.qdata, f"{case}.{scheme}.act.scale": a.scale}


def int8_parts(case: str, x: torch.Tensor, out: dict[str, torch.Tensor]) -> None:
    w = Int8Tensor.from_hp(x, PerRow())
    out |= {f"{case}.int8dq.qdata": w.qdata, f"{case}.int8dq.scale": w.scale, f"{case}.int8dq.zero_point": w.zero_point,
            f"{case}.int8dq.values": w.dequantize(torch.float32)}
    a = _choose_quant_func_and_quantize_tensor(x[None], QuantizeTensorToInt8Kwargs(granularity=PerRow()))
    out |= {f"{case}.int8dq.act.qdata": a.qdata, f"{case}.int8dq.act.scale": a.scale}


def int4_parts(case: str, x: torch.Tensor, out: dict[str, torch.Tensor], group: int = 128) -> None:
    """As Int4TilePackedTo4dTensor.from_hp calls the primitives, without its tile order."""
    block = (1, group)
    scale, zero = _choose_qparams_affine_tinygemm(x, MappingType.ASYMMETRIC, block, torch.int32, 0, 15,
                                                  scale_dtype=x.dtype, zero_point_dtype=x.dtype)
    codes = _quantize_affine_tinygemm(x, block, scale, zero, torch.int32, 0, 15)
    values = _dequantize_affine_tinygemm(codes, block, scale, zero, torch.int32, 0, 15, output_dtype=x.dtype)
    out |= {f"{case}.int4wo.codes": codes.to(torch.int8), f"{case}.int4wo.scale": scale,
            f"{case}.int4wo.zero_point": zero, f"{case}.int4wo.values": values.float()}


def float8_weight(x: torch.Tensor, config: Float8DynamicActivationFloat8WeightConfig) -> Float8Tensor:
    """What the config's own handler does, which refuses the CPU."""
    act_granularity, weight_granularity = config.granularity
    act = QuantizeTensorToFloat8Kwargs(config.activation_dtype, act_granularity, hp_value_lb=config.activation_value_lb,
                                       hp_value_ub=config.activation_value_ub, kernel_preference=config.kernel_preference)
    return Float8Tensor.from_hp(x, float8_dtype=config.weight_dtype, granularity=weight_granularity,
                                mm_config=config.mm_config, kernel_preference=config.kernel_preference,
                                act_quant_kwargs=act)


def headers() -> dict:
    """{scheme: {"entry": header entry of a weight [4, 256], "config": quantization_config}}"""
    x = torch.randn(4, 256, dtype=torch.bfloat16)
    configs = {
        "fp8dqrow": Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),
        "fp8dq": Float8DynamicActivationFloat8WeightConfig(granularity=PerTensor()),
        "int8dq": Int8DynamicActivationInt8WeightConfig(),
        "int8wo": Int8WeightOnlyConfig(),
        "int4wo": Int4WeightOnlyConfig(group_size=128),
    }
    linear = {name: torch.nn.Linear(256, 4, dtype=torch.bfloat16) for name in ("int8dq", "int8wo")}
    for name, layer in linear.items():
        quantize_(layer, configs[name])
    scales = torch.ones(2, 4, dtype=torch.bfloat16)
    weights = {
        "fp8dqrow.weight": float8_weight(x, configs["fp8dqrow"]),
        "fp8dq.weight": float8_weight(x, configs["fp8dq"]),
        "int8dq.weight": linear["int8dq"].weight.data,
        "int8wo.weight": linear["int8wo"].weight.data,
        # Int4Tensor.from_hp needs a package that is not to be had; its fields are what it would fill in.
        "int4wo.weight": Int4Tensor(torch.zeros(4, 128, dtype=torch.int8), scales, scales, [1, 128], x.shape),
    }
    _, metadata = flatten_tensor_state_dict(weights | {"int8dq.bias": linear["int8dq"].bias.data})
    golden = {}
    for name, config in configs.items():
        quantization = TorchAoConfig(config).to_dict()
        golden[name] = {
            "entry": json.loads(metadata[f"{name}.weight"]),
            "config": quantization | {"quant_method": quantization["quant_method"].value},
        }
    return golden | {"plain": json.loads(metadata["int8dq.bias"]), "tensor_names": metadata["tensor_names"]}


def main() -> None:
    out: dict[str, torch.Tensor] = {}
    for width in (128, 37, 3):
        x = torch.stack(list(rows(width).values())).to(torch.bfloat16)
        case = f"rows{width}"
        out[f"{case}.x"] = x
        weight_parts(case, x, out)
        int8_parts(case, x, out)
        if width % 128 == 0:
            int4_parts(case, x, out)
    # fp8dq by itself for each row: its scale is the largest of all, which hides the rest above.
    for name, row in rows(40).items():
        x = row[None].to(torch.bfloat16)
        out[f"{name}.x"] = x
        weight_parts(name, x, out)
        int8_parts(name, x, out)
    for name, x in {
        "zero": torch.zeros(2, 256),
        "extreme": 2.0**126 * torch.tensor([[1.0, -1.0, 0.5, 0.25], [0.0, 1e-3, 1.0, -1.0]]),
        "groups": torch.randn(3, 512, generator=torch.Generator().manual_seed(3)),
    }.items():
        x = x.to(torch.bfloat16)
        out[f"{name}.x"] = x
        int8_parts(name, x, out)
        if x.shape[1] % 128 == 0:
            int4_parts(name, x, out)
        if name != "zero":
            weight_parts(name, x, out)
    for name, tensor in out.items():
        if tensor.is_floating_point():
            assert torch.isfinite(tensor.float()).all(), name
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "torchao_header.json").write_text(json.dumps(headers(), indent=1) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, OUT / "torchao.safetensors")


if __name__ == "__main__":
    main()
