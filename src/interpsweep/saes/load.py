"""Any SAE directory as a torch module: encode, decode, dense or sparse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from interpsweep.errors import UserError
from interpsweep.saes.artifact import CONFIG, TRANSCODERS, Dictionary
from interpsweep.saes.kernels import SparseCodes, decode, fixed_k, from_mask, native, top_k

NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
_EPSILON = 1e-5
PART_FLOATS = 1 << 23  # pre-activations held at once by `encode_parts`


def load(path: Path | str, device: str = "cpu") -> LoadedSAE:
    """Open an SAE directory (SAELens v6: standard, topk, jumprelu, gated) on a device."""
    return LoadedSAE(Dictionary.open(path)).to(device)


class LoadedSAE(nn.Module):
    """An SAE for inference on activations (batch, d_in) float32, as they are stored."""

    # buffers: those of the dictionary's architecture (see `saes.artifact`), decoder norms, and the
    # same as a unit to measure activations in: 1 where a decoder row is zero
    W_enc: Tensor
    W_dec: Tensor
    b_enc: Tensor
    b_dec: Tensor
    threshold: Tensor
    b_gate: Tensor
    b_mag: Tensor
    r_mag: Tensor
    norms: Tensor
    units: Tensor

    def __init__(self, dictionary: Dictionary) -> None:
        super().__init__()
        self.architecture, self.k = dictionary.architecture, dictionary.k
        self.d_in, self.d_sae, self.d_out = dictionary.d_in, dictionary.d_sae, dictionary.d_out
        cfg = dictionary.cfg
        self.transcodes = cfg["architecture"] in TRANSCODERS.values()
        self.subtract = bool(cfg.get("apply_b_dec_to_input", True)) and not self.transcodes
        self.rescale = bool(cfg.get("rescale_acts_by_decoder_norm", False))
        self.normalisation = cfg.get("normalize_activations") or "none"
        if self.normalisation not in NORMALISATIONS:
            raise UserError(
                f"{dictionary.path / CONFIG}: normalize_activations {self.normalisation!r} is not "
                f"one of {', '.join(NORMALISATIONS)}; fold the scale into the weights, write none"
            )
        for name, array in dictionary.tensors.items():
            self.register_buffer(name, torch.from_numpy(array.copy()))
        self.register_buffer("norms", torch.from_numpy(dictionary.decoder_norms.copy()))
        self.register_buffer("units", torch.where(self.norms > 0, self.norms, 1))

    @property
    def fixed(self) -> int | None:
        """Active latents per token if every token has the same number of them."""
        return self.k

    # ------------------------------------------------------------------ encoding

    def encode(self, x: Tensor) -> Tensor:
        """Activations (batch, d_sae), in the units of the SAE's own decoder."""
        return self.encode_sparse(x).dense(self.d_sae)

    def encode_sparse(self, x: Tensor, *, folded: bool = False) -> SparseCodes:
        """The same as sparse codes; `folded` multiplies them by the decoder norms."""
        x, _ = self._normalise(x)
        centred = x - self.b_dec if self.subtract else x
        codes = getattr(self, f"_{self.architecture}")(centred)
        if folded and not (self.architecture == "topk" and self.rescale):
            return codes.with_values(codes.values * self.norms[codes.columns])
        if not folded and self.architecture == "topk" and self.rescale:
            return codes.with_values(codes.values / self.units[codes.columns])
        return codes

    def _topk(self, centred: Tensor) -> SparseCodes:
        assert self.k is not None  # a topk dictionary has it
        pre = native.matmul(centred, self.W_enc).add_(self.b_enc)
        if self.rescale:
            pre.mul_(self.norms)  # a large array: in place
        values, columns = top_k(pre, self.k)
        order = columns.argsort(dim=1)
        return fixed_k(columns.gather(1, order), values.gather(1, order).relu())

    def _standard(self, centred: Tensor) -> SparseCodes:
        pre = native.matmul(centred, self.W_enc).add_(self.b_enc)
        return from_mask(pre > 0, pre)

    def _jumprelu(self, centred: Tensor) -> SparseCodes:
        pre = native.matmul(centred, self.W_enc).add_(self.b_enc)
        return from_mask(pre > self.threshold.relu(), pre)

    def _gated(self, centred: Tensor) -> SparseCodes:
        projected = native.matmul(centred, self.W_enc)
        magnitude = projected * self.r_mag.exp() + self.b_mag
        return from_mask((projected + self.b_gate > 0) & (magnitude > 0), magnitude)

    # ------------------------------------------------------------------ decoding

    def reconstruct(self, x: Tensor, codes: SparseCodes | None = None) -> Tensor:
        """What the SAE makes of activations (batch, d_in): (batch, d_out).

        `codes` saves encoding them again.
        """
        _, undo = self._normalise(x)
        codes = self.encode_sparse(x) if codes is None else codes
        return undo(decode(codes, self.W_dec) + self.b_dec)

    def decode(self, acts: Tensor) -> Tensor:
        """Reconstruction (batch, d_in) of dense activations as `encode` gives them.

        Without undoing `normalize_activations`, which needs the input: see `reconstruct`.
        """
        return acts @ self.W_dec + self.b_dec

    def _normalise(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The input as the encoder wants it, and the function that undoes that on outputs."""
        if self.normalisation == "layer_norm":
            mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
            return (x - mean) / (std + _EPSILON), lambda out: out * std + mean
        if self.normalisation == "constant_norm_rescale":
            factor = self.d_in**0.5 / x.norm(dim=-1, keepdim=True)
            return x * factor, lambda out: out / factor
        return x, lambda out: out


def encode_parts(
    sae: LoadedSAE, x: Tensor, *, folded: bool = False
) -> Iterator[tuple[Tensor, SparseCodes]]:
    """Yield (part of `x`, its codes) for rows (n, d_in): memory stays bounded however wide the SAE.

    The size of the parts depends on the width alone, so results do not depend on the caller.
    """
    rows = max(64, PART_FLOATS // sae.d_sae)
    for part in x.split(rows):
        yield part, sae.encode_sparse(part, folded=folded)
