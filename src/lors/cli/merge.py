"""`lors merge`: several fine-tuned models become one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lors.merging.plan import Plan


def merge(
    recipe: Annotated[
        Path | None, typer.Argument(help="Recipe file (YAML). Without it, the flags below say it all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory to make.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Pretrained model that the experts come from: directory or Hub id.")
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
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads; as many as processors by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, print what would be done, write nothing.")
    ] = False,
) -> None:
    """Merge fine-tuned models into one checkpoint that every Whisper runtime loads.

    Give a recipe file, or the flags that say the same.
    """
    from lors.base.errors import UsageError
    from lors.base.files import refuse_existing
    from lors.merging.recipe import load_recipe, parse_recipe

    flags: dict[str, Any] = {
        "base": base,
        "method": method,
        "experts": _experts(expert or [], weight or []) or None,
        "scale": scale,
        "rank_ratio": rank_ratio,
        "keep_ratio": keep_ratio,
        "tensors": tensors or None,
        "dtype": dtype,
    }
    given = {key: value for key, value in flags.items() if value is not None}
    if recipe is not None and given:
        raise UsageError(
            f"{recipe}: a recipe file and {', '.join(map(_flag, given))} were both given; write all in the recipe, or "
            "all in flags."
        )
    if recipe is None and not given:
        raise UsageError("nothing to merge: give a recipe file, or --base, --expert, --method … (see --help).")
    checked = load_recipe(recipe) if recipe is not None else parse_recipe(given, lambda _: "merge", _flag)
    if out is None and not dry_run:
        raise UsageError("--out is missing: name the directory to make.")
    if dry_run:
        from lors.merging.plan import make_plan
        from lors.merging.workers import default_workers

        if out is not None:
            refuse_existing(out, overwrite)
        _print_plan(make_plan(checked), workers or default_workers())
        return

    from lors.merging.engine import merge as merge_models

    assert out is not None
    result = merge_models(checked, out, workers=workers, overwrite=overwrite)
    typer.echo(f"{result.path}  ({result.seconds:.1f} s)\n{result.signature}")
