"""`lors merge`: several fine-tuned models become one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lors.cli.imports import no_collection
from lors.cli.sizes import bytes_of

if TYPE_CHECKING:
    from lors.merging.plan import Plan
    from lors.merging.recipe import Recipe


def merge(
    recipe: Annotated[
        Path | None, typer.Argument(help="Recipe file (YAML). Without it, the flags say it all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory to make.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Pretrained model the experts come from: a directory or a Hub id.")
    ] = None,
    expert: Annotated[
        list[str] | None, typer.Option(help="Fine-tuned copy of the base; once for each.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="How to merge; `lors methods` lists all.")] = None,
    scale: Annotated[float | None, typer.Option(help="λ, multiplies the sum of the task vectors.")] = None,
    rank_ratio: Annotated[
        float | None, typer.Option(help="Kept rank as a share of a matrix's smaller side, up to 1.")
    ] = None,
    keep_ratio: Annotated[
        float | None, typer.Option(help="Share of the entries kept, by magnitude, up to 1.")
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(help="Weight of an expert; once for each, in their order.")
    ] = None,
    tensors: Annotated[
        list[str] | None, typer.Option(help="Pattern of tensors to prune, in place of Whisper's own.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Of the result: float32 (default), float16 or bfloat16.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other key of a recipe, as --set seed=1."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads; as many as processors by default.")
    ] = None,
    memory: Annotated[
        str, typer.Option(help="What all threads together may hold, beside the mapped input files.")
    ] = "2GiB",
    device: Annotated[
        str, typer.Option(help="Where decompositions are computed: cpu, cuda or cuda:N.")
    ] = "cpu",
    shard_size: Annotated[
        str | None, typer.Option(help="Most bytes of one weight file, as 5GB; one file by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, print what would be done, write nothing.")
    ] = False,
) -> None:
    """Merge fine-tuned models into one checkpoint that every Whisper runtime loads.

    Give a recipe file, or the flags that say the same. Relative names of models are looked for beside the
    recipe file, then in the working directory; what is found in neither is asked from the Hub.
    """
    given: dict[str, Any] = {
        "base": base,
        "method": method,
        "experts": _experts(expert or [], weight or []) or None,
        "scale": scale,
        "rank_ratio": rank_ratio,
        "keep_ratio": keep_ratio,
        "tensors": tensors or None,
        "dtype": dtype,
    }
    given |= _settings(set_ or [], given)
    checked = _recipe(recipe, {key: value for key, value in given.items() if value is not None})
    if dry_run:
        _dry_run(checked, out, overwrite, workers, bytes_of("--memory", memory))
        return
    if out is None:
        from lors.base.errors import UsageError

        raise UsageError("--out is missing: name the directory to make.")

    with no_collection():
        from lors.merging.engine import merge as merge_models

    result = merge_models(
        checked,
        out,
        workers=workers,
        memory=bytes_of("--memory", memory),
        device=device,
        shard_size=None if shard_size is None else bytes_of("--shard-size", shard_size),
        overwrite=overwrite,
    )
    # Where the name of a file is no text, standard output would refuse it.
    path = str(result.path).encode(errors="backslashreplace").decode()
    typer.echo(f"{path} ({result.seconds:.1f} s)\n{result.signature}")


def _recipe(path: Path | None, given: dict[str, Any]) -> "Recipe":
    from lors.base.errors import UsageError

    with no_collection():
        from lors.merging.recipe import load_recipe, parse_recipe

    if path is None and not given:
        raise UsageError("nothing to merge: give a recipe file, or --base, --expert, --method …; see --help.")
    if path is None:
        return parse_recipe(given, lambda _: "", _flag)
    if given:
        flags = ", ".join(map(_flag, given))
        raise UsageError(f"{path}: a recipe and {flags} are given; say it all in one of the two.")
    return load_recipe(path)


def _experts(models: list[str], weights: list[float]) -> list[dict[str, Any]]:
    from lors.base.errors import UsageError

    if not weights:
        return [{"model": model} for model in models]
    if len(weights) != len(models):
        raise UsageError(
            f"--weight is given {len(weights)} times and --expert {len(models)} times; give one weight for "
            "each expert, in the same order, or none."
        )
    return [{"model": model, "weight": weight} for model, weight in zip(models, weights, strict=True)]


_FLAGS = {"base", "expert", "method", "scale", "rank_ratio", "keep_ratio", "weight", "tensors", "dtype"}


def _flag(key: str) -> str:
    flag = {"experts": "expert", "model": "expert"}.get(key, key)
    return f"--{flag.replace('_', '-')}" if flag in _FLAGS else f"--set {key}"


def _settings(texts: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """`KEY=VALUE` → the value as a recipe file would read it."""
    from lors.base.errors import UsageError
    from lors.merging.recipe_file import read_value, shown

    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key.isprintable() and key and equals and value):
            raise UsageError(f"--set {shown(text)}: expected KEY=VALUE, as --set seed=1.")
        if key in values or given.get(key) is not None:
            raise UsageError(f"--set {key}: it is given twice; keep one.")
        try:
            values[key] = read_value(value)
        except ValueError as error:
            raise UsageError(f"--set {key}: the value is not valid YAML: {error}.") from None
    return values


def _dry_run(recipe: "Recipe", out: Path | None, overwrite: bool, workers: int | None, memory: int) -> None:
    from lors.merging.plan import make_plan
    from lors.merging.workers import default_workers

    plan = make_plan(recipe)
    if out is not None:
        plan.check_output(out, overwrite)
    for line in _describe(plan, workers or default_workers(), memory):
        typer.echo(line)


def _describe(plan: "Plan", workers: int, memory: int) -> list[str]:
    recipe = plan.recipe
    lines = [
        f"method    {recipe.method}: {recipe.method_entry().equation}",
        f"base      {recipe.base} ({plan.base.directory})",
    ]
    for expert, checkpoint in zip(recipe.resolved()["experts"], plan.experts, strict=True):
        settings = ", ".join(f"{key} {value}" for key, value in expert.items() if key != "model")
        lines.append(f"expert    {expert['model']} ({checkpoint.directory}): {settings}")
    for group, (tensors, entries) in plan.counts().items():
        lines.append(f"{group:<9} {tensors} tensors, {entries:,} entries")
    for named, ranks in zip(recipe.experts, plan.ranks(), strict=False):
        kept = ", ".join(f"{rank} in {count} matrices" for rank, count in sorted(ranks.items()))
        lines.append(f"rank      {named.model}: {kept}")
    lines.append(f"output    {plan.output_bytes() / 2**20:,.0f} MiB, {recipe.dtype}")
    lines.append(f"memory    about {plan.memory(workers, memory) / 2**20:,.0f} MiB with {workers} workers")
    return lines + [f"warning   {warning}" for warning in plan.warnings]
