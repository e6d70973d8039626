"""Runs in the environment of the other packages: writes their SAEs, and reads ours, with their code.

    python peers.py write PACKAGE OUT     one folder for each SAE, with expected.safetensors beside it
    python peers.py read X FOLDER...      open FOLDER with SAELens, write read.safetensors into it
    python peers.py load FORMAT FOLDER    the same with its loader of a hub's format: expected.safetensors

``expected`` and ``read`` hold what the package computes on activations x: acts (n, d_sae) and out
(n, d_in). Nothing of interpsweep is imported here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

D_IN, D_SAE, K, ROWS, HEADS = 12, 40, 4, 64, 3
SITE = "blocks.0.hook"


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Random weights, decoder rows of all lengths, positive thresholds."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(
        {**dict(module.named_parameters()), **dict(module.named_buffers())}.items()
    ):
        if not tensor.is_floating_point():
            continue
        values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.5
        if "threshold" in name:
            values = values.abs() + 0.1
        tensor.data.copy_(values)


def inputs() -> torch.Tensor:
    return torch.randn(ROWS, D_IN, generator=torch.Generator().manual_seed(99)) + 0.3


def expect(folder: Path, acts: torch.Tensor, out: torch.Tensor) -> None:
    tensors = {"x": inputs(), "acts": acts, "out": out}
    save_file(
        {k: v.detach().float().contiguous() for k, v in tensors.items()},
        folder / "expected.safetensors",
    )


def saelens(root: Path) -> None:
    """Every training architecture of an SAE: as exported for inference, and as a checkpoint."""
    for kind, options in {
        "standard": {}, "gated": {}, "jumprelu": {}, "topk": {"k": K}, "batchtopk": {"k": float(K)},
        "matryoshka_batchtopk": {"k": float(K), "matryoshka_widths": [10, 20, D_SAE]},
    }.items():  # fmt: skip
        norms = [True, False] if kind in ("topk", "batchtopk") else [None]
        for rescale in norms:
            chosen = {} if rescale is None else {"rescale_acts_by_decoder_norm": rescale}
            name = kind if rescale is None else f"{kind}-rescale-{rescale}"
            for seed, subtract in enumerate((True, False)):
                _saelens(
                    root,
                    f"{name}-subtract-{subtract}",
                    kind,
                    seed,
                    apply_b_dec_to_input=subtract,
                    **options,
                    **chosen,
                )
    for kind in ("layer_norm", "constant_norm_rescale"):
        _saelens(root, f"standard-{kind}", "standard", 7, normalize_activations=kind)


def _saelens(root: Path, name: str, kind: str, seed: int, **options: object) -> None:
    from sae_lens import SAE
    from sae_lens.registry import get_sae_training_class
    from sae_lens.saes.sae import SAEMetadata

    sae_class, config_class = get_sae_training_class(kind)
    metadata = SAEMetadata(hook_name=SITE, model_name="tiny", l0=4.25)
    sae = sae_class(config_class(d_in=D_IN, d_sae=D_SAE, metadata=metadata, **options))
    randomise(sae, seed)
    exported = root / f"{name}-inference"
    sae.save_inference_model(exported)
    loaded = SAE.load_from_disk(exported)
    acts = loaded.encode(inputs())
    expect(exported, acts, loaded.decode(acts))
    checkpoint = root / f"{name}-checkpoint"
    sae.save_model(checkpoint)
    expect(checkpoint, acts, SAE.load_from_disk(exported)(inputs()))


def dictionary_learning(root: Path) -> None:
    """Every class that its own loader knows."""
    from dictionary_learning import dictionary as d
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    made = [
        d.AutoEncoder(D_IN, D_SAE), d.AutoEncoderNew(D_IN, D_SAE), d.GatedAutoEncoder(D_IN, D_SAE),
        d.JumpReluAutoEncoder(D_IN, D_SAE), AutoEncoderTopK(D_IN, D_SAE, K), BatchTopKSAE(D_IN, D_SAE, K),
        MatryoshkaBatchTopKSAE(D_IN, D_SAE, K, [10, 10, 20]),
    ]  # fmt: skip
    for seed, sae in enumerate(made):
        kind = type(sae).__name__
        randomise(sae, seed)
        folder = root / kind
        folder.mkdir(parents=True)
        torch.save({k: v.cpu() for k, v in sae.state_dict().items()}, folder / "ae.pt")
        trainer = {"dict_class": kind, "activation_dim": D_IN, "dict_size": D_SAE, "layer": 0,
                   "lm_name": "tiny", "k": K if hasattr(sae, "k") else None}  # fmt: skip
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
        acts = sae.encode(inputs())
        expect(folder, acts, sae.decode(acts))


def sparsify(root: Path) -> None:
    """Top-k coders with a width of their own and with an expansion factor."""
    from sparsify import Sae, SaeConfig

    for name, options in {
        "num-latents": {"num_latents": D_SAE}, "expansion": {"expansion_factor": 3},
        "free-decoder": {"num_latents": D_SAE, "normalize_decoder": False},
    }.items():  # fmt: skip
        sae = Sae(D_IN, SaeConfig(k=K, **options))
        randomise(sae, len(name))
        if sae.cfg.normalize_decoder:
            sae.set_decoder_norm_to_unit_norm()
        sae.save_to_disk(root / name)
        sae = Sae.load_from_disk(root / name)
        top = sae.encode(inputs())
        acts = torch.zeros(ROWS, sae.num_latents).scatter_(1, top.top_indices, top.top_acts)
        expect(root / name, acts, sae.decode(top.top_acts, top.top_indices))


def load(format_: str, folder: Path) -> None:
    """What SAELens makes of a folder of a repository, which it is told to be."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders

    def local(repo_id: str, filename: str, subfolder: str = "", **_: object) -> str:
        return str(folder.parent / subfolder / filename)

    def shapes(repo_id: str, name: str) -> dict[str, list[int]]:
        return {key: list(t.shape) for key, t in load_file(folder.parent / name).items()}

    loaders.hf_hub_download, loaders.get_safetensors_tensor_shapes = local, shapes
    name = {"gemma_scope_2": "gemma_3", "llama_scope": "llama_scope"}[format_]
    loader = getattr(loaders, f"{name}_sae_huggingface_loader")
    cfg, tensors, _ = loader("a/b", folder.name, cfg_overrides={"dtype": "float32"})
    sae = SAE.from_dict(loaders.handle_config_defaulting(cfg))
    sae.load_state_dict(tensors)
    if format_ == "llama_scope":  # it keeps these factors in a list of its own
        told = json.loads((folder / "hyperparams.json").read_text())
        norm = told["dataset_average_activation_norm"]["in"]
        sae.fold_activation_norm_scaling_factor(told["d_model"] ** 0.5 / norm)
    acts = sae.encode(inputs())
    expect(folder, acts, sae.decode(acts))


def read(x: Path, folders: list[Path]) -> None:
    from sae_lens import SAE

    rows = load_file(x)["x"]
    for folder in folders:
        sae = SAE.load_from_disk(folder)
        by_head = sae.cfg.reshape_activations == "hook_z"  # SAELens takes such rows head by head
        acts = sae.encode(rows.view(1, len(rows), HEADS, -1) if by_head else rows)
        out = sae.decode(acts).reshape(len(rows), -1)
        acts = acts.reshape(len(rows), -1)
        facts = json.dumps(
            {"architecture": sae.cfg.architecture(), "metadata": sae.cfg.metadata.to_dict()}
        )
        save_file({"acts": acts.detach().contiguous(), "out": out.detach().contiguous()},
                  folder / "read.safetensors", metadata={"cfg": facts})  # fmt: skip


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    what, first, *rest = sys.argv[1:]
    if what == "read":
        read(Path(first), [Path(name) for name in rest])
    elif what == "load":
        load(first, Path(rest[0]))
    else:
        {"saelens": saelens, "dictionary_learning": dictionary_learning, "sparsify": sparsify}[
            first
        ](Path(rest[0]))
