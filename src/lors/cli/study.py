"""`lors study`: everything that a study file declares, and where it stands."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lors.cli.imports import no_collection


class _RunUnlessNamed(TyperGroup):
    """`lors study FILE` is short for `lors study run FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = next((arg for arg in args if not arg.startswith("-")), None)
        if args and named not in (None, *self.commands) and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunUnlessNamed,
    no_args_is_help=True,
    help="Train, merge, decode and compare all that a study file declares: `lors study STUDY.yaml`.",
)

_Study = Annotated[Path, typer.Argument(help="Study file (YAML).")]
_Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The study's folder; by default its name, in the working directory."),
]
_Workers = Annotated[
    int | None,
    typer.Option(
        help="Jobs at a time; by default one for each GPU, or for each core as far as memory lasts; 8 with SLURM."
    ),
]


@app.command()
def run(
    study: _Study,
    out: _Out = None,
    engine: Annotated[str, typer.Option(help="local; ray or slurm for a cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster, as 10.0.0.1:6379.")] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Option of sbatch, as partition=gpu or time=4:00:00; may be repeated."
        ),
    ] = None,
    workers: _Workers = None,
    retries: Annotated[int, typer.Option(help="How often a job that failed is tried again.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and print the jobs; do none.")
    ] = False,
) -> None:
    """Do what is not done yet, and write tables, figures and report.

    Interrupted or changed, the same command goes on, and repeats nothing whose inputs are the same.
    """
    with no_collection():
        from lors.study.study import run_study
        from lors.study.study_terminal import print_end, print_plan, show_tables

    if dry_run:
        print_plan(study, out, workers or 0)
        return
    results = run_study(
        study,
        out,
        engine=engine,
        address=address,
        slurm=slurm or (),
        workers=workers,
        retries=retries,
        show=show_tables,
    )
    print_end(results, out or Path(results.name))
    if results.failures:
        raise typer.Exit(1)


@app.command()
def status(study: _Study, out: _Out = None) -> None:
    """Say which jobs are done, which are left, and about how long they will take."""
    with no_collection():
        from lors.study.study_terminal import print_status

    print_status(study, out)
