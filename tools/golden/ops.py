"""Writes tests/golden/kernels: what torch, diffusers and transformers say the operations of src/kernels/kernels.h are.

Each file holds one case: lines `name dim,dim,... value value ...`. Inputs are float32; results are computed in float64
from them, except where diffusers itself computes in float32 or bfloat16 (rope, euler).
This script cannot be called kernels.py: transformers imports a package of that name.
"""

import pathlib

import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.normalization import AdaLayerNormContinuous
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from diffusers.models.upsampling import Upsample2D
from transformers.activations import ACT2FN
from transformers.models.t5.modeling_t5 import T5LayerNorm

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/kernels"


def save(name, **tensors):
    lines = []
    for key, tensor in tensors.items():
        tensor = torch.as_tensor(tensor)
        digits = 17 if tensor.dtype == torch.float64 else 9
        values = [f"{value:.{digits}g}" for value in tensor.detach().double().flatten().tolist()]
        lines.append(" ".join([key, ",".join(map(str, tensor.shape)) or "1", *values]))
    (OUT / f"{name}.txt").write_text("\n".join(lines) + "\n")


def draw(*shape):
    return torch.randn(*shape)


def layer_norm():
    x, shift, scale = draw(2, 3, 20) * 3 + 1, draw(2, 1, 20), draw(2, 1, 20)
    # diffusers' own modulated norm, its linear layer replaced by one that hands back [scale | shift].
    norm = AdaLayerNormContinuous(20, 20, elementwise_affine=False, eps=1e-6).double()
    norm.silu, norm.linear = torch.nn.Identity(), torch.nn.Identity()
    modulated = norm(x.double(), torch.cat([scale, shift], -1)[:, 0].double())
    weight, bias = draw(20), draw(20)
    affine = F.layer_norm(x.double(), [20], weight.double(), bias.double(), eps=1e-5)
    plain = F.layer_norm(x.double(), [20], eps=1e-6)
    save("layer_norm", x=x, shift=shift, scale=scale, weight=weight, bias=bias, modulated=modulated, affine=affine, plain=plain)


def rms_norm():
    x, weight = draw(2, 3, 20) * 5, draw(20)
    t5 = T5LayerNorm(20, eps=1e-6)
    t5.weight.data = weight
    save("rms_norm", x=x, weight=weight, out=F.rms_norm(x.double(), [20], weight.double(), 1e-6), t5=t5(x))


def activations():
    x = torch.cat([torch.linspace(-12, 12, 49), draw(11) * 3])[None]
    factor = draw(1, 60)
    names = {"gelu_tanh": "gelu_new", "gelu_erf": "gelu", "quick_gelu": "quick_gelu", "relu": "relu", "silu": "silu"}
    results = {ours: ACT2FN[theirs](x.double()) for ours, theirs in names.items()}
    save("activations", x=x, factor=factor, **results, gated=ACT2FN["gelu_new"](x.double()) * factor.double())


def epilogue():
    acc, bias, gate, residual = draw(2, 3, 10), draw(10), draw(2, 1, 10), draw(2, 3, 10)
    out = residual.double() + gate.double() * F.gelu(acc.double() + bias.double(), approximate="tanh")
    save("epilogue", acc=acc, bias=bias, gate=gate, residual=residual, out=out)


def attention():
    heads, dim, queries, keys = 2, 6, 5, 7
    q, k, v = draw(2, queries, heads * dim), draw(2, keys, heads * dim), draw(2, keys, heads * dim)
    bias = draw(heads, queries, keys) * 2

    def run(keys=keys, **options):
        split = lambda t: t.double().unflatten(-1, (heads, dim)).transpose(1, 2)
        return F.scaled_dot_product_attention(split(q), split(k[:, :keys]), split(v[:, :keys]), **options).transpose(1, 2).flatten(2)

    save(
        "attention", q=q, k=k, v=v, bias=bias, scale=dim**-0.5,
        plain=run(), biased=run(attn_mask=bias.double()[None], scale=1.0), causal=run(keys=queries, is_causal=True),
    )  # fmt: skip


def qk_norm_rope():
    heads, dim, rows = 2, 16, 5
    ids = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 0], [3, 2, 7], [1, 40, 63]]).float()
    cosine, sine = FluxPosEmbed(theta=10000, axes_dim=[4, 6, 6])(ids)
    rope = torch.stack([cosine[:, ::2], sine[:, ::2]], -1)

    def run(x, weight):  # as diffusers' FluxAttnProcessor does
        norm = torch.nn.RMSNorm(dim, eps=1e-6).to(x.dtype)
        norm.weight.data = weight.to(x.dtype)
        return apply_rotary_emb(norm(x.unflatten(-1, (heads, dim))), (cosine, sine), sequence_dim=1).flatten(2)

    q, k = (draw(2, rows, heads * dim).bfloat16() * 3 for _ in range(2))
    q_weight, k_weight = draw(dim).bfloat16(), draw(dim).bfloat16()
    save(
        "qk_norm_rope", q=q, k=k, q_weight=q_weight, k_weight=k_weight, rope=rope,
        q_f32=run(q.float(), q_weight), k_f32=run(k.float(), k_weight), q_bf16=run(q, q_weight), k_bf16=run(k, k_weight),
    )  # fmt: skip


def embed():
    table, positions = draw(11, 6), draw(8, 6)
    ids = torch.tensor([[0, 10, 3], [3, 3, 7]])
    plain = F.embedding(ids, table)
    save("embed", ids=ids, table=table, positions=positions, plain=plain, placed=plain.double() + positions[:3])


def conv():
    x, residual = draw(2, 3, 4, 5), draw(2, 4, 4, 5)
    three, one, bias = draw(4, 3, 3, 3), draw(4, 3, 1, 1), draw(4)
    upsample = Upsample2D(3, use_conv=True, out_channels=4)
    upsample.conv.weight.data, upsample.conv.bias.data = three, bias
    last = lambda t: t.permute(0, 2, 3, 1)
    run = lambda w, **options: last(F.conv2d(x.double(), w.double(), bias.double(), **options))
    save(
        "conv", x=last(x), residual=last(residual), three=three, one=one, bias=bias,
        out_three=run(three, padding=1), out_one=run(one), out_residual=run(three, padding=1) + last(residual.double()),
        out_upsampled=last(upsample.double()(x.double())),
    )  # fmt: skip


def group_norm():
    x, weight, bias = draw(2, 12, 3, 5) * 2 + 1, draw(12), draw(12)
    out = F.group_norm(x.double(), 4, weight.double(), bias.double(), 1e-6)
    last = lambda t: t.permute(0, 2, 3, 1)
    save("group_norm", x=last(x), weight=weight, bias=bias, out=last(out), silu=last(F.silu(out)))


def latents():
    packed = draw(2, 3 * 2, 4 * 5)  # 6 x 4 latents of 5 channels
    unpacked = FluxPipeline._unpack_latents(packed.double(), height=6 * 8, width=4 * 8, vae_scale_factor=8)
    save("latents", packed=packed, scaling=0.3611, shift=0.1159, out=(unpacked / 0.3611 + 0.1159).permute(0, 2, 3, 1))


def euler():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(4)
    latents, velocity = draw(2, 3, 8), draw(2, 3, 8)
    out = scheduler.step(velocity, scheduler.timesteps[0], latents).prev_sample
    save("euler", latents=latents, velocity=velocity, sigma=scheduler.sigmas[0], sigma_next=scheduler.sigmas[1], out=out)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for case in [layer_norm, rms_norm, activations, epilogue, attention, qk_norm_rope, embed, conv, group_norm, latents, euler]:
        torch.manual_seed(0)
        case()


if __name__ == "__main__":
    with torch.no_grad():
        main()
