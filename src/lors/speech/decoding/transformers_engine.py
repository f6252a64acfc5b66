"""Decoding with transformers: the reference, in pure PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging

from lors.base.errors import LorsError
from lors.speech.decoding.hypothesis import Decoded
from lors.speech.decoding.memory import MemoryModel
from lors.speech.decoding.options import DecoderOptions
from lors.speech.decoding.vocabulary import Vocabulary
from lors.speech.window import encode


class TransformersEngine:
    """A checkpoint loaded by transformers, on the GPU where there is one."""

    workers = 1

    def __init__(self, directory: Path, options: DecoderOptions) -> None:
        self._vocabulary = Vocabulary(directory)
        self._beam_size = options.beam_size
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.on_gpu = self._device == "cuda"
        try:
            model = WhisperForConditionalGeneration.from_pretrained(
                directory, dtype=getattr(torch, str(options.quantization))
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise LorsError(f"{directory}: transformers cannot load this model ({reason}).") from None
        if self._vocabulary.multilingual and not hasattr(model.generation_config, "lang_to_id"):
            raise LorsError(
                f"{directory / 'generation_config.json'}: names no 'lang_to_id', without which transformers takes no "
                "language; copy this file from the model that the checkpoint was trained from, or decode with "
                "--engine ctranslate2."
            )
        self._model = model.eval().to(self._device)
        self.mel_bins = int(model.config.num_mel_bins)
        self.memory_model = MemoryModel.of(model.config.to_dict(), options.engine, str(options.quantization))
        self.languages = frozenset(self._vocabulary.languages)

    @torch.inference_mode()
    def decode(
        self,
        features: Tensor,
        languages: Sequence[str],
        task: str,
        max_new_tokens: int,
        no_repeat_ngram_size: int = 0,
    ) -> list[Decoded]:
        states = encode(self._model, features.to(self._device, self._model.dtype))
        asked = {"language": list(languages), "task": task} if self._vocabulary.multilingual else {}
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # it warns of a missing attention mask, which Whisper does not use
        try:
            output = self._model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                num_beams=self._beam_size,
                do_sample=False,
                # As CTranslate2: stop at the first `num_beams` finished texts. Otherwise the search goes on
                # to texts that say the same thing again and again, for they have the better mean.
                early_stopping=self._beam_size > 1,
                max_new_tokens=max_new_tokens,
                no_repeat_ngram_size=no_repeat_ngram_size,
                **asked,
            )
        finally:
            logging.set_verbosity(level)
        decoded = []
        for row in output.tolist():
            tokens = [token for token in row if self._vocabulary.is_text(token)]
            decoded.append(Decoded(tuple(tokens), self._vocabulary.text(tokens), None))
        return decoded

    @torch.inference_mode()
    def detect_language(self, features: Tensor) -> list[tuple[str, float]]:
        states = encode(self._model, features.to(self._device, self._model.dtype))
        start = torch.full((len(features), 1), self._vocabulary.start, device=self._device)
        logits = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states), decoder_input_ids=start
        ).logits
        codes, ids = zip(*self._vocabulary.languages.items(), strict=True)
        best = logits[:, -1, list(ids)].float().softmax(-1).max(-1)
        return [
            (codes[place], float(probability))
            for place, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
