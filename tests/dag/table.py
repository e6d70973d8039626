"""The table of edits: what a researcher changes, and exactly which items that demands.

A row starts from a sweep (one of `SWEEPS`, changed by `before`) that is finished. After `edit` the
items to be made must be those of the stages in `redone` for whose coordinates the condition there
holds, and no others. `docs/what-reruns-when.md` is written from this table by
`scripts/what_reruns.py`.
"""

from __future__ import annotations

from edits import (
    ATLAS,
    OF_FAMILIES,
    ONLY_BUNDLE,
    SAE_STAGES,
    SITES,
    TOP,
    Row,
    Where,
    across,
    below,
    both,
    damage,
    drawn,
    dropped,
    everything,
    having,
    lock,
    lose,
    lose_snakemake,
    move,
    of_masks,
    of_saes,
    of_sites,
    other_weights,
    put,
    raise_version,
    reorder_keys,
    retrain_foreign,
    reverse_models,
    rewrite,
    second_model,
    share,
    there_and_back,
    together,
    transcoder,
)

FROM_SAES = of_saes(everything)
ACTS = {"actions": ["shift"]}
of_an_sae = Where("of SAEs", lambda at: "d_sae" in at)
FROM_SITES = of_sites()
FROM_CODES = below("encode", "geometry", "landscape", "match", "tree", "recovery", *OF_FAMILIES)
FROM_MATCHES = below("match", "tree", *OF_FAMILIES)
WORLD = {"corpus": everything, **FROM_SITES}
MODEL = {"model": everything, **FROM_SITES}

_NOTHING = "Edits that change no result"
_WIDEN, _NARROW = "More of an axis", "Less of an axis"
_SETTINGS, _OUTSIDE = "Settings", "What comes from outside"
_FOREIGN, _TRANSCODERS, _STORE = "Imported SAEs", "Transcoders", "Code, store and accidents"

SPELLING = (
    Row(_NOTHING, "the same config again"),
    Row(_NOTHING, "the `label`", put("label", "another note")),
    Row(_NOTHING, "the order of keys in the file", reorder_keys),
    Row(_NOTHING, "`4.0` for `4`", put("train.sparsities", [4.0])),
    Row(_NOTHING, "a default written out", put("corpus.context_length", 64)),
    Row(_NOTHING, "the order of widths", put("train.widths", [64, 32])),
    Row(_NOTHING, "the order of seeds", put("train.seeds", [1, 0])),
    Row(_NOTHING, "the order of sites", put("models.0.sites", list(SITES[::-1]))),
    Row(_NOTHING, "the order of models", reverse_models, before=second_model),
    Row(_NOTHING, "sites written as a range", put("models.0.sites", ["blocks.{0..1}.hook_resid_post"])),
    Row(_NOTHING, "`run.device`", put("run", {"device": "cpu"})),
    Row(_NOTHING, "`run.pack`: SAEs per job", put("run", {"pack": 2})),
    Row(_NOTHING, "`run.threads`, `workers`, `engine`", put("run", {"threads": 2, "workers": 3, "engine": "processes"})),
    Row(_NOTHING, "`run.memory`, `runtime`: what a cluster is asked for", put("run", {"memory": 900, "runtime": 5})),
    Row(_NOTHING, "`run.checkpoint_seconds`", put("run", {"checkpoint_seconds": 5})),
    Row(_NOTHING, "`keep.activations`", put("keep", {"activations": "until_trained"})),
    Row(_NOTHING, "`match.block`: how the cosine product is cut", put("match", {"block": 64})),
    Row(_NOTHING, "an edit taken back", there_and_back),
)  # fmt: skip

WIDER = (
    Row(_WIDEN, "a width more", put("train.widths", [32, 64, 128]), of_saes(having(d_sae=128), trees=everything)),
    Row(_WIDEN, "a width between two others", put("train.widths", [32, 48, 64]), of_saes(having(d_sae=48), trees=everything)),
    Row(_WIDEN, "a seed more", put("train.seeds", [0, 1, 2]), of_saes(having(seed=2))),
    Row(_WIDEN, "a sparsity more", put("train.sparsities", [4, 8]), of_saes(having(sparsity=8))),
    Row(_WIDEN, "an architecture more: a new family on captured activations",
        put("train.architectures", ["topk", {"architecture": "relu", "sparsities": [0.5]}]),
        of_saes(having(architecture="relu"))),
    Row(_WIDEN, "a Matryoshka architecture more, with the trees of its levels", put("train.architectures", ["topk", "matryoshka"]),
        of_saes(having(architecture="matryoshka"))),
    Row(_WIDEN, "a layer more", put("models.0.sites", ["hook_embed", *SITES]), of_sites(having(site="hook_embed"))),
    Row(_WIDEN, "a model more, on the same corpus", second_model, {"model": having(model="two"), **of_sites(having(model="two"))}),
    Row(_WIDEN, "the same model under a second name, to train its SAEs for longer", share(tokens=20000), of_saes(having(model="two"))),
    Row(_WIDEN, "matching between layers too", put("match", {"directions": ["width", "seed", "layer"]}),
        {"match": having(direction="layer"), "complex": everything, **TOP, **drawn("claims")}),
)  # fmt: skip

NARROWER = (
    Row(_NARROW, "a width less", put("train.widths", [32]), {"agreement": everything, **dropped("seed")}),
    Row(_NARROW, "a seed less", put("train.seeds", [0]), dropped("seed")),
    Row(_NARROW, "a sparsity less", put("train.sparsities", [4]), dropped("seed"), before=put("train.sparsities", [4, 8])),
    Row(_NARROW, "a layer less", put("models.0.sites", [SITES[0]]), {**TOP, **drawn("mask", *SAE_STAGES, "concepts", where=across("site"))}),
    Row(_NARROW, "a model less", lambda data, plan: data["models"].pop(),
        {**TOP, **drawn("mask", *SAE_STAGES, "concepts", where=across("model"))}, before=second_model),
    Row(_NARROW, "no matching between seeds", put("match", {"directions": ["width"]}), {**TOP, **drawn("claims", "match")}),
)  # fmt: skip

SETTINGS = (
    Row(_SETTINGS, "the seed of a trained model", put("models.0.seed", 3), MODEL),
    Row(_SETTINGS, "the shape of a trained model", put("models.0.architecture.d_mlp", 64), MODEL),
    Row(_SETTINGS, "how a model is trained", put("models.0.training", {"steps": 10}), MODEL),
    Row(_SETTINGS, "the planted language", put("models.0.language", {"noise": 0.1}), {"model": everything, **WORLD}),
    Row(_SETTINGS, "the name of a model", put("models.0.name", "uno"), {**TOP, "figures": everything}),
    Row(_SETTINGS, "the name of the sweep", put("sweep", "other"), ATLAS),
    Row(_SETTINGS, "`corpus.seed`", put("corpus.seed", 3), WORLD),
    Row(_SETTINGS, "`corpus.n_tokens`: more tokens", put("corpus.n_tokens", 20000), WORLD),
    Row(_SETTINGS, "`corpus.context_length`", put("corpus.context_length", 32), WORLD),
    Row(_SETTINGS, "`capture.dtype`", put("capture", {"dtype": "float32"}), FROM_SITES),
    Row(_SETTINGS, "`capture.batch_tokens`, which changes the last bits of activations", put("capture", {"batch_tokens": 512}), FROM_SITES),
    Row(_SETTINGS, "`mask.norm`: which rows are used", put("mask", {"norm": None}), of_masks()),
    Row(_SETTINGS, "`train.tokens`: a longer training", put("train.tokens", 20000), FROM_SAES),
    Row(_SETTINGS, "`train.learning_rate`", put("train.learning_rate", 1e-3), FROM_SAES),
    Row(_SETTINGS, "`train.stream_seed`", put("train.stream_seed", 7), FROM_SAES),
    Row(_SETTINGS, "`train.reshuffle`: seed 0 keeps its order of the data", put("train.reshuffle", True), of_saes(having(seed=1))),
    Row(_SETTINGS, "two values swapped: `warm_up` and `decay`", together(put("train.warm_up", 0.3), put("train.decay", 0.1)), FROM_SAES,
        before=together(put("train.warm_up", 0.1), put("train.decay", 0.3))),
    Row(_SETTINGS, "`train.jumprelu_bandwidth`, while all SAEs are topk", put("train.jumprelu_bandwidth", 0.1), ONLY_BUNDLE),
    Row(_SETTINGS, "another learning rate for one width", put("train.widths", [32, {"d_sae": 64, "learning_rate": 1e-4}]),
        of_saes(having(d_sae=64), trees=everything)),
    Row(_SETTINGS, "another `train.tokens` for one site", put("models.0.sites", [SITES[0], {"site": SITES[1], "overrides": {"train": {"tokens": 20000}}}]),
        of_saes(having(site=SITES[1]))),
    Row(_SETTINGS, "`evaluate.contexts`", put("evaluate", {"contexts": 4}), below("evaluate")),
    Row(_SETTINGS, "`encode.top_contexts`", put("encode", {"top_contexts": 3}), FROM_CODES),
    Row(_SETTINGS, "`match.top_k`", put("match", {"top_k": 3}), FROM_MATCHES),
    Row(_SETTINGS, "`match.vertex_firings`, while layers are matched", put("match.vertex_firings", 99),
        {"match": having(direction="layer"), "complex": everything, **TOP, **drawn("claims")}, before=put("match", {"directions": ["width", "layer"]})),
    Row(_SETTINGS, "`match.vertex_firings`, while no layers are matched", put("match", {"vertex_firings": 99}), ONLY_BUNDLE),
    Row(_SETTINGS, "`tree.min_firings`", put("tree", {"min_firings": 99}), below("tree", *OF_FAMILIES)),
    Row(_SETTINGS, "`geometry.draws`", put("geometry", {"draws": 299}), below("geometry", "children")),
    Row(_SETTINGS, "`landscape.draws`", put("landscape", {"draws": 299}), below("landscape")),
    Row(_SETTINGS, "`landscape.enabled`: no measures of dictionaries as wholes", put("landscape", {"enabled": False}), {**TOP, **drawn("claims")}),
    Row(_SETTINGS, "`landscape.enabled`: measured at one site again",
        put("models.0.sites", [SITES[0], {"site": SITES[1], "overrides": {"landscape": {"enabled": True}}}]),
        {"landscape": having(site=SITES[1]), **TOP, **drawn("landscape", "claims")}, before=put("landscape", {"enabled": False})),
    Row(_SETTINGS, "`meta.enabled`: no meta-SAEs", put("meta", {"enabled": False}), {"agreement": everything, **TOP, **drawn("claims")}),
    Row(_SETTINGS, "`meta.k`, while there are no meta-SAEs", put("meta.k", 3), ONLY_BUNDLE, before=put("meta", {"enabled": False})),
    Row(_SETTINGS, "`probes.methods`: k-sparse probing as well", put("probes", {"methods": ["sparse"]}), below("probe")),
    Row(_SETTINGS, "`probes.methods`: both kinds of absorption by probes", put("probes", {"methods": ["projection", "ablation"]}),
        below("probe")),
    Row(_SETTINGS, "`intervene.actions`: acting on concepts as well", put("intervene", ACTS), below("intervene")),
    Row(_SETTINGS, "`concepts.draws`, while concepts are acted on", put("concepts", {"draws": 999}),
        below("concepts", "recovery", "agreement", "intervene"), before=put("intervene", ACTS)),
    Row(_SETTINGS, "`recovery.levels`, while concepts are acted on", put("recovery", {"levels": [0, 0.5]}),
        {**below("recovery", "agreement", "intervene"), "intervene": of_an_sae}, before=put("intervene", ACTS)),
    Row(_SETTINGS, "`meta.k`", put("meta", {"k": 3}), below("meta", "agreement")),
    Row(_SETTINGS, "`concepts.draws`", put("concepts", {"draws": 999}), below("concepts", "recovery", "agreement")),
    Row(_SETTINGS, "`recovery.levels`", put("recovery", {"levels": [0, 0.5]}), below("recovery", "agreement")),
    Row(_SETTINGS, "`children.draws`", put("children", {"draws": 299}), below("children")),
    Row(_SETTINGS, "`complexes.simplex`, while layers are matched", put("complexes", {"simplex": 4}), below("complex"),
        before=put("match", {"directions": ["width", "layer"]})),
    Row(_SETTINGS, "`complexes.simplex`, while no layers are matched", put("complexes", {"simplex": 4}), ONLY_BUNDLE),
    Row(_SETTINGS, "`claims.q`", put("claims", {"q": 0.01}), below()),
    Row(_SETTINGS, "`figures.style`", put("figures", {"style": {"dpi": 90}}), {"figures": everything, **ATLAS}),
    Row(_SETTINGS, "`figures.draw`: fewer figures", put("figures", {"draw": ["pareto"]}), ATLAS),
    Row(_SETTINGS, "`report.title`", put("report", {"title": "T"}), ATLAS),
)  # fmt: skip

# these texts have no labels
UNLABELLED = {
    stage: where for stage, where in FROM_SITES.items() if stage not in ("concepts", "recovery")
}
LOCAL = {"corpus": everything, **UNLABELLED}
OUTSIDE = (
    Row(_OUTSIDE, "a text file changes; the lock still says what it was", rewrite("texts/a.txt"), sweep="local"),
    Row(_OUTSIDE, "a text file changes, then `interpsweep lock`", together(rewrite("texts/a.txt"), lock), LOCAL, sweep="local"),
    Row(_OUTSIDE, "a text file more", together(rewrite("texts/c.txt"), lock), LOCAL, sweep="local"),
    Row(_OUTSIDE, "a text file renamed", together(move("texts/b.txt", "texts/z.txt"), lock), ONLY_BUNDLE, sweep="local"),
    Row(_OUTSIDE, "a checkpoint changes, then `interpsweep lock`", together(rewrite("checkpoint/model.safetensors"), lock), LOCAL, sweep="local"),
    Row(_OUTSIDE, "a checkpoint moved to another folder", together(move("checkpoint", "elsewhere"), put("models.0.path", "elsewhere")), ONLY_BUNDLE, sweep="local"),
    Row(_OUTSIDE, "a GGUF file changes, then `interpsweep lock`", together(other_weights, lock), {"model": everything, **LOCAL}, sweep="converted"),
    Row(_OUTSIDE, "a GGUF file moved", together(move("tiny.gguf", "other.gguf"), put("models.0.path", "other.gguf")), ONLY_BUNDLE, sweep="converted"),
    Row(_OUTSIDE, "`models[].dtype` of a GGUF file's model", put("models.0.dtype", "bfloat16"), UNLABELLED, sweep="converted"),
    Row(_OUTSIDE, "`models[].dtype`", put("models.0.dtype", "bfloat16"), UNLABELLED, sweep="local"),
)  # fmt: skip

FOREIGN = (
    Row(_FOREIGN, "an imported SAE more", put("models.0.saes.0.each", {"width": [64, 128, 256]}),
        of_saes(having(d_sae=256), trees=having(seed=5), made="import"), sweep="imported"),
    Row(_FOREIGN, "an imported SAE less", put("models.0.saes.0.each", {"width": [64]}),
        {"agreement": having(seed=5), **dropped("seed", made="import")}, sweep="imported"),
    Row(_FOREIGN, "its weights change, then `interpsweep lock`", together(retrain_foreign, lock),
        of_saes(having(d_sae=64, seed=5), trees=having(seed=5), made="import"), sweep="imported"),
    Row(_FOREIGN, "its weights change; the lock still says what they were", retrain_foreign, sweep="imported"),
    Row(_FOREIGN, "the seed that tells it from others", put("models.0.saes.0.seed", 6), of_saes(having(seed=6), made="import"), sweep="imported"),
    Row(_FOREIGN, "`models[].saes[].check_hook`", put("models.0.saes.0.check_hook", False), sweep="imported"),
)  # fmt: skip

transcodes = having(architecture="topk_transcoder")
# outputs of MLPs would predict themselves: they have no transcoders
at_inputs = Where("", lambda at: not at.get("site", "").endswith("hook_mlp_out"))
PREDICTING = (
    Row(_TRANSCODERS, "transcoders beside the SAEs", put("train.architectures", ["topk", transcoder("blocks.{layer}.hook_mlp_out")]),
        of_saes(transcodes, trees=both(transcodes, at_inputs)), sweep="transcoders", before=put("train.architectures", ["topk"])),
    Row(_TRANSCODERS, "no transcoders any more", put("train.architectures", ["topk"]), dropped("seed", where=at_inputs), sweep="transcoders"),
    Row(_TRANSCODERS, "`output_site`: all of them predict layer 1", put("train.architectures", ["topk", transcoder("blocks.1.hook_mlp_out")]),
        of_saes(having(architecture="topk_transcoder", layer=0)), sweep="transcoders"),
)  # fmt: skip

ONE = {"site": SITES[0], "d_sae": 32, "seed": 0, "model": "one"}
STORE = (
    Row(_STORE, "the `version` of stage `tree` is raised", raise_version("tree"), below("tree", *OF_FAMILIES)),
    Row(_STORE, "the `version` of stage `train` is raised", raise_version("train"), FROM_SAES),
    Row(_STORE, "`.snakemake` and `results` are lost", lose_snakemake),
    Row(_STORE, "the folder of one SAE is deleted", lose("train", **ONE), {"train": having(**ONE)}),
    Row(_STORE, "the folder of one match is deleted", lose("match", site=SITES[0], model="one", direction="seed"),
        {"match": having(site=SITES[0], direction="seed")}),
    Row(_STORE, "one item is damaged, then `interpsweep verify --repair`", damage("encode", **ONE), {"encode": having(**ONE)}),
)  # fmt: skip

EDITS = (*SPELLING, *WIDER, *NARROWER, *SETTINGS, *OUTSIDE, *FOREIGN, *PREDICTING, *STORE)
