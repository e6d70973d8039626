"""Models of our own: loading, sites, forward passes with splices, training that resumes exactly."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from interpsweep.config.models import Architecture, TrainingSettings, TrainModelSettings
from interpsweep.context import Context, Stopped
from interpsweep.errors import UserError
from interpsweep.models import native, train
from interpsweep.models.forward import forward_logits, forward_sites, forward_with_replacement
from interpsweep.models.load import LoadedModel, hub_folder, load_model
from interpsweep.worlds import language

SMALL = Architecture(n_layers=2, d_model=16, n_heads=2, d_mlp=32, n_ctx=12)
WORDS = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("model")
    config = native.native_config(SMALL, WORDS, 3)
    native.save(native.build(config), config, ["w"] * WORDS, folder)
    return load_model({"source": "trained"}, folder, Context())


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, WORDS, (5, 12)))


def test_loading_gives_the_model_that_was_saved(model: LoadedModel, tokens: torch.Tensor) -> None:
    plain = native.build(native.native_config(SMALL, WORDS, 3)).eval()
    with torch.no_grad():
        expected = plain(tokens)
    torch.testing.assert_close(forward_logits(model, tokens), expected, rtol=1e-4, atol=1e-5)
    assert (model.d_model, model.n_layers, model.n_ctx, model.causal) == (16, 2, 12, True)


def test_names_of_sites_are_checked(model: LoadedModel) -> None:
    good = ["hook_embed", "blocks.0.hook_resid_pre", "blocks.1.hook_resid_post"]
    good += ["blocks.0.hook_resid_mid", "blocks.1.hook_mlp_out", "blocks.1.attn.hook_z"]
    assert model.check_sites(good) == []
    assert set(model.site_widths(good).values()) == {16}
    assert model.site_widths(["blocks.0.mlp.hook_post"]) == {"blocks.0.mlp.hook_post": 32}
    (message,) = model.check_sites(["blocks.1.hook_resid_pots"])
    assert "did you mean 'blocks.1.hook_resid_post'" in message
    bad = ["blocks.2.hook_resid_post", "blocks.0.attn.hook_pattern", "blocks.0.attn.hook_result"]
    assert len(model.check_sites(bad)) == 3
    with pytest.raises(UserError):
        model.site_widths(bad)


def test_captured_sites_are_those_of_the_bridge(model: LoadedModel, tokens: torch.Tensor) -> None:
    sites = ["hook_embed", "blocks.0.hook_resid_mid", "blocks.1.attn.hook_z"]
    found = forward_sites(model, tokens, sites)
    _, cache = model.bridge.run_with_cache(tokens)
    for site in sites:
        assert torch.equal(found[site], cache[site].flatten(2)), site


def test_the_pass_stops_after_the_last_site(model: LoadedModel, tokens: torch.Tensor) -> None:
    ran = []
    with model.hooked({"blocks.1.hook_resid_pre": lambda activations, hook: ran.append(1)}):
        forward_sites(model, tokens, ["blocks.0.hook_resid_post"])
        assert not ran
        forward_sites(model, tokens, ["blocks.1.hook_resid_post"])
        assert ran
    assert not any(point.fwd_hooks for point in model.hooks.values())  # nothing stays attached


def test_replacing_a_site(model: LoadedModel, tokens: torch.Tensor) -> None:
    plain = forward_logits(model, tokens)
    for site in ("blocks.0.hook_resid_post", "blocks.1.attn.hook_z", "hook_embed"):
        same = forward_with_replacement(model, tokens, site, lambda x: x)
        assert torch.equal(same, plain), site
        other = forward_with_replacement(model, tokens, site, torch.zeros_like)
        assert not torch.allclose(other, plain), site
    # with the last residual stream at zero, only the constant of the final norm is left
    zero = forward_with_replacement(model, tokens, "blocks.1.hook_resid_post", torch.zeros_like)
    assert torch.allclose(zero, torch.zeros_like(zero), atol=1e-6)


def test_a_site_that_the_skip_connection_avoids_is_not_replaced(
    model: LoadedModel, tokens: torch.Tensor
) -> None:
    assert model.replaceable("blocks.0.hook_resid_post")
    assert not model.replaceable("blocks.0.hook_resid_mid")
    with pytest.raises(ValueError, match="skip connection"):
        forward_with_replacement(model, tokens, "blocks.0.hook_resid_mid", lambda x: x)


def test_an_absent_hub_model_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="hf download nobody/nothing --revision " + "0" * 40):
        hub_folder("nobody/nothing", "0" * 40)


# ------------------------------------------------------------------------------------- training


def settings(**training: Any) -> TrainModelSettings:
    wanted = {"steps": 12, "batch_size": 4, "warmup_steps": 3, **training}
    return TrainModelSettings(architecture=SMALL, training=TrainingSettings(**wanted))


def spec(**training: Any) -> dict[str, Any]:
    return {"stage": "model", "version": 1, "settings": settings(**training).identity()}


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_a_stopped_training_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    metrics = train.run(spec(), {}, whole, Context())
    stops = 0
    while True:
        ctx = Context()
        ctx.stopping = stops < 5  # SIGTERM during the first step of each attempt, five times
        try:
            again = train.run(spec(), {}, broken, ctx)
            break
        except Stopped:
            stops += 1
            assert (broken / train.CHECKPOINT).exists()
    assert stops == 5
    assert again == metrics
    assert files(broken) == files(whole)
    assert set(files(whole)) == {
        "config.json",
        "model.safetensors",
        "training.parquet",
        "vocabulary.json",
    }


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    ctx = Context()
    ctx.stopping = True
    with pytest.raises(Stopped):
        train.run(spec(), {}, tmp_path, ctx)
    with pytest.raises(UserError, match="another model"):
        train.run(spec(steps=13), {}, tmp_path, Context())


def test_training_learns(tmp_path: Path) -> None:
    metrics = train.run(spec(steps=150, batch_size=16, learning_rate=0.01), {}, tmp_path, Context())
    assert metrics["loss"] < 4.5  # a uniform guess over the vocabulary costs 5.9 nats
    assert metrics["tokens"] == 150 * 16 * 12


def test_a_model_that_takes_no_step_has_the_weights_that_training_begins_with(
    tmp_path: Path,
) -> None:
    metrics = train.run(spec(steps=0), {}, tmp_path, Context())
    world = language(settings().language)
    config = native.native_config(SMALL, len(world.vocabulary), settings().seed)
    first = dict(native.build(config).named_parameters())
    written = load_file(tmp_path / native.WEIGHTS)
    assert set(written) == set(first)
    assert all(torch.equal(written[name], first[name]) for name in first)
    assert metrics["loss"] is None and metrics["tokens"] == 0
    assert metrics["validation_loss"] > np.log(len(world.vocabulary)) - 0.2  # that of a guess
    log = pd.read_parquet(tmp_path / "training.parquet")
    assert not len(log) and set(log.dtypes.astype(str)) == {"int64", "float64"}


def test_a_loss_that_is_not_finite_stops_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = native.build

    def broken(config: dict[str, Any]) -> torch.nn.Module:
        made = build(config)
        with torch.no_grad():
            made.head.weight[0] = float("nan")
        return made

    monkeypatch.setattr(native, "build", broken)
    with pytest.raises(UserError, match="step 1 of 12"):
        train.run(spec(), {}, tmp_path, Context())


def test_the_learning_rate_rises_and_falls() -> None:
    wanted = settings(steps=100, warmup_steps=10, learning_rate=1.0).training
    rates = [train.learning_rate(wanted, step) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert all(a > b > 0 for a, b in pairwise(rates[10:]))
    assert rates[-1] < 1e-3
