"""The methods that act on the experts' own weights, as the table lists them."""

from lors.merging.methods.averaging import weight_average
from lors.merging.methods.geometry import karcher_mean, multi_slerp, slerp
from lors.merging.methods.method import Inputs, Method
from lors.merging.methods.model_stock import model_stock
from lors.merging.methods.task_vectors import Float32Array


def _slerp(inputs: Inputs) -> Float32Array:
    first, second = inputs.experts()
    return slerp(first, second, inputs.settings[0].interpolation)


ON_WEIGHTS = (
    Method(
        name="weight-averaging",
        summary="the mean of the experts",
        equation="θ = Σ wi·θi / Σ wi",
        citation="Wortsman et al. 2022, Model soups, arXiv:2203.05482",
        parameters=("weight",),
        combine=lambda inputs: weight_average(inputs.experts(), inputs.weights()),
        elementwise=True,
        shows_not_finite=True,
    ),
    Method(
        name="slerp",
        summary="a point on the arc between two experts, tensor by tensor",
        equation="θ = (sin((1−t)Ω)·θ1 + sin(tΩ)·θ2) / sin Ω,  Ω the angle between θ1 and θ2",
        citation="Shoemake 1985, Animating rotation with quaternion curves; tensors as vectors, as in mergekit",
        parameters=("interpolation",),
        combine=_slerp,
        defaults={"interpolation": 0.5},
        stacks=True,
        work=lambda shape: 4.0,
        experts=(2, 2),
    ),
    Method(
        name="multi-slerp",
        summary="the mean direction of the experts at their mean length, tensor by tensor",
        equation="θ = Σ wi‖θi‖ · m/‖m‖,  m = Σ wi·θi/‖θi‖,  Σ wi = 1",
        citation="Goddard 2025, Multi-SLERP, in mergekit",
        parameters=("weight",),
        combine=lambda inputs: multi_slerp(inputs.stacked_experts(), inputs.weights()),
        stacks=True,
        work=lambda shape: 4.0,
    ),
    Method(
        name="karcher",
        summary="the experts' Karcher mean on the sphere, at their mean length, tensor by tensor",
        equation="θ = Σ wi‖θi‖ · m,  m the fixed point of m ← exp_m(Σ wi·log_m(θi/‖θi‖)),  Σ wi = 1",
        citation="Karcher 1977, Riemannian center of mass; as in mergekit, arXiv:2603.04972",
        parameters=("weight", "iterations"),
        combine=lambda inputs: karcher_mean(
            inputs.stacked_experts(), inputs.weights(), inputs.settings[0].iterations
        ),
        defaults={"iterations": 10},
        stacks=True,
        work=lambda shape: 4.0,
    ),
    Method(
        name="model-stock",
        summary="between the base and the mean of the experts, as far as they agree, tensor by tensor",
        equation="θ = t·mean(θi) + (1−t)·θ0,  t = N·cos Ω / (1 + (N−1)·cos Ω),  Ω between task vectors",
        citation="Jang et al. 2024, Model Stock, arXiv:2403.19522",
        parameters=(),
        combine=lambda inputs: model_stock(inputs.base, inputs.stacked_experts()),
        stacks=True,
        work=lambda shape: 4.0,
        experts=(2, None),
    ),
)
