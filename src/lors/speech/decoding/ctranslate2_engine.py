"""Decoding with CTranslate2: the same weights, several times faster than transformers on a processor."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
from torch import Tensor

from lors.base.cores import usable_cores
from lors.base.errors import LorsError, UsageError
from lors.checkpoints.ctranslate2 import to_ctranslate2
from lors.speech.decoding.hypothesis import Decoded
from lors.speech.decoding.memory import MemoryModel
from lors.speech.decoding.options import DecoderOptions
from lors.speech.decoding.vocabulary import Vocabulary, complete_config

_MAX_WORKERS = 4


class CTranslate2Engine:
    """A checkpoint converted for CTranslate2 (kept in the cache folder), on the GPU where there is one."""

    def __init__(self, directory: Path, options: DecoderOptions) -> None:
        config = complete_config(directory)
        self._vocabulary = Vocabulary(directory)
        self._beam_size, self._nbest = options.beam_size, options.nbest
        self.languages = frozenset(self._vocabulary.languages)
        self.mel_bins = int(config["num_mel_bins"])
        self.memory_model = MemoryModel.of(config, options.engine, str(options.quantization))
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self.on_gpu = device == "cuda"
        supported = ctranslate2.get_supported_compute_types(device)
        if options.quantization not in supported:
            raise UsageError(
                f"quantization {options.quantization}: this machine's {device} does not compute in it; "
                f"choose one of {', '.join(sorted(supported))}."
            )
        # Batches side by side on one core each: 9.1 s where one batch on two cores took 11.8.
        cores = usable_cores()
        self.workers = 1 if device == "cuda" else min(_MAX_WORKERS, cores)
        converted = to_ctranslate2(directory, str(options.quantization))
        try:
            self._model = ctranslate2.models.Whisper(
                str(converted),
                device=device,
                compute_type=options.quantization,
                inter_threads=self.workers,
                intra_threads=max(1, cores // self.workers),
            )
        except (RuntimeError, ValueError) as error:
            raise LorsError(f"{directory}: CTranslate2 cannot load this model ({error}).") from None

    def decode(
        self,
        features: Tensor,
        languages: Sequence[str],
        task: str,
        max_new_tokens: int,
        no_repeat_ngram_size: int = 0,
    ) -> list[Decoded]:
        prompts = [self._vocabulary.prompt(language, task) for language in languages]
        results = self._model.generate(
            _view(features),
            prompts,
            beam_size=self._beam_size,
            num_hypotheses=self._nbest,
            # The text gets half of it in CTranslate2's count, and no more than the prompt leaves.
            max_length=max(2 * max_new_tokens, max_new_tokens + len(prompts[0]) - 1),
            no_repeat_ngram_size=no_repeat_ngram_size,
            return_scores=True,
        )
        decoded = []
        for result in results:
            best, *others = (
                self._decoded(ids, score)
                for ids, score in zip(result.sequences_ids, result.scores, strict=True)
            )
            decoded.append(replace(best, others=tuple(others)))
        return decoded

    def detect_language(self, features: Tensor) -> list[tuple[str, float]]:
        found = []
        for row in self._model.detect_language(_view(features)):
            known = ((token.strip("<|>"), float(probability)) for token, probability in row)
            found.append(next(pair for pair in known if pair[0] in self.languages))
        return found

    def _decoded(self, ids: Sequence[int], score: float) -> Decoded:
        tokens = [token for token in ids if self._vocabulary.is_text(token)]
        return Decoded(tuple(tokens), self._vocabulary.text(tokens), float(score))


def _view(features: Tensor) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(features.numpy()))
