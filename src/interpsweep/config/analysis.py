"""Settings of the analysis stages, from match to claims.

Every field that is part of a stage's identity changes the digest of what the stage makes. What the
planner adds per item (``direction`` of a match, ``index`` of the claims) travels beside these
fields in ``spec["settings"]``; `own_fields` takes the section's own fields out of such a mapping.
"""

from __future__ import annotations

from typing import Literal

from interpsweep.config.base import Section, field


class MatchSettings(Section):
    """How the latents of two SAEs are compared."""

    directions: tuple[Literal["width", "seed", "layer", "levels"], ...] = field(
        ("width", "seed", "levels"),
        "Which neighbours are matched: the next width of a family, seed at one width, site, or the "
        "nested levels of one Matryoshka SAE.",
        identity=False,
    )
    skip_levels: int = field(
        1,
        "Most widths that a pair of one family may leave out between its two, when `width` is "
        "matched: a feature that no neighbouring width holds finds its parent further below. 0 = "
        "neighbouring widths only.",
        unit="widths",
        ge=0,
        identity=False,
    )
    firing_level: float = field(
        0.2,
        "Share of its largest activation above which a latent counts as firing in matches and in "
        "the trees made of them.",
        ge=0,
        lt=1,
    )
    top_k: int = field(
        8, "Neighbours kept per latent and per ranking (cosine, co-firing).", unit="latents", ge=1
    )
    cosine_floor: float = field(
        0.3, "Every pair above this decoder cosine is kept as well.", ge=0.0, le=1.0
    )
    overlap_floor: float = field(
        0.5, "Every pair with P(a|b) or P(b|a) above this share is kept as well.", gt=0.0, le=1.0
    )
    block: int = field(
        512, "Rows of one block of the cosine product.", unit="latents", ge=16, identity=False
    )
    assignment_limit: int = field(
        4096,
        "Largest width that is assigned by the dense Hungarian method; wider ones are assigned "
        "among their nearest latents.",
        unit="latents",
        ge=0,
    )
    vertex_firings: int = field(
        30,
        "Between layers: a latent with fewer firings has no part in their complex "
        "(docs/methods.md). No other matches read it.",
        unit="tokens",
        ge=1,
    )
    null_draws: int = field(39, "Random dictionaries drawn for each null.", unit="draws", ge=1)
    seed: int = field(0, "Seed of the null draws.", ge=0)


class TreeSettings(Section):
    """Thresholds of the decision list that names the edges of a width ladder (docs/methods.md)."""

    min_firings: int = field(
        30, "A latent with fewer firings is called rare and not classified.", unit="tokens", ge=1
    )
    covered: float = field(
        0.8,
        "Lower bound of the share of a latent's activation that lies where another one fires, from "
        "which it is covered by that one.",
        gt=0,
        le=1,
    )
    identity_cosine: float = field(
        0.9, "Decoder cosine from which mutual neighbours are the same latent.", gt=0, le=1
    )
    holes_cosine: float = field(
        0.8,
        "Decoder cosine from which mutual neighbours are the same latent with holes.",
        gt=0,
        le=1,
    )
    silent: float = field(
        0.5,
        "P(match|child) below which the parent's match is off beside the child (absorption or "
        "split), and from which it fires with it (specialisation).",
        ge=0,
        lt=1,
    )
    projection_share: float = field(
        0.4,
        "Share of the parent's projection that an absorber must carry; a random direction in its "
        "place must carry less.",
        ge=0,
        le=1,
    )
    asymmetry: float = field(
        0.5,
        "From which asymmetry (R_match - R_child) / (1 - R_child) a child holds its match's whole "
        "contribution, as an absorbing one does (1), rather than sharing a part with it, as "
        "siblings of a split do (0).",
        gt=0,
        lt=1,
    )
    conserved: float = field(
        1.5,
        "Largest R_match of an absorbing child: it contributes along its match as much as that "
        "does, not more.",
        gt=1,
    )
    attenuation: float = field(
        0.8,
        "Relative strength of the match beside a child below which the child absorbs it partly.",
        gt=0,
        le=1,
    )
    coverage: float = field(
        0.9,
        "Share of the parent's firings that the children of a split cover; else it is incomplete.",
        gt=0,
        le=1,
    )
    composition_r2: float = field(
        0.8, "Smallest R2 of a wide direction as a sum of narrow parents.", gt=0, le=1
    )
    composition_gain: float = field(
        0.15, "Smallest R2 gain of several parents over the best single one.", gt=0
    )
    novel_cosine: float = field(
        0.7,
        "Cosine below which a latent can be novel where the data cannot calibrate it (Youden).",
        gt=0,
        le=1,
    )
    novel_npmi: float = field(
        0.2,
        "NPMI below which a pair counts as unrelated: largest of a novel latent, smallest of a "
        "specialisation.",
        gt=-1,
        le=1,
    )


class GeometrySettings(Section):
    """Clusters of decoder directions and the census of their shapes."""

    min_cluster: int = field(4, "Smallest cluster that is tested.", unit="latents", ge=4)
    max_cluster: int = field(50, "Largest cluster that is kept whole.", unit="latents", ge=5)
    min_firings: int = field(30, "A latent with fewer firings is left out.", unit="tokens", ge=0)
    clusterings: tuple[Literal["cosine", "leiden", "spectral", "tegum"], ...] = field(
        ("cosine", "leiden"),
        "How directions are clustered: average linkage, Leiden communities of nearest neighbours, "
        "spectral clustering of angles, factors in orthogonal subspaces.",
        min_length=1,
    )
    firing_clusterings: tuple[Literal["phi", "jaccard"], ...] = field(
        ("phi",), "How latents are clustered by firing on the same tokens, beside firing profiles."
    )
    together: float = field(
        0.1, "Mean phi or Jaccard overlap that such a cluster exceeds inside.", gt=0, lt=1
    )
    neighbours: int = field(
        10, "Nearest directions that one is joined to for Leiden.", unit="latents", ge=2
    )
    spectral_clusters: int = field(
        1000, "Clusters asked of spectral clustering, at most latents / min_cluster.", ge=2
    )
    linkage_limit: int = field(
        4096,
        "Most latents in one linkage, wider dictionaries are bisected first; most latents, the "
        "most frequent ones, clustered by joint firing; spectral clustering of more is refused.",
        unit="latents",
        ge=64,
    )
    firing_level: float = field(
        0.2,
        "Share of its largest activation above which a latent counts as firing, in profiles, in "
        "clusters by joint firing, and where it holds a kind of token.",
        ge=0,
        lt=1,
    )
    profile_latents: int = field(
        1024,
        "Most latents, the most frequent ones, that the firing profiles are taken over.",
        unit="latents",
        ge=16,
    )
    min_kind: int = field(
        20, "A kind of token with fewer occurrences is left out.", unit="tokens", ge=2
    )
    kinds: int = field(
        4096, "Most kinds of tokens, the most frequent ones, that are clustered.", ge=16
    )
    components: int = field(8, "Principal components of a cluster that the tests see.", ge=2, le=16)
    draws: int = field(
        99, "Random draws of each shape null that standardise a statistic.", unit="draws", ge=99
    )
    most_draws: int = field(
        9999,
        "Most random draws of a shape null: p-values that fewer do not settle get more. For "
        "clusters of directions, where this p only gates, at most 199.",
        unit="draws",
        ge=99,
    )
    null_dictionaries: int = field(
        100,
        "Most covariance-matched dictionaries of null_latents clustered for the selection-aware p; "
        "of narrower ones there are more, with as many latents together.",
        unit="draws",
        ge=1,
    )
    null_latents: int = field(1024, "Most latents of one null dictionary.", unit="latents", ge=64)
    cloud_clusters: int = field(
        16, "Clusters whose activation cloud is measured.", unit="clusters", ge=0
    )
    panels: int = field(12, "Clusters drawn as panels.", unit="clusters", ge=0)
    embedding: Literal["pca", "spectral", "umap"] = field(
        "pca", "The 2-D map of all directions; umap needs the extra `maps`."
    )
    seed: int = field(0, "Seed of clustering, nulls and subsampling.", ge=0)


class ConceptsSettings(Section):
    """The supervised companion of the census: class means of labelled concepts."""

    min_tokens: int = field(
        20, "A value with fewer labelled tokens is left out.", unit="tokens", ge=2
    )
    draws: int = field(
        9999,
        "Random permutations of more than eight values, and of every tree; of relations at most "
        "1999.",
        unit="draws",
        ge=99,
    )
    seed: int = field(0, "Seed of the permutations.", ge=0)


class RecoverySettings(Section):
    """Which latents of an SAE stand for the values of the labelled concepts."""

    levels: tuple[float, ...] = field(
        (0.0, 0.1, 0.2, 0.3, 0.5),
        "Thresholds tried for a latent, as shares of its largest activation; the best F1 counts.",
        min_length=1,
    )


class ChildrenSettings(Section):
    """Geometry of the children that latents have in the next wider SAE."""

    parents: int = field(
        64,
        "Parents of one step in width, those with most children, whose children's shape is tested.",
        unit="latents",
        ge=1,
    )
    children: int = field(
        2000, "Most children of one step in one dendrogram.", unit="latents", ge=3
    )
    triplets: int = field(
        10_000, "Children drawn three at a time that a dendrogram is read by.", ge=100
    )
    draws: int = field(999, "Random draws behind a p of a step.", unit="draws", ge=99)
    null_dictionaries: int = field(
        39,
        "Null dictionaries, with children as near to their parents in random directions.",
        unit="draws",
        ge=19,
    )
    seed: int = field(0, "Seed of the draws and null dictionaries.", ge=0)


class ComplexesSettings(Section):
    """Latents of a layer, joined to simplices by those of the next one."""

    simplex: int = field(
        3,
        "Most latents of a layer, those of the highest lift, that a latent of the next layer joins "
        "to a simplex.",
        unit="latents",
        ge=2,
        le=4,
    )
    simplex_npmi: float = field(
        0.2,
        "NPMI with the latent of the next layer below which a latent is no corner of its simplex.",
        ge=0,
        lt=1,
    )
    draws: int = field(999, "Null complexes.", unit="draws", ge=99)
    seed: int = field(0, "Seed of the null complexes.", ge=0)


class ClaimsSettings(Section):
    """How the tables of a sweep become claims."""

    q: float = field(0.05, "False-discovery rate of a family of tests.", gt=0, lt=1)
    f1: float = field(0.8, "F1 from which a latent is said to hold a concept value.", gt=0, le=1)
    overlap: float = field(
        0.5, "Share of members that two clusters must have in common to replicate.", gt=0, le=1
    )
    cofiring: float = field(
        0.9,
        "P(parent latent | child latent) from which a child value sits below its parent.",
        gt=0,
        le=1,
    )
