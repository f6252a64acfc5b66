"""The methods that act on task vectors entry by entry or by low rank, as the table lists them."""

from collections.abc import Sequence

import numpy as np

from lors.merging.methods.breadcrumbs import breadcrumbs
from lors.merging.methods.consensus import consensus
from lors.merging.methods.localize import stitch
from lors.merging.methods.method import Inputs, Method, Settings, Source, adding, one_keep_ratio
from lors.merging.methods.pcb import pcb
from lors.merging.methods.random_pruning import dare, della
from lors.merging.methods.sce import sce
from lors.merging.methods.task_vectors import Float32Array, lors, mp, svp, task_arithmetic
from lors.merging.methods.ties import merge_trimmed

_LORS_PAPER = (
    "Low-Rank and Sparse Model Merging for Multi-Lingual Speech Recognition and Translation, arXiv:2502.17380"
)

# Expected times, measured on one core in units of reading and adding one entry.
_SELECTION = 10.0
_EIGENVECTORS = 0.03  # for each row of a matrix's smaller side


def _decomposition(shape: tuple[int, ...]) -> float:
    return _SELECTION + _EIGENVECTORS * min(shape)


def _uniform(shape: tuple[int, ...], source: Source) -> Float32Array:
    return source().random(shape, dtype=np.float32)


def _keep_della(task_vector: Float32Array, setting: Settings, source: Source) -> Float32Array:
    return della(task_vector, setting.keep_ratio, setting.spread, _uniform(task_vector.shape, source))


def _della(inputs: Inputs) -> Float32Array:
    kept = [
        _keep_della(task_vector, setting, lambda i=i: inputs.generator(i))  # type: ignore[misc]
        for i, (task_vector, setting) in enumerate(zip(inputs.task_vectors(), inputs.settings, strict=True))
    ]
    return merge_trimmed(np.stack(kept), inputs.weights())


def _outside_of_chance(settings: Sequence[Settings]) -> str | None:
    for setting in settings:
        keep_ratio, spread = setting.keep_ratio, setting.spread
        if keep_ratio != 1 and not (keep_ratio - spread > 0 and keep_ratio + spread < 1):
            return (
                f"keep_ratio {keep_ratio} ± spread {spread} must lie between 0 and 1; choose another spread"
            )
    return None


def _more_than_all(settings: Sequence[Settings]) -> str | None:
    least = settings[0].least_experts
    if least <= len(settings):
        return None
    return f"least_experts {least} of {len(settings)} experts would keep nothing"


ON_TASK_VECTORS = (
    adding(
        lambda task_vector, *_: task_arithmetic(task_vector),
        name="task-arithmetic",
        summary="the base plus the scaled sum of the task vectors",
        equation="θ = θ0 + λ Σ wi·τi,  τi = θi − θ0",
        citation="Ilharco et al. 2023, Editing models with task arithmetic, arXiv:2212.04089",
        parameters=("scale", "weight"),
        elementwise=True,
        shows_not_finite=True,
    ),
    adding(
        lambda task_vector, setting, _: svp(task_vector, setting.rank_ratio),
        name="svp",
        summary="task vectors pruned to low rank (singular value pruning)",
        equation="θ = θ0 + λ Σ wi·SVP(τi),  SVP(τ) = U_r Σ_r V_rᵀ",
        citation=_LORS_PAPER,
        parameters=("scale", "weight", "rank_ratio"),
        acts_on="weights",
        matrices=True,
        work=_decomposition,
    ),
    adding(
        lambda task_vector, setting, _: mp(task_vector, setting.keep_ratio),
        name="mp",
        summary="task vectors pruned to their largest entries (magnitude pruning)",
        equation="θ = θ0 + λ Σ wi·MP(τi),  MP(τ) = M ⊙ τ, M the largest |τ|",
        citation=_LORS_PAPER,
        parameters=("scale", "weight", "keep_ratio"),
        acts_on="weights",
        work=lambda shape: _SELECTION,
    ),
    adding(
        lambda task_vector, setting, _: lors(task_vector, setting.rank_ratio, setting.keep_ratio),
        name="lors",
        summary="task vectors pruned to low rank plus the largest entries of the rest",
        equation="θ = θ0 + λ Σ wi·LoRS(τi),  LoRS(τ) = L + S, L = SVP(τ), S = MP(τ − L)",
        citation=_LORS_PAPER,
        parameters=("scale", "weight", "rank_ratio", "keep_ratio"),
        acts_on="weights",
        matrices=True,
        work=_decomposition,
    ),
    Method(
        name="ties",
        summary="task vectors trimmed, a sign elected for each entry, the mean of those that agree",
        equation="θ = θ0 + λT,  T = Σ wi·τi / Σ wi over trimmed τi of the sign of Σ wi·τi",
        citation="Yadav et al. 2023, TIES-Merging, arXiv:2306.01708",
        parameters=("scale", "weight", "keep_ratio", "trim"),
        combine=lambda inputs: merge_trimmed(inputs.stack(), inputs.weights()),
        defaults={"trim": "model"},
        elementwise=True,
        stacks=True,
        work=lambda shape: 6.0,
        trims=True,
    ),
    adding(
        lambda task_vector, setting, source: dare(
            task_vector, setting.keep_ratio, _uniform(task_vector.shape, source)
        ),
        name="dare",
        summary="entries of the task vectors dropped by chance, the others scaled up",
        equation="θ = θ0 + λ Σ wi·(Mi ⊙ τi)/p,  Mi = 1 with probability p (keep_ratio)",
        citation="Yu et al. 2024, Language models are Super Mario, arXiv:2311.03099",
        parameters=("scale", "weight", "keep_ratio", "seed"),
        defaults={"seed": 0},
        work=lambda shape: 4.0,
    ),
    Method(
        name="della",
        summary="entries dropped by chance, small ones sooner; then signs elected as in TIES",
        equation="θ = θ0 + λT,  T the TIES mean of (Mi ⊙ τi)/Pi,  Mi = 1 with probability Pi = p ± ε by rank",
        citation="Deep et al. 2024, DELLA-Merging, arXiv:2406.11617",
        parameters=("scale", "weight", "keep_ratio", "spread", "seed"),
        combine=_della,
        keep=_keep_della,
        defaults={"seed": 0, "spread": 0.1},
        stacks=True,
        mistake=_outside_of_chance,
        work=lambda shape: 60.0,
    ),
    adding(
        lambda task_vector, setting, _: breadcrumbs(task_vector, setting.keep_ratio, setting.outlier_ratio),
        name="breadcrumbs",
        summary="task vectors without their very largest and their small entries, tensor by tensor",
        equation="θ = θ0 + λ Σ wi·(Mi ⊙ τi),  Mi the largest entries after the outliers",
        citation="Davari and Belilovsky 2023, Model Breadcrumbs, arXiv:2312.06795",
        parameters=("scale", "weight", "keep_ratio", "outlier_ratio"),
        defaults={"outlier_ratio": 0.01},
        work=lambda shape: 2 * _SELECTION,
    ),
    Method(
        name="pcb",
        summary="entries that compete within their task vector and with the other experts', tensor by tensor",
        equation="θ = θ0 + λT,  T = Σ wi·βi·τi / Σ βi,  βi the top of exp(N·|τi|²)·tanh(τi·Σ τj), each to [0, 1]",
        citation="Du et al. 2024, Parameter Competition Balancing, arXiv:2410.02396",
        parameters=("scale", "weight", "keep_ratio"),
        combine=lambda inputs: pcb(inputs.stack(), inputs.weights(), inputs.settings[0].keep_ratio),
        stacks=True,
        mistake=one_keep_ratio,
        work=lambda shape: 3 * _SELECTION,
    ),
    Method(
        name="sce",
        summary="entries on which the experts differ most, weighed by energy, minority signs erased",
        equation="θ = θ0 + λT,  T = Σ ηi·τi / Σ ηi over selected entries of the elected sign, ηi ∝ ‖τi‖²",
        citation="Wan et al. 2024, FuseChat, arXiv:2408.07990",
        parameters=("scale", "keep_ratio"),
        combine=lambda inputs: sce(inputs.stack(), inputs.settings[0].keep_ratio),
        stacks=True,
        experts=(2, None),
        mistake=one_keep_ratio,
        work=lambda shape: _SELECTION,
    ),
    Method(
        name="consensus",
        summary="task arithmetic of the entries that matter to several experts (TALL masks)",
        equation="θ = θ0 + λ·M ⊙ T,  T = Σ wi·τi,  M = 1 where |τi| > mask_scale·|T − τi| for least_experts or more",
        citation="Wang et al. 2024, Localizing Task Information, arXiv:2405.07813",
        parameters=("scale", "weight", "mask_scale", "least_experts"),
        combine=lambda inputs: consensus(
            inputs.stack(), inputs.weights(), inputs.settings[0].mask_scale, inputs.settings[0].least_experts
        ),
        defaults={"mask_scale": 0.4, "least_experts": 2},
        elementwise=True,
        stacks=True,
        work=lambda shape: 6.0,
        mistake=_more_than_all,
    ),
    Method(
        name="localize-and-stitch",
        summary="the largest entries of each task vector, averaged where they overlap",
        equation="θ = θ0 + λ Σ Mi ⊙ τi / Σ Mi,  Mi the largest |τi|",
        citation="He et al. 2024, Localize-and-Stitch (dataless), arXiv:2408.13656",
        parameters=("scale", "keep_ratio", "trim"),
        combine=lambda inputs: stitch(inputs.stack()),
        defaults={"trim": "model"},
        elementwise=True,
        stacks=True,
        work=lambda shape: 6.0,
        trims=True,
    ),
)
