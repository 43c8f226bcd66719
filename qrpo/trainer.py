"""QRPO on top of TRL: with `qrpo.trl_head`, all that touches TRL's internals.

`QRPOTrainer` is TRL's pointwise trainer (KTO) with other rows, another collator and another loss. Loading models,
references, PEFT, quantisation, accelerate, FSDP, DeepSpeed, fused log-probabilities, evaluation, checkpoints and model
cards are TRL's. `tests/qrpo/test_trainer.py` pins every hook that is overridden here.
"""

from __future__ import annotations

import functools
import logging
import statistics
from pathlib import Path
from typing import Any

import torch
import trl.trainer.utils as trl_utils
from accelerate.utils import tqdm
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from peft import PeftConfig, PeftModel
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import Sampler
from transformers import (
    BitsAndBytesConfig,
    DataCollator,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    TrainerCallback,
)
from trl.models import prepare_deepspeed
from trl.trainer.kto_trainer import KTOTrainer

from qrpo.collapse import CollapseWatch
from qrpo.encoding import AnyDataset, Tokens, prepare_dataset
from qrpo.files import write_atomically
from qrpo.metrics import COLUMNS, as_rows, summarise
from qrpo.model_card import METHODS, with_options
from qrpo.objectives import Scores
from qrpo.pairwise import PairCollator
from qrpo.pointwise import PointwiseCollator
from qrpo.prompt_order import PromptSampler, check_company
from qrpo.ref_logps import RefLogpsCache, completed
from qrpo.reference import batches_of, numbers_of, reference_hash, reference_of, sharded_without_adapter
from qrpo.trainer_config import QRPOConfig
from qrpo.trl_head import can_share, head_fit_for, heads, is_told_by_tokens

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
        if isinstance(train_dataset, Dataset | IterableDataset):
            _columns(train_dataset, "train")
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
        if ref_model is None and self._objective.uses_reference and not args.precompute_ref_log_probs:
            ref_model = reference_of(model, adapter=peft_config is not None)
        self._shares_prompts = args.share_prompts and not is_told_by_tokens(model, peft_config)
        with heads(args.temperature, share_prompts=self._shares_prompts):
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
        if not set(self._form.columns) <= _columns(dataset, dataset_name):
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
        if dataset_name == "train" and args.algorithm == "qrpo" and args.transform == "scaled_normal_icdf":
            if isinstance(dataset, IterableDataset):
                raise ValueError(
                    "transform scaled_normal_icdf needs the mean over all rows, which a stream cannot tell"
                )
            self._pointwise.mean_ref_std = statistics.fmean(dataset["ref_std"])
        if dataset_name == "train" and isinstance(dataset, IterableDataset) and _is_grouped(args):
            raise ValueError("train_sampling_strategy group_by_prompt needs all rows at once, which a stream has not")
        if dataset_name == "train" and isinstance(dataset, Dataset) and args.profiles_log_z:
            check_company(list(map(tuple, dataset["prompt_ids"])), is_grouped=_is_grouped(args))
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        """Which columns reach the sampler and the collator."""
        if self._signature_columns is None:
            self._signature_columns = [*self._form.columns, "ref_logps"]  # type: ignore[assignment]  # declared as None

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        """Rows in the order that `train_sampling_strategy` names."""
        if not _is_grouped(self.args):
            sampler: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return sampler
        dataset = self.train_dataset if train_dataset is None else train_dataset
        assert isinstance(dataset, Dataset)  # see `_prepare_dataset`
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        # A run that goes on in the midst of an epoch has a fraction here; a whole number may have been rounded.
        return PromptSampler(
            [tuple(row["prompt_ids"]) for row in dataset], seed, lambda: int((self.state.epoch or 0.0) + 1e-6)
        )

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Adds the column `ref_logps`: from the rows, from disk, or computed.

        TRL's own method passes them between processes through a file that lies in a temporary folder of each process
        if the rows were made in memory.
        """
        if "ref_logps" in next(iter(dataset)) or not self._objective.uses_reference:
            return dataset
        if isinstance(dataset, IterableDataset):
            raise ValueError("a stream of rows needs a column ref_logps, or precompute_ref_log_probs=False")
        rows = (self._form.tokens(row) for row in dataset)
        column = completed(
            rows,
            self._ref_logps_cache(),
            functools.partial(self._ref_logps, name=name, batch_size=batch_size),
            by_prompt=self._shares_prompts and can_share(self.accelerator.unwrap_model(self.ref_model or self.model)),
        )
        return dataset.add_column("ref_logps", [row[0] for row in column] if self._form.sequences == 1 else column)

    def _ref_logps(self, sequences: list[Tokens], name: str, batch_size: int) -> list[float]:
        """Log-probabilities of completions under the reference, nats, the same on all processes."""
        model: nn.Module = self.ref_model or self.model
        # The policy is not yet on the device.
        if self.ref_model is None and self.is_deepspeed_enabled:
            if self._precompute_engine is None:  # TRL's, kept because making one costs memory
                self._precompute_engine = prepare_deepspeed(self.model, self.accelerator)
            model = self._precompute_engine  # type: ignore[assignment]  # declared as None
        elif self.ref_model is None and self.is_fsdp_enabled and not isinstance(self.model, FSDPModule):
            model = sharded_without_adapter(self.model, self.accelerator)
        batches = batches_of(
            sequences, batch_size=batch_size, multiple=self._pointwise.pad_to_multiple_of, accelerator=self.accelerator
        )
        shown = tqdm(batches, desc=f"Reference, {name} rows", disable=self.args.disable_tqdm, leave=False)
        logps: list[float] = []
        with head_fit_for(self.accelerator.device):
            for batch in shown:
                sums, _ = self.compute_ref_log_probs(model, batch)  # type: ignore[no-untyped-call]
                logps += self.accelerator.gather_for_metrics(sums.float()).tolist()
        return logps

    @functools.cached_property
    def _reference_hash(self) -> str:
        """Of the weights as they were given: an engine changes their type."""
        # TRL has made a frozen copy of an adapter that was trained before ("ref").
        adapted = self.ref_model is None and isinstance(self.model, PeftModel) and "ref" not in self.model.peft_config
        reference = self.accelerator.unwrap_model(self.ref_model or self.model)
        return reference_hash(reference, without_adapter=adapted, whole=self._precompute_model_hash)

    def _ref_logps_cache(self) -> RefLogpsCache:
        args = self.args
        weights = str((self.ref_model or self.model).dtype).removeprefix("torch.")
        sharding = "deepspeed" if self.is_deepspeed_enabled else "fsdp" if self.is_fsdp_enabled else None
        folder = Path(args.ref_logps_dir) if args.ref_logps_dir else Path(args.output_dir or ".") / "ref_logps"
        return RefLogpsCache(
            folder, model_hash=self._reference_hash, numbers=numbers_of(args, weights=weights, sharding=sharding)
        )

    def _compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool
    ) -> Tensor | tuple[Tensor, Any]:
        """The mean weighted loss of a batch; keeps the rows' statistics for the log."""
        batch = {name: value.to(self.accelerator.device) for name, value in inputs.items()}
        tokens = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
        if self.aux_loss_enabled:
            tokens["output_router_logits"] = True
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        with head_fit_for(self.accelerator.device):
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
        losses = batch["weight"] * self._objective.losses(scores, batch)
        loss = losses.mean()
        entropy_sum = (outputs.entropy[:, positions] * counts).sum(-1).view(shape)
        self._keep(scores, batch, {"entropy_sum": entropy_sum, "loss": losses[:, None].expand(shape)})
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

    def _keep(self, scores: Scores, batch: dict[str, Tensor], more: dict[str, Tensor]) -> None:
        """Keeps a batch's statistics for the log: beside gradients all that processes exchange in a step."""
        known = {
            "logps": scores.logps,
            "reward": batch["reward"].view(scores.logps.shape),
            "tokens": scores.tokens,
            **({} if scores.ref_logps is None else {"logratio": scores.logratio}),
            **self._objective.statistics(scores, batch),
            **more,
        }
        rows = self.accelerator.gather_for_metrics(as_rows(known))  # of all processes, each once
        self._rows["train" if self.model.training else "eval"].append(rows.flatten(0, 1))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the statistics of all rows since the last line."""
        mode = "train" if self.model.training else "eval"
        if self._rows[mode]:
            rows = torch.cat(self._rows[mode])
            summary = summarise(rows, pass_reward=self.args.pass_reward)
            if "eval_loss" in logs and not self.aux_loss_enabled:
                # transformers takes the mean of batches, in which rows are repeated until all processes have as many.
                summary["loss"] = rows[:, COLUMNS.index("loss")].double().mean().item()
            self._metrics[mode].update({name: [value] for name, value in summary.items()})
            self._rows[mode].clear()
            if mode == "train" and self.is_world_process_zero():
                self._collapse.look(summary)
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes the model, whole: under FSDP2 transformers writes none beside the shards of a checkpoint."""
        if not (self.is_fsdp_enabled and "SHARDED" in str(self.accelerator.state.fsdp_plugin.state_dict_type)):
            super().save_model(output_dir, _internal_call)
            return
        whole = self.accelerator.get_state_dict(self.model)  # on all processes
        self._save(output_dir, state_dict=whole)

    def _run_epoch(self, *arguments: Any, **options: Any) -> None:
        # transformers looks only after a step whether one is left: from the checkpoint of the last it takes one more.
        # What it does at the end of an epoch, by strategies of `epoch`, is not done here.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*arguments, **options)  # type: ignore[no-untyped-call]

    def _save_rng_state(self, output_dir: str) -> None:
        # The last part of a checkpoint that every process writes; the trainer's state, by which it counts as whole, is
        # the first one's alone.
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

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


def _is_grouped(args: QRPOConfig) -> bool:
    return args.train_sampling_strategy == "group_by_prompt"


def _columns(dataset: AnyDataset, name: str) -> set[str]:
    """Of the first row.

    Raises:
        TypeError: it is no data set.
        ValueError: it has no rows.
    """
    if not isinstance(dataset, Dataset | IterableDataset):
        raise TypeError(
            f"{name}_dataset must be a Dataset or IterableDataset, got {type(dataset).__name__}; see Dataset.from_list"
        )
    first = next(iter(dataset), None)
    if first is None:
        raise ValueError(f"{name}_dataset has no rows")
    return set(first)
