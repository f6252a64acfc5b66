"""The jobs of a study: each named by what determines its result, so that nothing is done twice."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Kind = Literal["subset", "finetune", "tune", "merge", "evaluate"]

VERSIONS: Mapping[Kind, int] = {"subset": 1, "finetune": 1, "tune": 1, "merge": 1, "evaluate": 1}
"""Raised where a kind's results change although nothing that it was asked for did."""


@dataclass(frozen=True)
class Given:
    """A model or file from outside the study.

    Attributes:
        path: where it is: a path, or a Hub id.
        key: the sha256 of its content; "missing" where it is not there.
    """

    path: str
    key: str


@dataclass(frozen=True, eq=False)
class Job:
    """One piece of work.

    Attributes:
        kind: what is done.
        name: for people, as "es-transcribe"; of no consequence.
        parameters: all that determines the result beside the inputs, as JSON values.
        inputs: role → what takes it, in order: results of other jobs, or what was given.
        amount: of work, in clips that pass through the model; for estimates of time.
        temporary: whether its result may go as soon as no unfinished job needs it.
    """

    kind: Kind
    name: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, tuple["Job | Given", ...]] = field(default_factory=dict)
    amount: float = 0.0
    temporary: bool = False

    @cached_property
    def key(self) -> str:
        """The sha256 of kind, parameters and the keys of all inputs, hexadecimal."""
        content = {
            "kind": self.kind,
            "version": VERSIONS[self.kind],
            "parameters": self.parameters,
            "inputs": {role: [one.key for one in given] for role, given in sorted(self.inputs.items())},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def title(self) -> str:
        """ "finetune es-transcribe"."""
        return f"{self.kind} {self.name}"

    def needs(self) -> Iterator["Job"]:
        """The jobs whose results it takes."""
        for given in self.inputs.values():
            yield from (one for one in given if isinstance(one, Job))

    def given(self) -> Iterator[Given]:
        """What it takes from outside the study."""
        for given in self.inputs.values():
            yield from (one for one in given if isinstance(one, Given))


def in_order(targets: Iterable[Job]) -> list[Job]:
    """The targets and all that they need, each once, what is needed first."""
    found: dict[str, Job] = {}

    def visit(job: Job) -> None:
        if job.key not in found:
            for needed in job.needs():
                visit(needed)
            found[job.key] = job

    for target in targets:
        visit(target)
    return list(found.values())
