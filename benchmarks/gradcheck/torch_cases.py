"""Functions of torch, right ones and wrong ones: torch's own, and Functions written by hand, each with a planted bug.

A case is `Case(target, shapes, ...)`; `arrays(case, dtype)` draws its inputs. Needs torch.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Case:
    """`target` of tensors of these shapes: what `values` makes of standard normals."""

    target: object
    shapes: tuple = ((4, 6),)
    values: object = lambda x: x


def arrays(case, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in case.shapes]
    return [case.values(x).to(dtype) for x in drawn]


def build(case, dtype):
    """The target with its parameters in this dtype: a module is made anew, from a fixed seed."""
    if getattr(case.target, "makes", False):
        torch.manual_seed(1)
        return case.target().to(dtype)
    return case.target


def module(make):
    make.makes = True
    return make


def _positive(x):
    return x.abs() + 0.1


def _definite(a):
    return a @ a.mT + torch.eye(a.shape[-1], dtype=a.dtype)


def _dropout(x):
    torch.manual_seed(3)
    return F.dropout(x, 0.4)


INDEX = torch.tensor([[0, 2, 5], [1, 1, 3]])
LABELS = torch.tensor([1, 0, 5, 2])
ROWS = torch.tensor([2, 0, 2, 1])

OWN = {
    "conv1d": Case(F.conv1d, ((2, 3, 9), (4, 3, 3), (4,))),
    "conv2d": Case(lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), ((2, 3, 6, 5), (4, 3, 3, 3), (4,))),
    "conv_transpose2d": Case(lambda x, w: F.conv_transpose2d(x, w, stride=2), ((1, 3, 3, 4), (3, 2, 3, 3))),
    "linear": Case(F.linear, ((4, 6), (3, 6), (3,))),
    "bilinear": Case(F.bilinear, ((4, 3), (4, 2), (5, 3, 2))),
    "layer_norm": Case(lambda x, g, b: F.layer_norm(x, (6,), g, b), ((4, 6), (6,), (6,))),
    "group_norm": Case(lambda x, g, b: F.group_norm(x, 2, g, b), ((3, 4, 5), (4,), (4,))),
    "batch_norm": Case(lambda x, g, b: F.batch_norm(x, None, None, g, b, training=True), ((7, 3), (3,), (3,))),
    "instance_norm": Case(F.instance_norm, ((2, 3, 7),)),
    "rms_norm": Case(lambda x, g: F.rms_norm(x, (6,), g), ((4, 6), (6,))),
    "normalize": Case(F.normalize),
    "softmax": Case(lambda x: F.softmax(x, dim=1)),
    "log_softmax": Case(lambda x: F.log_softmax(x, dim=1)),
    "cross_entropy": Case(lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1)),
    "nll_loss": Case(lambda x: F.nll_loss(F.log_softmax(x, 1), LABELS, reduction="sum")),
    "logit_loss": Case(lambda x, t: F.binary_cross_entropy_with_logits(x, t.sigmoid()), ((4, 6), (4, 6))),
    "kl_div": Case(lambda x, t: F.kl_div(x.log_softmax(1), t.softmax(1), reduction="batchmean"), ((4, 6), (4, 6))),
    "mse_loss": Case(F.mse_loss, ((4, 6), (4, 6))),
    "smooth_l1_loss": Case(F.smooth_l1_loss, ((4, 6), (4, 6))),
    "gaussian_nll_loss": Case(lambda m, t, v: F.gaussian_nll_loss(m, t, v.exp()), ((4, 6),) * 3),
    "gelu": Case(F.gelu),
    "gelu_tanh": Case(lambda x: F.gelu(x, approximate="tanh")),
    "silu": Case(F.silu),
    "softplus": Case(F.softplus),
    "relu": Case(F.relu),
    "leaky_relu": Case(F.leaky_relu),
    "elu": Case(F.elu),
    "hardtanh": Case(F.hardtanh),
    "prelu": Case(F.prelu, ((2, 3, 4), (3,))),
    "mish": Case(F.mish),
    "glu": Case(F.glu),
    "bmm": Case(torch.bmm, ((2, 3, 4), (2, 4, 5))),
    "einsum": Case(lambda a, b: torch.einsum("bij,jk->bik", a, b), ((2, 3, 4), (4, 5))),
    "cumsum": Case(lambda x: x.cumsum(1)),
    "cumprod": Case(lambda x: x.cumprod(1)),
    "logsumexp": Case(lambda x: x.logsumexp(1)),
    "var": Case(lambda x: x.var(1)),
    "norm": Case(lambda x: torch.linalg.vector_norm(x, dim=1)),
    "interpolate": Case(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), ((2, 2, 3, 4),)),
    "grid_sample": Case(lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False), ((1, 2, 4, 5), (1, 3, 3, 2))),
    "max_pool2d": Case(lambda x: F.max_pool2d(x, 2), ((2, 2, 4, 6),)),
    "avg_pool2d": Case(lambda x: F.avg_pool2d(x, 2), ((2, 2, 4, 6),)),
    "embedding": Case(lambda w: F.embedding(INDEX, w), ((6, 4),)),
    "gather": Case(lambda x: x.gather(0, ROWS[:, None].expand(4, 6))),
    "index_add": Case(lambda x, y: x.index_add(0, ROWS, y), ((4, 6), (4, 6))),
    "where": Case(lambda x, y: torch.where(x > 0, x * y, y), ((4, 6), (4, 6))),
    "sort": Case(lambda x: x.sort(1).values),
    "topk": Case(lambda x: x.topk(3, dim=1)),
    "attention": Case(F.scaled_dot_product_attention, ((2, 2, 5, 4),) * 3),
    "cholesky": Case(lambda a: torch.linalg.cholesky(_definite(a)), ((4, 4),)),
    "inverse": Case(lambda a: torch.linalg.inv(_definite(a)), ((4, 4),)),
    "solve": Case(lambda a, b: torch.linalg.solve(_definite(a), b), ((4, 4), (4, 2))),
    "slogdet": Case(lambda a: torch.linalg.slogdet(_definite(a)), ((4, 4),)),
    "svdvals": Case(torch.linalg.svdvals, ((4, 3),)),
    "eigvalsh": Case(lambda a: torch.linalg.eigvalsh(_definite(a)), ((4, 4),)),
    "rfft": Case(lambda x: torch.fft.rfft(x).abs()),
    "cosine_similarity": Case(F.cosine_similarity, ((4, 6), (4, 6))),
    "cdist": Case(torch.cdist, ((4, 3), (5, 3))),
    "lgamma": Case(torch.lgamma, values=_positive),
    "log_and_sqrt": Case(lambda x: x.log() * x.sqrt(), values=_positive),
    "erfinv": Case(lambda x: torch.erfinv(0.9 * x.tanh())),
    "dropout": Case(_dropout),
    "LSTMCell": Case(module(lambda: nn.LSTMCell(3, 2)), ((4, 3),)),
    "GRU": Case(module(lambda: nn.GRU(3, 2, batch_first=True)), ((2, 4, 3),)),
    "MultiheadAttention": Case(module(lambda: nn.MultiheadAttention(4, 2)), ((3, 2, 4),) * 3),
    "BatchNorm1d": Case(module(lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())), ((6, 3),)),
    "Conv2d": Case(module(lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.SiLU(), nn.Flatten())), ((2, 2, 4, 4),)),
    "relu_of_zeros": Case(F.relu, values=torch.round),
    "max_pool_of_zeros": Case(lambda x: F.max_pool2d(x, 2), ((2, 2, 4, 6),), F.relu),
    "log_of_small_and_large": Case(torch.log, values=lambda x: 10 ** (2 * x)),
    "log_softmax_of_large": Case(lambda x: F.log_softmax(x, 1), values=lambda x: 300 * x),
    "norm_of_small": Case(lambda x: torch.linalg.vector_norm(x, dim=1), values=lambda x: 1e-6 * x),
    "complex": Case(lambda a, b: torch.complex(a, b).exp().abs(), ((4, 6), (4, 6))),
    "inplace": Case(module(lambda: nn.Sequential(nn.ELU(inplace=True), nn.Linear(6, 3))), ((4, 6),)),
}


def function(forward, backward, name):
    """A Function from two plain functions: forward(*x) and backward(dy, *x), the gradients with respect to each x."""

    def remember(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def back(ctx, dy):
        return backward(dy, *ctx.saved_tensors)

    parts = {"forward": staticmethod(forward), "setup_context": staticmethod(remember), "backward": staticmethod(back)}
    return type(name, (torch.autograd.Function,), parts)


def _centred(x):
    scale = (x.var(1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
    return (x - x.mean(1, keepdim=True)) * scale, scale


def _layer_norm(dy, x, gain):
    normal, scale = _centred(x)
    d = dy * gain
    dx = scale * (d - d.mean(1, keepdim=True) - normal * (d * normal).mean(1, keepdim=True))
    return dx, (dy * normal).sum(0)


def _layer_norm_last_term(dy, x, gain):
    normal, scale = _centred(x)
    d = dy * gain
    return scale * (d - d.mean(1, keepdim=True)), (dy * normal).sum(0)


def _softmax(dy, x):
    y = x.softmax(1)
    return y * (dy - (dy * y).sum(1, keepdim=True))


def _gelu_slope(x):
    return 0.5 * (1 + torch.erf(x / 2**0.5)) + x * torch.exp(-(x**2) / 2) / (2 * torch.pi) ** 0.5


def _gelu_tanh_slope(x):
    c, k = (2 / torch.pi) ** 0.5, 0.044715
    t = torch.tanh(c * (x + k * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * c * (1 + 3 * k * x**2)


def _one_entry(dw):
    dw = dw.clone()
    dw[-1, -1] = 0
    return dw


def _mask(x):
    torch.manual_seed(5)
    return (torch.rand(x.shape) < 0.6).to(x.dtype) / 0.6


def _flipped(dy, x, w):
    return F.conv_transpose1d(dy, w.flip(2)), torch.nn.grad.conv1d_weight(x, w.shape, dy)


def _conv(dy, x, w):
    return F.conv_transpose1d(dy, w), torch.nn.grad.conv1d_weight(x, w.shape, dy)


# name: (shapes, forward, right backward, {bug: wrong backward})
BY_HAND = {
    "Leaky": (
        ((4, 6),),
        lambda x: torch.where(x > 0, x, 0.1 * x),
        lambda dy, x: torch.where(x > 0, dy, 0.1 * dy),
        {"slope_forgotten": lambda dy, x: torch.where(x > 0, dy, 0 * dy)},
    ),
    "LayerNorm": (
        ((4, 6), (6,)),
        lambda x, gain: _centred(x)[0] * gain,
        _layer_norm,
        {
            "last_term_forgotten": _layer_norm_last_term,
            "gain_without_gradient": lambda dy, x, gain: (_layer_norm(dy, x, gain)[0], None),
        },
    ),
    "Softmax": (
        ((4, 6),),
        lambda x: x.softmax(1),
        _softmax,
        {
            "diagonal_only": lambda dy, x: dy * x.softmax(1) * (1 - x.softmax(1)),
            "wrong_axis": lambda dy, x: x.softmax(1) * (dy - (dy * x.softmax(1)).sum(0)),
        },
    ),
    "Linear": (
        ((5, 4), (4, 4)),
        lambda x, w: x @ w,
        lambda dy, x, w: (dy @ w.T, x.T @ dy),
        {
            "weight_not_transposed": lambda dy, x, w: (dy @ w, x.T @ dy),
            "gradient_transposed": lambda dy, x, w: (dy @ w.T, dy.T @ x),
            "mean_for_sum": lambda dy, x, w: (dy @ w.T, x.T @ dy / len(x)),
            "last_entry_lost": lambda dy, x, w: (dy @ w.T, _one_entry(x.T @ dy)),
        },
    ),
    "Gelu": (
        ((4, 6),),
        lambda x: F.gelu(x),
        lambda dy, x: dy * _gelu_slope(x),
        {"slope_of_the_approximation": lambda dy, x: dy * _gelu_tanh_slope(x)},
    ),
    "Sigmoid": (
        ((4, 6),),
        lambda x: torch.sigmoid(x),
        lambda dy, x: dy * torch.sigmoid(x) * (1 - torch.sigmoid(x)),
        {
            "of_the_input": lambda dy, x: dy * x * (1 - x),
            "upstream_ignored": lambda dy, x: torch.sigmoid(x) * (1 - torch.sigmoid(x)),
            "a_thousandth_too_large": lambda dy, x: 1.001 * dy * torch.sigmoid(x) * (1 - torch.sigmoid(x)),
        },
    ),
    "Dropout": (
        ((4, 6),),
        lambda x: x * _mask(x),
        lambda dy, x: dy * _mask(x),
        {"fresh_mask": lambda dy, x: dy * (torch.rand(x.shape) < 0.6).to(x.dtype) / 0.6},
    ),
    "Conv": (((2, 3, 7), (4, 3, 3)), lambda x, w: F.conv1d(x, w), _conv, {"kernel_flipped": _flipped}),
    "Cube": (
        ((4, 6),),
        lambda x: x**3,
        lambda dy, x: 3 * x**2 * dy,
        {
            "clipped": lambda dy, x: (3 * x**2 * dy).clamp(-1, 1),
            "sign": lambda dy, x: -3 * x**2 * dy,
            "in_place": lambda dy, x: dy.mul_(3 * x**2).mul_(1.5),
        },
    ),
    "LogSumExp": (
        ((4, 6),),
        lambda x: x.logsumexp(1),
        lambda dy, x: dy[:, None] * x.softmax(1),
        {"of_the_whole": lambda dy, x: dy[:, None] * x.flatten().softmax(0).view_as(x)},
    ),
    "Attend": (
        ((2, 3, 4), (2, 5, 4)),
        lambda q, k: q @ k.mT / 2,
        lambda dy, q, k: (dy @ k / 2, dy.mT @ q / 2),
        {"scale_forgotten_once": lambda dy, q, k: (dy @ k / 2, dy.mT @ q)},
    ),
}

RIGHT = {name: Case(function(f, b, name), shapes) for name, (shapes, f, b, _) in BY_HAND.items()}
WRONG = {
    f"{name}_{bug}": Case(function(f, b, f"{name}_{bug}"), shapes)
    for name, (shapes, f, _, bugs) in BY_HAND.items()
    for bug, b in bugs.items()
}
