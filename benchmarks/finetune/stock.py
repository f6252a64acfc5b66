"""The stock recipe: Hugging Face's "Fine-Tune Whisper For Multilingual ASR with Transformers", corrected.

    python benchmarks/finetune/stock.py --base DIR --train train.jsonl --out DIR --epochs 2 --learning-rate 2e-5

As in that blog: features of 30 s for every clip, computed once before training and kept on the disk (there by
`datasets.map`, here in one mapped array), a collator that pads labels with -100, the Seq2SeqTrainer. Corrected, or
made alike for a comparison:

- labels have the space before the text that Whisper itself writes, and the start token is cut by comparing with
  `decoder_start_token_id`: the many recipes that compare with `bos_token_id` leave two of them;
- float32 and no gradient checkpointing, where the blog has fp16 and checkpointing for a GPU;
- warm-up over a tenth of the steps, not 500; a checkpoint after each epoch; no generation while training.

It uses nothing of LoRS. `--times` gets {"train_seconds", "train_cpu_seconds", "prepare_seconds", "steps"}.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch.utils.data import Dataset
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

RATE = 16000


def read_audio(line: dict[str, Any], folder: Path) -> np.ndarray:
    """The clip of a manifest line, mono, 16 kHz."""
    start = round(line.get("offset", 0) * RATE)
    path = folder / line["audio_filepath"]
    audio, rate = soundfile.read(path, round(line["duration"] * RATE), start, dtype="float32")
    if rate != RATE or audio.ndim != 1:
        raise SystemExit(f"{path}: expected mono audio of 16 kHz, as `lors prepare` writes it.")
    return audio


def label_ids(text: str, tokenizer: WhisperTokenizer) -> list[int]:
    """With the start token, language, task, no timestamps, and the end token, as the tokenizer makes them."""
    return tokenizer(f" {text}").input_ids


class Prepared(Dataset):
    """Features [clips, mel bins, 3000] in a mapped file, and labels."""

    def __init__(self, features: np.ndarray, labels: Sequence[list[int]]) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_features": self.features[index], "labels": self.labels[index]}


def prepare(
    manifest: Path, extractor: WhisperFeatureExtractor, tokenizer: WhisperTokenizer, store: Path
) -> Prepared:
    """All features at once, as `datasets.map` leaves them."""
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    shape = (len(lines), extractor.feature_size, extractor.nb_max_frames)
    features = np.lib.format.open_memmap(store, mode="w+", dtype=np.float32, shape=shape)
    for row, line in zip(features, lines, strict=True):
        audio = read_audio(line, manifest.parent)
        row[:] = extractor(audio, sampling_rate=RATE, return_tensors="np").input_features[0]
    features.flush()
    return Prepared(np.load(store, mmap_mode="r"), [label_ids(line["text"], tokenizer) for line in lines])


class DataCollatorSpeechSeq2SeqWithPadding:
    """The blog's collator, with its start token the right one."""

    def __init__(
        self, extractor: WhisperFeatureExtractor, tokenizer: WhisperTokenizer, decoder_start_token_id: int
    ) -> None:
        self.extractor, self.tokenizer = extractor, tokenizer
        self.decoder_start_token_id = decoder_start_token_id

    def __call__(self, clips: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs = [{"input_features": np.array(clip["input_features"])} for clip in clips]
        batch = self.extractor.pad(inputs, return_tensors="pt")
        padded = self.tokenizer.pad([{"input_ids": clip["labels"]} for clip in clips], return_tensors="pt")
        labels = padded["input_ids"].masked_fill(padded.attention_mask.ne(1), -100)
        if (labels[:, 0] == self.decoder_start_token_id).all().item():
            labels = labels[:, 1:]
        batch["labels"] = labels
        return batch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=Path, required=True)
    given = parser.parse_args()

    given.out.mkdir(parents=True)
    model = WhisperForConditionalGeneration.from_pretrained(given.base, dtype=torch.float32)
    extractor = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)
    tokenizer = WhisperTokenizer.from_pretrained(given.base, language=given.language, task="transcribe")
    start = time.monotonic()
    store = given.out / "features.npy"
    data = prepare(given.train, extractor, tokenizer, store)
    prepared = time.monotonic() - start

    steps = math.ceil(given.epochs * math.ceil(len(data) / given.batch_size))
    trainer = Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(
            output_dir=str(given.out / "checkpoints"),
            per_device_train_batch_size=given.batch_size,
            learning_rate=given.learning_rate,
            max_steps=steps,
            warmup_steps=int(0.1 * steps),
            save_strategy="epoch",
            save_total_limit=1,
            logging_steps=25,
            report_to="none",
            use_cpu=True,
            seed=given.seed,
        ),
        train_dataset=data,
        data_collator=DataCollatorSpeechSeq2SeqWithPadding(
            extractor, tokenizer, model.config.decoder_start_token_id
        ),
        processing_class=tokenizer,
    )
    start, cpu = time.monotonic(), time.process_time()
    trainer.train()
    times = {
        "train_seconds": time.monotonic() - start,
        "train_cpu_seconds": time.process_time() - cpu,
        "prepare_seconds": prepared,
        "steps": trainer.state.global_step,
    }
    trainer.save_model(str(given.out / "model"))
    tokenizer.save_pretrained(given.out / "model")
    store.unlink()
    given.times.write_text(json.dumps(times), encoding="utf-8")


if __name__ == "__main__":
    main()
