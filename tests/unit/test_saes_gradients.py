"""Every architecture's hand-written gradients against autograd of the dense objective, float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interpsweep.config.saes import ARCHITECTURES, TrainSettings
from interpsweep.saes.architectures import _entries, architecture
from interpsweep.saes.kernels import native

D_IN, D_OUT, D_SAE, BATCH, PROGRESS = 16, 11, 40, 64, 0.03

CASES = {
    "topk": {"sparsity": 4},
    "batchtopk": {"sparsity": 4},
    "matryoshka": {"sparsity": 4, "matryoshka_levels": (0.1, 0.3, 1.0)},
    "relu": {"sparsity": 0.2},
    "gated": {"sparsity": 0.2},
    "jumprelu": {"sparsity": 4, "jumprelu_bandwidth": 0.4},
    "jumprelu l0": {"sparsity": 0.3, "jumprelu_bandwidth": 0.4, "jumprelu_penalty": "l0"},
    "jumprelu tanh": {"sparsity": 0.3, "jumprelu_bandwidth": 0.4, "jumprelu_penalty": "tanh"},
}


def test_every_architecture_is_checked():
    assert {case.split()[0] for case in CASES} == set(ARCHITECTURES)


def make(case: str, d_out: int | None = None):
    """An SAE (a transcoder with `d_out`) with random weights in float64, a batch, its target."""
    kind = case.split()[0]
    exact = {"d_sae": D_SAE, "tokens": 1000, "precision": "float32"}
    settings = TrainSettings(architecture=kind, **exact, **CASES[case])
    sae = architecture(kind)(settings, D_IN, "cpu", d_out)
    generator = torch.Generator().manual_seed(5)
    for name, tensor in sae.parameters.items():
        noise = torch.randn(tensor.shape, generator=generator)
        sae.parameters[name] = (tensor + 0.2 * noise).double()
    if "threshold" in sae.parameters:
        sae.parameters["threshold"] += 1.0
    x = torch.randn(BATCH, D_IN, generator=generator, dtype=torch.float64)
    if d_out is None:
        return sae, x, x
    return sae, x, torch.randn(BATCH, d_out, generator=generator, dtype=torch.float64)


class Jump(torch.autograd.Function):
    """u * 1[u > theta] with the straight-through estimate for theta."""

    @staticmethod
    def forward(ctx, u, theta, width):
        ctx.save_for_backward(u, theta)
        ctx.width = width
        return u * (u > theta)

    @staticmethod
    def backward(ctx, upstream):
        u, theta = ctx.saved_tensors
        kernel = ((u - theta) / ctx.width).abs() < 0.5
        return upstream * (u > theta), (-theta / ctx.width * kernel * upstream).sum(0), None


class Heaviside(torch.autograd.Function):
    """1[u > theta] with the straight-through estimate for theta, none for u."""

    @staticmethod
    def forward(ctx, u, theta, width):
        ctx.save_for_backward(u, theta)
        ctx.width = width
        return (u > theta).double()

    @staticmethod
    def backward(ctx, upstream):
        u, theta = ctx.saved_tensors
        kernel = ((u - theta) / ctx.width).abs() < 0.5
        return None, (-1 / ctx.width * kernel * upstream).sum(0), None


def reference_loss(sae, x: Tensor, y: Tensor, dead: Tensor | None) -> tuple[Tensor, Tensor]:
    """(the objective, the squared error), written densely and from the papers' formulas."""
    s, p = sae.settings, sae.parameters
    centred = x - p["b_dec"] if x is y else x  # a transcoder has no centre in common with it
    pre = centred @ p["encoder"].T + p["b_enc"]
    share = min(1.0, PROGRESS / s.sparsity_warm_up)

    def squared(acts: Tensor, decoder: Tensor, bias: Tensor) -> Tensor:
        return ((acts @ decoder + bias - y) ** 2).sum() / len(x)

    if s.architecture == "relu":
        acts = pre.relu()
        error = squared(acts, p["decoder"], p["b_dec"])
        return error + share * s.sparsity * (acts.mean(0) @ p["decoder"].norm(dim=1)), error
    if s.architecture == "gated":
        projected = centred @ p["encoder"].T
        magnitude = (projected * p["r_mag"].exp() + p["b_mag"]).relu()
        error = squared(magnitude * (pre > 0), p["decoder"], p["b_dec"])
        frozen = squared(pre.relu(), p["decoder"].detach(), p["b_dec"].detach())
        return error + frozen + share * s.sparsity * pre.relu().sum(1).mean(), error
    if s.architecture == "jumprelu":
        width = s.jumprelu_bandwidth
        acts = Jump.apply(pre, p["threshold"], width)
        l0 = Heaviside.apply(pre, p["threshold"], width).sum(1).mean()
        error = squared(acts, p["decoder"], p["b_dec"])
        penalty = {
            "target": 10 * y.shape[1] * (l0 / s.sparsity - 1) ** 2,
            "l0": s.sparsity * l0,
            "tanh": s.sparsity * torch.tanh(4 * acts).sum(1).mean(),
        }[s.jumprelu_penalty]
        return error + share * penalty + auxiliary_loss(sae, y, pre, acts, dead), error
    flat = pre if s.architecture == "topk" else pre.flatten()
    count = s.k if s.architecture == "topk" else len(x) * s.k
    mask = torch.zeros_like(flat).scatter(-1, flat.topk(count, -1).indices, 1).view_as(pre)
    acts = (pre * mask).relu()
    widths = [4, 12, 40] if s.architecture == "matryoshka" else [40]
    levels = [squared(acts[:, :w], p["decoder"][:w], p["b_dec"]) for w in widths]
    loss = torch.stack(levels).mean()
    loss = loss + auxiliary_loss(sae, y, pre, acts, dead)
    return loss, levels[-1]


def auxiliary_loss(sae, y: Tensor, pre: Tensor, acts: Tensor, dead: Tensor | None):
    """AuxK: the strongest dead latents of each row model what the others left."""
    if dead is None:
        return 0.0
    hidden = pre.masked_fill(~dead, -torch.inf)
    counts = sae.settings.sparsity >= 1  # a number of latents, not a coefficient
    k = min(round(sae.settings.sparsity) if counts else D_IN // 2, int(dead.sum()))
    mask = torch.zeros_like(pre).scatter(1, hidden.topk(k).indices, 1)
    decoder, bias = sae.parameters["decoder"], sae.parameters["b_dec"]
    residual = (y - acts @ decoder - bias).detach()
    model = (pre * mask).relu() @ decoder
    return sae.settings.auxiliary_coefficient * ((model - residual) ** 2).sum() / len(y)


@pytest.mark.parametrize("d_out", [None, D_OUT])
@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("with_dead", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ["compiled", "torch"])  # what GPUs use is torch
def test_manual_gradients_equal_autograd(case, with_dead, form, d_out, engine, monkeypatch):
    if engine == "torch":
        monkeypatch.setattr(native, "serves", lambda tensor: False)
    monkeypatch.setitem(_entries.SPARSE_BELOW, "float32", 2 if form == "sparse" else 0)
    sae, x, y = make(case, d_out)
    dead = torch.arange(D_SAE) % 3 == 0 if with_dead else None
    step = sae.step(x, y, PROGRESS, dead)
    for tensor in sae.parameters.values():
        tensor.requires_grad_()
    loss, squared = reference_loss(sae, x, y, dead)
    loss.backward()
    exact = {"rtol": 1e-10, "atol": 1e-11}
    torch.testing.assert_close(step.loss, loss.detach(), **exact)
    torch.testing.assert_close(step.squared_error, squared.detach(), **exact)
    assert step.gradients.keys() == sae.parameters.keys()
    for name, tensor in sae.parameters.items():
        assert tensor.grad.abs().max() > 0
        torch.testing.assert_close(step.gradients[name], tensor.grad, **exact)


def test_thresholds_start_where_the_batch_has_four_times_the_target():
    sae, x, _ = make("jumprelu")
    sae.settings = sae.settings.model_copy(update={"sparsity": 0.5})
    step = sae.step(x, x, 0.0, None)
    assert sae.parameters["threshold"].unique().numel() == 1
    # all but the one at the threshold itself
    assert int(step.fired.sum()) == 2 * BATCH - 1
