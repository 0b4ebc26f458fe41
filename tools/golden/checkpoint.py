"""Writes tests/golden/checkpoint: files by safetensors and huggingface_hub that our reader must
understand and our writer must reproduce byte for byte. Byte i of tensor t is (17 * t + i) % 251,
t counting from 0 in the order below (BOOL: i % 2)."""
import pathlib
import shutil

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[2] / "tests/golden/checkpoint"
SIZES = {torch.bool: 1, torch.uint8: 1, torch.int8: 1, torch.float8_e4m3fn: 1, torch.float8_e5m2: 1, torch.uint16: 2,
         torch.int16: 2, torch.float16: 2, torch.bfloat16: 2, torch.uint32: 4, torch.int32: 4, torch.float32: 4,
         torch.uint64: 8, torch.int64: 8, torch.float64: 8}


def tensors(specs):
    result = {}
    for t, (name, dtype, shape) in enumerate(specs):
        count = SIZES[dtype] * int(torch.Size(shape).numel())
        data = [i % 2 if dtype == torch.bool else (17 * t + i) % 251 for i in range(count)]
        result[name] = torch.tensor(data, dtype=torch.uint8).view(dtype).reshape(shape)
    return result


shutil.rmtree(OUT, ignore_errors=True)
(OUT / "sharded").mkdir(parents=True)
# Every type that fluxq knows, in the order of DType.
save_file(tensors([(f"t{i}", dtype, [2, 3]) for i, dtype in enumerate(SIZES)]), OUT / "all_types.safetensors")
# One type per element size: there our order of tensors is the reference's.
MIXED = [("b.bias", torch.uint8, [3]), ("wide", torch.float64, [1, 2]), ('quote " back \\ é 😀', torch.bfloat16, [2, 2]),
         ("scalar", torch.float32, []), ("empty", torch.float32, [0, 4]), ("a/path", torch.uint8, [1])]
save_file(tensors(MIXED), OUT / "mixed.safetensors", metadata={"format": 'pt "é"\n'})
SHARDED = [("c", torch.bfloat16, [3]), ("a", torch.bfloat16, [2]), ("b", torch.bfloat16, [1]),
           ("large", torch.bfloat16, [15]), ("d", torch.bfloat16, [1])]
save_torch_state_dict(tensors(SHARDED), OUT / "sharded",
                      filename_pattern="diffusion_pytorch_model{suffix}.safetensors", max_shard_size=10)
