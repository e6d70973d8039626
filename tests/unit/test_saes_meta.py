"""Meta-SAEs: decoder rows that are composed of a few shared directions, and rows that are not."""

from __future__ import annotations

import numpy as np
import pytest

from interpsweep.config.meta import MetaSettings
from interpsweep.context import Context
from interpsweep.saes import meta
from interpsweep.saes.artifact import Dictionary, write_dictionary
from interpsweep.tables import read_json, read_parquet

D, ATOMS, LATENTS = 32, 40, 600
SETTINGS = MetaSettings(share=ATOMS / LATENTS, k=2, steps=1500, batch_size=256)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def run(root, rows):
    """The stage on an SAE with these decoder rows."""
    root.mkdir()
    size = len(rows)
    tensors = {"W_enc": rows.T, "W_dec": 3 * rows, "b_enc": np.zeros(size), "b_dec": np.ones(D)}
    write_dictionary(root / "sae", "standard", tensors)
    out = root / "meta"
    out.mkdir()
    spec = {"settings": SETTINGS.identity(), "inputs": {"sae": "digest"}}
    summary = meta.run(spec, {"sae": root / "sae"}, out, Context(device="cpu"))
    assert summary == read_json(out / "summary.json")
    return summary, out


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(0)
    atoms = unit(rng.standard_normal((ATOMS, D)))
    pairs = np.array([rng.choice(ATOMS, 2, replace=False) for _ in range(LATENTS)])
    return atoms, pairs, unit(atoms[pairs].sum(axis=1)).astype(np.float32)


def test_planted_parents_are_found(tmp_path, planted):
    atoms, pairs, rows = planted
    summary, out = run(tmp_path / "planted", rows)
    assert (summary["latents"], summary["metas"]) == (LATENTS, ATOMS)
    assert summary["explained_variance"] > 0.9
    assert summary["explained_variance_null"] < summary["explained_variance"] - 0.2
    assert abs(summary["l0"] - 2) < 0.5
    cosines = Dictionary.open(out).directions @ atoms.T
    nearest = cosines.argmax(axis=1)
    # directions are told up to a part of the common bias
    assert (cosines.max(axis=0) > 0.7).sum() >= 0.95 * ATOMS
    table = read_parquet(out / meta.COMPOSITION)
    strongest = table[table["rank"] < 2]
    found = np.isin(
        nearest[strongest["meta"]] + ATOMS * strongest["feature"],
        (pairs + ATOMS * np.arange(LATENTS)[:, None]).ravel(),
    )
    assert found.sum() > 0.9 * 2 * LATENTS
    assert (table.groupby("feature")["activation"].diff().dropna() <= 0).all()


def test_rows_without_parts_are_explained_no_better_than_the_null(tmp_path):
    rows = unit(np.random.default_rng(1).standard_normal((LATENTS, D))).astype(np.float32)
    summary, _ = run(tmp_path / "random", rows)
    assert abs(summary["explained_variance"] - summary["explained_variance_null"]) < 0.05


def test_the_null_keeps_the_spectrum(planted):
    rows = planted[2] + np.float32(0.1)
    null = meta.permuted_components(unit(rows), np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(null, axis=1), 1, rtol=1e-5)
    spectra = [np.linalg.eigvalsh(np.cov(x.T)) for x in (unit(rows), null)]
    assert np.abs(spectra[0] - spectra[1]).sum() < 0.05 * spectra[0].sum()
    assert (unit(rows) @ null.T).max() < 0.95


def test_every_row_is_seen_once_an_epoch():
    seen = np.concatenate(list(meta.shuffled(10, 4, 5, 3)))
    for epoch in (seen[:10], seen[10:]):
        assert sorted(epoch) == list(range(10))
    assert (seen[:10] != seen[10:]).any()
