"""How the parts of a data set become batches: a loader each, on the road that the config asks for."""

from typing import Any

import torch
from tqdm import tqdm

from dlrun.config import Config
from dlrun.data.loading import Loader, Prepare, TensorLoader, WorkerLoader
from dlrun.data.parts import Part, TensorPart
from dlrun.errors import UserError


def loaders(
    config: Config, parts: dict[str, Part], prepare: Prepare, device: torch.device, **training: Any
) -> dict[str, Loader]:
    """A loader a part; `train` is shuffled by the run's seed, and alone gets `training`: an augmentation, a sampler.

    **Raises:** `UserError` if a part gives no batch at all.
    """
    trainer = config.trainer
    empty = [name for name in dict.fromkeys(["train", *parts]) if name not in parts or len(parts[name]) == 0]
    if empty:
        raise UserError(f"data={config.data['name']}: no example in {', '.join(empty)}")
    evaluation_size = trainer.eval_batch_size or 4 * trainer.batch_size
    if trainer.overfit_one_batch:
        first = parts["train"].subset(torch.arange(min(trainer.batch_size, len(parts["train"]))))
        parts = dict.fromkeys(parts, first)
    made = {}
    for name, part in parts.items():
        is_train = name == "train"
        made[name] = loader(
            config,
            part,
            prepare,
            device,
            batch_size=trainer.batch_size if is_train else evaluation_size,
            shuffle=is_train and not trainer.overfit_one_batch,
            seed=config.seed,
            drop_last=is_train and trainer.drop_last,
            limit=trainer.limit_batches,
            **({key: value for key, value in training.items() if value is not None} if is_train else {}),
        )
    if made["train"].num_batches == 0:
        examples = len(parts["train"])
        raise UserError(
            f"trainer.batch_size: {trainer.batch_size} is more than the {examples} training examples, and drop_last "
            f"leaves no batch; use trainer.batch_size={max(1, examples)} or trainer.drop_last=false"
        )
    return made


def loader(config: Config, part: Part, prepare: Prepare, device: torch.device, **options: Any) -> Loader:
    """One part on the road that `device.residency` asks for; samples that share a graph bring a road of their own."""
    own = getattr(part, "loader", None)
    if own is not None:
        return own(prepare, device, **options)
    options_ = config.device
    fits = part.nbytes() <= options_.resident_limit_mb * 2**20
    resident = options_.residency == "device" or (options_.residency == "auto" and fits and not options_.workers)
    if resident:
        return TensorLoader(_in_memory(part), prepare, device, **options)
    return WorkerLoader(part, prepare, device, workers=options_.workers, **options)


def _in_memory(part: Part) -> TensorPart:
    if isinstance(part, TensorPart):
        return part
    rows = [part.read(i) for i in tqdm(range(len(part)), desc="reading", unit="file", leave=False, disable=None)]
    return TensorPart(tuple(torch.stack(column) for column in zip(*rows, strict=True)), part.target)
