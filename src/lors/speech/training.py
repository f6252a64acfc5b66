"""Whisper's loss on a window of any length, and the Trainer that minimises it."""

import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Sampler, Subset
from transformers import Trainer
from transformers.models.whisper.modeling_whisper import shift_tokens_right
from transformers.utils import logging

from lors.base.errors import LorsError
from lors.base.files import sync_tree, write_text
from lors.speech.adapter import load_adapter, save_adapter
from lors.speech.mixture import AS_THEY_ARE, MixedShuffle
from lors.speech.processes import (
    OrNothing,
    SharedBatches,
    SharedLoader,
    of_all,
    processes,
    rank,
    share,
    wait_for_all,
)
from lors.speech.training_data import IGNORED, Batch, EpochShuffle
from lors.speech.window import encode

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import WhisperForConditionalGeneration

TIED = "proj_out.weight"
"""The output projection, which is the table of token embeddings under another name."""

_SEAL = "complete"


def label_losses(
    model: "WhisperForConditionalGeneration", input_features: Tensor, labels: Tensor, bfloat16: bool = False
) -> Tensor:
    """The negative log-likelihood of each label, which the model's own `forward` would average.

    The vocabulary is projected for real labels only, not for padding.

    Args:
        model: the Whisper model.
        input_features: [batch, mel bins, 2 * window].
        labels: [batch, longest] token ids without the start token, padded with -100.
        bfloat16: compute the matrix products in bfloat16 (autocast); weights and losses stay float32.

    Returns:
        [number of real labels] float32, in nats, row by row.
    """
    config = model.config
    decoder_input = shift_tokens_right(labels, config.pad_token_id, config.decoder_start_token_id)
    real = labels != IGNORED
    with torch.autocast(labels.device.type, torch.bfloat16, enabled=bfloat16):
        states = encode(model, input_features)
        hidden = model.model.decoder(
            input_ids=decoder_input, encoder_hidden_states=states, use_cache=False
        ).last_hidden_state
        logits = model.proj_out(hidden[real])
    return F.cross_entropy(logits.float(), labels[real], reduction="none")


def mean_losses(
    model: "WhisperForConditionalGeneration", batches: "DataLoader[Any]", bfloat16: bool = False
) -> dict[str, float]:
    """Mean negative log-likelihood per label, over all ("") and for each group (language and task) alone.

    Of several processes each gives its own batches, and all get the mean over all.
    """
    total: Counter[str] = Counter()
    count: Counter[str] = Counter()
    model.eval()
    with torch.inference_mode():
        for batch in batches:
            labels = batch["labels"].to(model.device)
            losses = label_losses(model, batch["input_features"].to(model.device), labels, bfloat16)
            rows = (labels != IGNORED).sum(dim=1).tolist()
            for group, row in zip(batch["groups"], losses.split(rows), strict=True):
                for name in ("", group):
                    total[name] += row.sum().item()
                    count[name] += len(row)
    totals: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for of_one in of_all((total, count)):
        totals.update(of_one[0])
        counts.update(of_one[1])
    return {name: totals[name] / counts[name] for name in counts}


class WhisperTrainer(Trainer):  # type: ignore[misc]
    """The Trainer of transformers with Whisper's loss, an order that can be resumed, and sealed checkpoints.

    A checkpoint counts only once it holds the file `complete`, written after all else has reached the disk.
    """

    def __init__(
        self, *, bfloat16: bool, temperature: float, adapter: "PeftModel | None" = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self._bfloat16 = bfloat16
        self._temperature = temperature
        self._adapter = adapter
        self.model: Any
        if processes() > 1:
            # Gradients are shared by what wraps the model, which knows of `forward` alone.
            self.model.forward = self._forward
        self.control: Any
        self.lr_scheduler: Any
        self.loss_is_scaled_for_ga = True  # `compute_loss` divides by the labels of all accumulated batches

    def compute_loss(
        self,
        model: "WhisperForConditionalGeneration",
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        if processes() > 1:
            losses = model(inputs["input_features"], inputs["labels"])
        else:
            losses = label_losses(model, inputs["input_features"], inputs["labels"], self._bfloat16)
        labels = losses.numel() if num_items_in_batch is None else num_items_in_batch
        # `labels` are those of all processes, whose gradients are averaged where a sum is wanted.
        return losses.sum() * processes() / labels

    def _forward(self, input_features: Tensor, labels: Tensor) -> Tensor:
        return label_losses(self.model, input_features, labels, self._bfloat16)

    def get_train_dataloader(self) -> "DataLoader[Any]":
        if processes() == 1:
            return super().get_train_dataloader()
        args = self.args
        batches = SharedBatches(
            self._get_train_sampler(), args.train_batch_size * processes(), rank(), processes()
        )
        return SharedLoader(
            OrNothing(self.train_dataset),
            batch_sampler=batches,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        batches = DataLoader(
            Subset(self.eval_dataset, share(range(len(self.eval_dataset)))),
            batch_size=self.args.eval_batch_size,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
        )
        found = mean_losses(self.model, batches, self._bfloat16)
        metrics = {f"eval_loss_{name}".removesuffix("_"): loss for name, loss in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LambdaLR:
        warmup = int(self.args.warmup_steps * num_training_steps)
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer, lambda step: linear_decay(step, num_training_steps, warmup)
            )
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> "Sampler[int]":
        data = self.train_dataset
        if self._temperature == AS_THEY_ARE:
            return EpochShuffle(len(data), self.args.seed)
        return MixedShuffle(data.groups, self.args.seed, self._temperature)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if self._adapter is not None:
            save_adapter(self._adapter, folder)
            return
        tensors = {name: t for name, t in self.model.state_dict().items() if name != TIED}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._adapter is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_adapter(self._adapter, Path(resume_from_checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        work, step = Path(self.args.output_dir), self.state.global_step
        checkpoint = checkpoint_path(work, step)
        # After the last step nothing is left to optimise: the weights are enough.
        self.args.save_only_model = step >= self.state.max_steps
        try:
            super()._save_checkpoint(model, trial)
            wait_for_all()
            if not rank():
                sync_tree(checkpoint)
                write_text(checkpoint / _SEAL, "")
            wait_for_all()
        except (OSError, RuntimeError, SafetensorError) as error:
            message = _unsaved(work, step, error)
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise LorsError(message) from error
        if not rank():
            remove_checkpoints(work, keep={step, self.state.best_global_step})


def linear_decay(step: int, steps: int, warmup: int) -> float:
    """The share of the highest learning rate that a step (0 … steps - 1) takes: up during warm-up, then down.

    No step's rate is zero, as the first is in transformers' own schedule: where steps are few, each counts.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0, steps - step) / (steps - warmup)


def checkpoint_path(work: Path, step: int) -> Path:
    """Where the Trainer puts the checkpoint of a step."""
    return work / f"checkpoint-{step}"


def sealed_checkpoints(work: Path) -> dict[int, Path]:
    """The checkpoints below `work` that were written to the end, by step, in order."""
    found = {int(p.parent.name.rpartition("-")[2]): p.parent for p in work.glob(f"checkpoint-*/{_SEAL}")}
    return dict(sorted(found.items()))


def remove_checkpoints(work: Path, keep: set[int | None]) -> None:
    """Remove every checkpoint but the sealed ones of the steps in `keep`."""
    kept = {path for step, path in sealed_checkpoints(work).items() if step in keep}
    for path in work.glob("checkpoint-*"):
        if path not in kept:
            (path / _SEAL).unlink(missing_ok=True)  # first, lest a half-removed one be taken for whole
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the log lines, warnings and bars of transformers: what the user must know, LoRS says."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _unsaved(work: Path, step: int, error: Exception) -> str:
    reason = (getattr(error, "strerror", None) or str(error).strip().splitlines()[0]).rstrip(".")
    free = shutil.disk_usage(work).free / 2**20
    if free < 16:  # PyTorch and safetensors tell of a full disk in words of their own
        reason = "no space left on the disk"
    before = max((done for done in sealed_checkpoints(work) if done < step), default=0)
    return (
        f"{work}: the checkpoint of step {step} could not be written ({reason}; {free:,.0f} MiB are free); "
        f"make room and run the same command again: it {f'goes on after step {before}' if before else 'starts anew'}."
    )
