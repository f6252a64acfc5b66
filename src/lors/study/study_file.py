"""A study as it is asked for: the study file, checked before anything is read or trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lors.base.errors import UsageError, did_you_mean
from lors.merging.recipe_file import Location, line_of, read_yaml, shown
from lors.study.results import SETTINGS

TASKS = ("transcribe", "translate")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Task = Literal["transcribe", "translate"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)]
Automatic = Annotated[str, Field(pattern=r"^auto(:[0-9.eE+,-]+)?$")]
Count = Annotated[int, Field(ge=1)]


def _mapping_or_none(value: Any) -> Any:
    """A key without a value, as `weight-averaging:`, is a mapping without keys."""
    return {} if value is None else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StudyFileError(UsageError):
    """A mistake of the study file that only its plan shows; the message begins with the key."""


class Prepared(_Strict):
    """A corpus that a study prepares itself, as `lors prepare` would."""

    prepare: Literal["prompts", "stamps"]


class LanguageSet(_Strict):
    """Languages that are trained, merged and told together."""

    languages: Annotated[list[Language], Field(min_length=1)]
    hours: Positive | None = None
    """Of training data for each language and task; None for all there is."""


class Training(_Strict):
    """Settings of fine-tuning, by the names of `lors finetune`; what is missing is as there, epochs 10."""

    epochs: Positive | None = None
    max_steps: Count | None = None
    learning_rate: Annotated[float, Field(gt=0, lt=1, strict=False)] | Automatic | None = None
    """ "auto", or "auto:1e-6,1e-5", tries several on the development data."""
    batch_size: Count | None = None
    gradient_accumulation: Count | None = None
    warmup: Annotated[float, Field(ge=0, lt=1, strict=False)] | None = None
    temperature: Annotated[float, Field(ge=1, allow_inf_nan=False, strict=False)] | None = None
    precision: Literal["auto", "fastest", "float32", "bfloat16"] | None = None
    """ "fastest" is bfloat16 where the processor or GPU multiplies it in hardware, else float32."""
    lora_rank: Count | None = None


class Decoding(_Strict):
    """How test data are decoded, by the names of `lors evaluate`."""

    beam_size: Annotated[int, Field(ge=1, le=100)] = 5
    quantization: str | None = None
    limit: Count | None = None
    """Only the first utterances of each language and task."""


class Search(_Strict):
    """How a merge's settings are chosen on development data, by the names of `lors tune`."""

    first_look: Literal["loss", "greedy"] = "loss"
    short_list: Count = 3
    beam_size: Annotated[int, Field(ge=1, le=100)] = 1
    limit: Count | None = None
    relative_to: Literal["pretrained", "experts"] | None = None


class _Analysis(_Strict):
    sets: Annotated[list[Name], Field(min_length=1)] | None = None
    """Names of the sets that it is made for; None for all."""


class NumberOfLanguages(_Analysis):
    """Figure 3: every combination of 2, 3, … languages of a set."""

    methods: list[str] = ["task-arithmetic", "lors"]
    training: bool = True
    """Whether multilingual training is repeated for every combination too."""
    tasks: Annotated[list[Task], Field(min_length=1)] | None = None
    """None for all of the study."""


class TrainingHours(_Analysis):
    """Figure 4: training sets of other sizes."""

    hours: Annotated[list[Positive], Field(min_length=1)]
    methods: list[str] = ["task-arithmetic", "lors"]
    training: bool = True
    """Whether multilingual training is repeated at every size too."""


class Redundancy(_Analysis):
    """Figure 5: each expert's own task vector, pruned by SVP or MP, with λ = 1."""

    ratios: Annotated[list[Annotated[float, Field(gt=0, le=1, strict=False)]], Field(min_length=1)]
    hours: list[Positive] = []
    """Training sets of other sizes, beside the set's own."""
    tasks: Annotated[list[Task], Field(min_length=1)] = ["transcribe"]


class Analyses(_Strict):
    """What the figures need beyond the tables."""

    number_of_languages: Annotated[NumberOfLanguages | None, BeforeValidator(_mapping_or_none)] = None
    training_hours: TrainingHours | None = None
    redundancy: Redundancy | None = None


class Study(_Strict):
    """What is compared, on what, and how. Every key of a study file is a field here.

    Attributes:
        name: of the study.
        base: the pretrained Whisper, a directory or a Hub id.
        data: folders of manifests named LANGUAGE-TASK-SPLIT.jsonl, as `lors prepare` makes them, or corpora that
            the study prepares itself; several are put together. Relative ones are looked for beside the study file.
        languages: of the only set; or else
        sets: name → languages and hours of training data.
        hours: of training data, with `languages`.
        held_out: languages ("el"), or languages and tasks ("el-transcribe"), that are decoded but never trained on.
        tasks: "transcribe", "translate", or both.
        settings: of `lors.study.results.SETTINGS`; by default all that languages and tasks allow.
        methods: name → recipe keys; a list is a grid that is searched on development data.
        train: settings of every fine-tuning.
        models: trained model ("es-transcribe"; "SET-transcribe", "es" and "SET" of multilingual, multitask and
            joint training) → its own settings of fine-tuning.
        seeds: of training; every one is a whole study.
        window: encoder positions of 20 ms, of training, search and test alike.
        decode, search, analyses: see there.
    """

    name: Name
    base: Annotated[str, Field(min_length=1)]
    data: Annotated[list[str | Prepared], Field(min_length=1)]
    languages: Annotated[list[Language], Field(min_length=1)] | None = None
    sets: Annotated[dict[Name, LanguageSet], Field(min_length=1)] | None = None
    hours: Positive | None = None
    held_out: list[Annotated[str, Field(pattern=r"^[a-z]{2,3}(-transcribe|-translate)?$")]] = []
    tasks: Annotated[list[Task], Field(min_length=1)] = ["transcribe", "translate"]
    settings: list[Literal[SETTINGS]] | None = None  # type: ignore[valid-type]
    methods: dict[str, Annotated[dict[str, Any], BeforeValidator(_mapping_or_none)]]
    train: Training = Training()
    models: dict[str, Training] = {}
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = [0]
    window: Annotated[int, Field(ge=1, le=1500)] = 1500
    decode: Decoding = Decoding()
    search: Search = Search()
    analyses: Analyses = Analyses()

    def language_sets(self) -> dict[str, LanguageSet]:
        """The sets, or the only one, called "all"."""
        if self.sets is not None:
            return self.sets
        return {"all": LanguageSet(languages=self.languages or [], hours=self.hours)}


def load_study(path: Path) -> Study:
    """A study from its YAML file.

    Raises:
        UsageError: the first mistake, in one sentence: `FILE:LINE: …`.
    """
    path = Path(path)
    content, nodes = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(
            f"{path}:1: expected a study, a mapping with the keys name, base, data, languages …."
        )

    def fail(location: Location, text: str) -> UsageError:
        return UsageError(f"{path}:{line_of(nodes, location)}: {text}")

    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        mistakes.sort(key=lambda mistake: mistake["type"] != "extra_forbidden")
        location = tuple(mistakes[0]["loc"])
        raise fail(location, _sentence(content, mistakes[0])) from None
    for location, text in _contradictions(study):
        raise fail(location, text)
    return study


def _contradictions(study: Study) -> list[tuple[Location, str]]:
    """What no single value shows."""
    from lors.merging.methods.table import METHODS
    from lors.speech.languages import LANGUAGES

    found: list[tuple[Location, str]] = []
    if (study.languages is None) == (study.sets is None):
        which = "both are there" if study.sets else "neither is there"
        found.append((("languages",), f"expected either 'languages' or 'sets', and {which}."))
        return found
    if study.sets is not None and study.hours is not None:
        found.append((("hours",), "'hours' goes with 'languages'; of sets, each has its own."))
    trained: dict[str, str] = {}
    for name, group in study.language_sets().items():
        place: Location = ("languages",) if study.sets is None else ("sets", name, "languages")
        for at, language in enumerate(group.languages):
            if language not in LANGUAGES:
                hint = did_you_mean(language, LANGUAGES)
                found.append(((*place, at), f"language '{language}': Whisper knows none of this code.{hint}"))
            elif language in trained:
                found.append(((*place, at), f"the language {language} is there twice."))
            trained[language] = name
    for at, held_out in enumerate(study.held_out):
        language = held_out.partition("-")[0]
        if language in trained:
            found.append(
                (("held_out", at), f"{language} is held out, and trained on in '{trained[language]}'.")
            )
        elif language not in LANGUAGES:
            found.append((("held_out", at), f"language '{language}': Whisper knows none of this code."))
    for key, values in (("tasks", study.tasks), ("settings", study.settings or []), ("seeds", study.seeds)):
        if len(set(values)) < len(values):
            found.append(((key,), f"'{key}' names one thing twice."))
    for name in study.methods:
        if name not in METHODS:
            hint = did_you_mean(name, METHODS)
            found.append((("methods", name), f"unknown method '{name}'.{hint} `lors methods` lists all."))
    for analysis in Analyses.model_fields:
        chosen = getattr(study.analyses, analysis)
        for at, name in enumerate(chosen.sets or [] if chosen else []):
            if name not in study.language_sets():
                text = f"there is no set '{name}'.{did_you_mean(name, study.language_sets())}"
                found.append((("analyses", analysis, "sets", at), text))
        for at, name in enumerate(getattr(chosen, "methods", [])):
            if name not in study.methods:
                hint = did_you_mean(name, study.methods)
                text = f"the method {name} is not among 'methods', which say how it is searched.{hint}"
                found.append((("analyses", analysis, "methods", at), text))
        for task in getattr(chosen, "tasks", None) or []:
            if task not in study.tasks:
                text = f"{analysis} is asked for {task}, which is not among the study's 'tasks'; name others here."
                found.append((("analyses", analysis, "tasks"), text))
    return found


def _sentence(content: Mapping[str, Any], mistake: Any) -> str:
    kind, context, location = mistake["type"], mistake.get("ctx", {}), mistake["loc"]
    keys = [part for part in location if isinstance(part, str) and part in _KEYS] or ["study"]
    key = next((part for part in reversed(location) if isinstance(part, str)), keys[-1])
    if kind == "extra_forbidden":
        known = _known(location[:-1])
        return f"unknown key '{key}'.{did_you_mean(key, known)} Known here: {', '.join(known)}."
    if kind == "missing":
        return f"'{key}' is missing."
    if kind == "literal_error":
        choices = str(context["expected"])
        options = [option.strip(" '") for option in choices.replace(" or ", ", ").split(",")]
        hint = did_you_mean(str(mistake["input"]), options)
        return f"'{keys[-1]}' is {shown(mistake['input'])}, expected {choices}.{hint}"
    message = str(mistake["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return f"'{keys[-1]}' is {shown(mistake['input'])}, expected {message[:1].lower()}{message[1:]}."


_PARTS: dict[str, type[BaseModel]] = {
    "sets": LanguageSet,
    "train": Training,
    "models": Training,
    "decode": Decoding,
    "search": Search,
    "number_of_languages": NumberOfLanguages,
    "training_hours": TrainingHours,
    "redundancy": Redundancy,
    "analyses": Analyses,
    "data": Prepared,
}
_KEYS = {*Study.model_fields, *(key for part in _PARTS.values() for key in part.model_fields)}


def _known(location: tuple[Any, ...]) -> list[str]:
    named = [part for part in location if part in _PARTS]
    return list((_PARTS[named[-1]] if named else Study).model_fields)
