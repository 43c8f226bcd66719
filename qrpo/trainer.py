"""QRPO on top of TRL: the only file that touches TRL's internals.

`QRPOTrainer` is TRL's pointwise trainer (KTO) with other rows, another collator and another loss. Loading models,
references, PEFT, quantisation, accelerate, FSDP, DeepSpeed, fused log-probabilities, evaluation, checkpoints and model
cards are TRL's. `tests/qrpo/test_trainer.py` pins every hook that is overridden here.
"""

from __future__ import annotations

import functools
import logging
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import trl.trainer.utils as trl_utils
from accelerate.utils import broadcast_object_list, tqdm
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from peft import PeftConfig, PeftModel
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    BitsAndBytesConfig,
    DataCollator,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    TrainerCallback,
)
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from trl.models import prepare_deepspeed
from trl.trainer import kto_trainer
from trl.trainer.kto_trainer import KTOTrainer

from qrpo.artifacts import write_atomically
from qrpo.collapse import CollapseWatch
from qrpo.encoding import AnyDataset, Tokens, padded, prepare_dataset
from qrpo.metrics import COLUMNS, summarise
from qrpo.model_card import METHODS, with_options
from qrpo.objectives import Scores
from qrpo.pairwise import PairCollator
from qrpo.pointwise import PointwiseCollator
from qrpo.ref_logps import RefLogpsCache, hash_frozen, row_digest
from qrpo.trainer_config import QRPOConfig

__all__ = ["QRPOConfig", "QRPOTrainer"]

log = logging.getLogger(__name__)


class QRPOTrainer(KTOTrainer):
    """Trains a causal language model by Quantile Reward Policy Optimization (arXiv 2507.08068), or by a baseline.

    A row of `train_dataset` and `eval_dataset` has these columns:

    - `prompt_ids` and `completion_ids`, used as they are; or `prompt` and `completion`, both texts or lists of
      messages, which are tokenised, and completed by the end-of-sequence token unless `truncated`;
    - `reward`: of the completion, on any scale;
    - `ref_rewards`: of n >= 1 completions of the same prompt sampled from the reference at temperature 1;
    - optionally `ref_logps`: log-probability of the completion under the reference, nats; `weight`: factor on the
      row's loss; `beta`: KL weight of the row, in place of the one in `args`; `truncated`: cut by a length limit. Other
      columns are ignored.

    The loss is the mean over rows of weight * (f(q) - beta log Z - beta log(pi / pi_ref))^2.

    With `args.algorithm` `dpo`, `rebel` or `simpo` a row has `chosen` and `rejected` (or `chosen_ids` and
    `rejected_ids`) in place of the completion, and `chosen_reward` and `rejected_reward`; batch sizes count pairs. With
    `sft` rows are those of QRPO, and all that are given are trained on. `simpo` and `sft` load no reference.

    Args:
        model: a path, a name on the hub, or a model.
        ref_model: the reference; None: `model` as it is now.
        args: options; None: the defaults.
        data_collator: makes batches of prepared rows; None: `PointwiseCollator`.
        train_dataset: rows as above.
        eval_dataset: the same, or several of them by name.
        processing_class: the tokenizer; None: the one that lies with the model.
        callbacks: see `transformers.Trainer`.
        optimizers: the same.
        quantization_config: for a model given by name.
        peft_config: train an adapter; the model without it is then the reference.

    Raises:
        ValueError: a row cannot be used, or none is left after filtering.
    """

    args: QRPOConfig
    model: PreTrainedModel | PeftModel

    _tag_names = ["trl", "qrpo"]  # noqa: RUF012  # a list in the base class
    _name = METHODS["qrpo"].name
    _paper = METHODS["qrpo"].paper()

    def __init__(  # noqa: PLR0913, PLR0917  # TRL's signature
        self,
        model: str | PreTrainedModel | PeftModel,
        ref_model: PreTrainedModel | None = None,
        args: QRPOConfig | None = None,
        data_collator: DataCollator | None = None,
        train_dataset: AnyDataset | None = None,
        eval_dataset: AnyDataset | DatasetDict | IterableDatasetDict | dict[str, AnyDataset] | None = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LambdaLR | None] = (None, None),
        quantization_config: BitsAndBytesConfig | None = None,
        peft_config: PeftConfig | None = None,
    ) -> None:
        if isinstance(train_dataset, Dataset) and len(train_dataset) == 0:
            raise ValueError("train_dataset has no rows")
        if args is None:
            name = model if isinstance(model, str) else str(model.config.name_or_path)
            args = QRPOConfig(f"{Path(name).name}-QRPO")
        assert not isinstance(args.pad_to_multiple_of, str)  # TRL's config has turned "auto" into a number or None
        self._objective = args.objective()
        self._form = self._objective.form
        self._pointwise = PointwiseCollator(
            rule=args.target_rule(),
            beta=args.beta,
            normalize_beta_by_length=args.normalize_beta_by_length,
            pad_to_multiple_of=args.pad_to_multiple_of,
        )
        pairwise = PairCollator(pad_to_multiple_of=args.pad_to_multiple_of)
        self._rows: dict[str, list[Tensor]] = {"train": [], "eval": []}
        self._collapse = CollapseWatch(args.collapse_nats, vars(args))
        method = METHODS[args.algorithm]
        self._name, self._paper = method.name, method.paper()
        with _heads_at(args.temperature):
            super().__init__(
                model=model,
                ref_model=ref_model,
                args=args,
                data_collator=data_collator or (self._pointwise if self._form.sequences == 1 else pairwise),
                train_dataset=train_dataset,
                eval_dataset=eval_dataset,
                processing_class=processing_class,
                callbacks=callbacks,
                optimizers=optimizers,
                quantization_config=quantization_config,
                peft_config=peft_config,
            )
        if not self._objective.uses_reference:
            self.precompute_ref_logps = False  # or TRL would miss a reference for rows given to `evaluate`

    def _prepare_dataset(  # type: ignore[override]  # TRL passes the trainer's own options
        self,
        dataset: AnyDataset,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin,  # noqa: ARG002  # the hook's signature
        args: QRPOConfig,
        dataset_name: str,
    ) -> AnyDataset:
        """Rows as the user gives them to rows as the collator takes them; leaves prepared rows as they are."""
        if not set(self._form.columns) <= set(next(iter(dataset))):
            with trl_utils.global_then_local_main_first():
                dataset = prepare_dataset(
                    dataset,
                    self._form,
                    name=dataset_name,
                    tokenizer=self._tokenizer,
                    drop_uninformative=args.drop_all_equal and args.algorithm != "sft",
                    max_length=args.max_length,
                    num_proc=args.dataset_num_proc,
                    seed=args.seed,
                )
        if dataset_name == "train" and args.transform == "scaled_normal_icdf":
            if isinstance(dataset, IterableDataset):
                raise ValueError(
                    "transform scaled_normal_icdf needs the mean over all rows, which a stream cannot tell"
                )
            self._pointwise.mean_ref_std = statistics.fmean(dataset["ref_std"])
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        """Which columns reach the sampler and the collator."""
        if self._signature_columns is None:
            self._signature_columns = [*self._form.columns, "ref_logps"]  # type: ignore[assignment]  # declared as None

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Adds the column `ref_logps`: from the rows, from disk, or computed.

        TRL's own method passes them between processes through a file that lies in a temporary folder of each process
        if the rows were made in memory.
        """
        if "ref_logps" in next(iter(dataset)) or not self._objective.uses_reference:
            return dataset
        if isinstance(dataset, IterableDataset):
            raise ValueError("a stream of rows needs a column ref_logps, or precompute_ref_log_probs=False")
        # ZeRO-3 leaves empty parameters on each process: all models have one hash, and nothing may be shared by it.
        cache = None if is_deepspeed_zero3_enabled() else self._ref_logps_cache()
        is_main = self.accelerator.is_main_process
        # One process reads and tells: another job may add a file between two processes' reads.
        [known] = broadcast_object_list([cache.load() if cache is not None and is_main else {}])
        digests: list[list[bytes]] = []
        missing: dict[bytes, Tokens] = {}  # equal ones once; what is known is not kept, as Python's lists are large
        for row in dataset:
            sequences = self._form.tokens(row)
            digests.append([row_digest(*tokens) for tokens in sequences])
            missing |= {
                named: tokens for named, tokens in zip(digests[-1], sequences, strict=True) if named not in known
            }
        if missing:
            # Batches of similar lengths; the longest first, so that what is too big for the memory fails at once.
            order = sorted(missing, key=lambda digest: -sum(map(len, missing[digest])))
            computed = self._ref_logps([missing[digest] for digest in order], name, batch_size)
            found = dict(zip(order, computed, strict=True))
            if cache is not None and is_main:
                cache.save(found)
            known |= found
        column = [[known[digest] for digest in named] for named in digests]
        return dataset.add_column("ref_logps", [row[0] for row in column] if self._form.sequences == 1 else column)

    def _ref_logps(self, sequences: list[Tokens], name: str, batch_size: int) -> list[float]:
        """Log-probabilities of completions under the reference, nats, the same on all processes."""
        model = self.ref_model or self.model
        if self.ref_model is None and self.is_deepspeed_enabled:
            # The policy is not yet on the device. The engine is TRL's, kept because making one costs memory.
            if self._precompute_engine is None:
                self._precompute_engine = prepare_deepspeed(self.model, self.accelerator)
            model = self._precompute_engine  # type: ignore[assignment]  # declared as None
        collate = functools.partial(padded, multiple=self._pointwise.pad_to_multiple_of)
        loader: DataLoader[Tokens] = DataLoader(
            sequences,  # type: ignore[arg-type]  # a list will do
            batch_size=batch_size,
            collate_fn=collate,
        )
        batches = tqdm(
            self.accelerator.prepare(loader),
            desc=f"Reference, {name} rows",
            disable=self.args.disable_tqdm,
            leave=False,
        )
        logps: list[float] = []
        with _head_on_completions_only(self.accelerator.device):
            for batch in batches:
                sums, _ = self.compute_ref_log_probs(model, batch)  # type: ignore[no-untyped-call]
                logps += self.accelerator.gather_for_metrics(sums.float()).tolist()
        return logps

    def _ref_logps_cache(self) -> RefLogpsCache:
        args, model = self.args, self.model
        if args.bf16 or args.fp16:  # autocast
            dtype = "bf16" if args.bf16 else "fp16"
        else:
            dtype = str((self.ref_model or model).dtype).removeprefix("torch.")
        model_hash = self._precompute_model_hash
        # Without its adapter the model is the reference, unless TRL made a frozen copy of a trained adapter ("ref").
        if self.ref_model is None and isinstance(model, PeftModel) and "ref" not in model.peft_config:
            model_hash = hash_frozen(model.get_base_model())
        assert model_hash is not None  # TRL has it wherever it asks for reference log-probabilities beforehand
        if args.temperature != 1.0:
            dtype += f"-T{args.temperature:g}"
        folder = Path(args.ref_logps_dir) if args.ref_logps_dir else Path(args.output_dir or ".") / "ref_logps"
        return RefLogpsCache(folder, model_hash=model_hash, dtype=dtype)

    def _compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool
    ) -> Tensor | tuple[Tensor, Any]:
        """The mean weighted loss of a batch; keeps the rows' statistics for the log."""
        batch = {name: value.to(self.accelerator.device) for name, value in inputs.items()}
        tokens = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
        if self.aux_loss_enabled:
            tokens["output_router_logits"] = True
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        with _head_on_completions_only(self.accelerator.device):
            outputs = model(**tokens, labels=labels, fused_lm_head=True)
            ref_logps = self._ref_logps_of(batch)
        # The first token has no prediction; prompt-learning PEFT puts virtual tokens in front.
        positions = slice(-(labels.shape[1] - 1), None)
        counts = batch["completion_mask"][:, 1:]
        shape = (len(batch["weight"]), self._form.sequences)
        scores = Scores(
            # In float32: sums of hundreds of bfloat16 log-probabilities have steps of a nat.
            logps=outputs.log_probs[:, positions].float().sum(-1).view(shape),
            ref_logps=None if ref_logps is None else ref_logps.view(shape),
            tokens=counts.sum(-1).view(shape),
        )
        # A mean over rows, not over weights: the same whichever way the rows are split into batches of one size.
        loss = (batch["weight"] * self._objective.losses(scores, batch)).mean()
        entropy_sum = (outputs.entropy[:, positions] * counts).sum(-1).view(shape)
        self._keep(scores, batch, entropy_sum)
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        if return_outputs:  # `predict` wants logits, which the fused head never builds
            with torch.no_grad():
                outputs = model(**tokens)
        return (loss, outputs) if return_outputs else loss

    def _ref_logps_of(self, batch: dict[str, Tensor]) -> Tensor | None:
        """Of a batch's completions under the reference, in any shape; None: nobody asks."""
        if not self._objective.uses_reference:
            return None
        if "ref_logps" in batch:
            return batch["ref_logps"]
        model = self.ref_model or self.model
        logps: Tensor = self.compute_ref_log_probs(model, batch)[0]  # type: ignore[no-untyped-call]
        return logps

    def _keep(self, scores: Scores, batch: dict[str, Tensor], entropy_sum: Tensor) -> None:
        """Keeps a batch's statistics for the log: beside gradients all that processes exchange in a step."""
        known = {
            "logps": scores.logps,
            "reward": batch["reward"].view(scores.logps.shape),
            "entropy_sum": entropy_sum,
            "tokens": scores.tokens,
            **({} if scores.ref_logps is None else {"logratio": scores.logratio}),
            **self._objective.statistics(scores, batch),
        }
        none = torch.full_like(scores.logps, torch.nan)
        columns = [known.get(name, none).detach().float() for name in COLUMNS]
        rows = self.accelerator.gather_for_metrics(torch.stack(columns, dim=-1))  # [rows, completions, columns]
        self._rows["train" if self.model.training else "eval"].append(rows.flatten(0, 1))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the statistics of all rows since the last line."""
        mode = "train" if self.model.training else "eval"
        if self._rows[mode]:
            summary = summarise(torch.cat(self._rows[mode]), pass_reward=self.args.pass_reward)
            self._metrics[mode].update({name: [value] for name, value in summary.items()})
            self._rows[mode].clear()
            if mode == "train" and self.is_world_process_zero():
                self._collapse.look(summary)
        super().log(logs, start_time)

    def create_model_card(  # type: ignore[override]  # TRL has fewer arguments than transformers
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """Writes TRL's card of the model into the output folder, with the method's paper and options."""
        super().create_model_card(model_name, dataset_name, tags)
        if not self.is_world_process_zero():
            return
        path = Path(self.args.output_dir or ".") / "README.md"
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.accelerator.num_processes
        card = with_options(path.read_text("utf-8"), self.args, steps=self.state.global_step, batch_size=rows)
        write_atomically(path, card)


@contextmanager
def _heads_at(temperature: float) -> Iterator[None]:
    """Lets the heads that TRL gives to policy and reference divide logits by a temperature."""
    make = kto_trainer.add_fused_lm_head
    kto_trainer.add_fused_lm_head = functools.partial(make, temperature=temperature)
    try:
        yield
    finally:
        kto_trainer.add_fused_lm_head = make


@contextmanager
def _head_on_completions_only(device: torch.device) -> Iterator[None]:
    """Lets TRL's fused head skip prompts and padding on the CPU, as it does on a GPU.

    TRL decides by whether Triton runs on the device; elsewhere it scores every position, for the sake of devices that
    compile one kernel per shape. On a CPU that is waste: SmolLM2-135M's head takes 34% (float32) or 50% (bfloat16) of a
    step with prompts of 180 and completions of 70 tokens, and 10% or 20% this way.
    """
    if device.type != "cpu":
        yield
        return
    decide = trl_utils._use_triton  # noqa: SLF001
    trl_utils._use_triton = lambda device: True  # noqa: SLF001
    try:
        yield
    finally:
        trl_utils._use_triton = decide  # noqa: SLF001
