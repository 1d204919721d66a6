"""The loggers of a run: none that fails takes the run with it."""

import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

from dlrun.config.check import NOT_OF_THE_RUN, Config
from dlrun.errors import UserError, bounded
from dlrun.run.loggers.logger import LONGEST_NAME, About, Logger, told
from dlrun.run.loggers.mlflow import MLflow
from dlrun.run.loggers.tensorboard import TensorBoard
from dlrun.run.loggers.wandb import WandB
from dlrun.store import sweep_record
from dlrun.terminal.escaping import without_password


def about(
    config: Config, folder: pathlib.Path, changed: Mapping[str, str] | None, command: str, purge_step: int | None
) -> About:
    """What loggers are told of the run in `folder`."""
    path, options = folder.absolute(), config.logger
    names = [options.run_name, told(changed or {})]
    if not any(names):
        names = [f"{config.model['name']}-{config.data['name']}", path.name]
    return About(
        folder=folder,
        outputs=pathlib.Path(config.outputs).absolute(),
        name=" ".join(filter(None, names))[:LONGEST_NAME],
        group=path.parent.name if sweep_record.is_sweep(path.parent) else None,
        changed=changed or {},
        config={key: value for key, value in config.to_dict().items() if key not in (*NOT_OF_THE_RUN, "logger")},
        command=command,
        purge_step=purge_step,
    )


class Loggers:
    """All loggers of a run as one. What fails in the middle of it is said once, and is told no more."""

    def __init__(self, config: Config, about: About):
        """**Raises:** `UserError` if something in the run's folder is not what it should be."""
        options, self.loggers, self.failed = config.logger, list[Logger](), list[Logger]()
        if options.tensorboard:
            self.loggers.append(TensorBoard(about.folder, about.purge_step, about.changed))
        if options.mlflow:
            self._open(MLflow.title, lambda: MLflow(about, options.tracking_uri, options.project))
        if options.wandb:
            self._open(WandB.title, lambda: WandB(about, options.project, options.online))

    def looks(self) -> Sequence[str]:
        """A line a logger on how to look at the run there."""
        return [logger.look for logger in self.loggers if logger.look is not None]

    def scalars(self, values: dict[str, float], step: int) -> None:
        """One point for each of `values` that is defined."""
        defined = _defined(values)
        self.each(lambda logger: logger.scalars(defined, step))

    def again(self, values: dict[str, float], step: int) -> None:
        """The same of a run that goes on, for what is to be there once."""
        defined = _defined(values)
        self.each(lambda logger: logger.again(defined, step))

    def conclude(self, settings: dict[str, object], metrics: dict[str, float], step: int) -> None:
        """The final metrics that are defined."""
        defined = _defined(metrics)
        self.each(lambda logger: logger.conclude(settings, defined, step))

    def each(self, tell: Callable[[Logger], None]) -> None:
        """Calls `tell` with each logger that has not failed."""
        for logger in list(self.loggers):
            try:
                tell(logger)
            except Exception as error:
                self.loggers.remove(logger)
                self.failed.append(logger)
                _warn(f"{logger.title} failed, and hears no more of this run", error)

    def close(self, state: str) -> None:
        """The run has ended: `done`, `failed`, `interrupted` or `pruned`. A logger that failed is told too."""
        failed = list(self.failed)
        self.each(lambda logger: logger.close(state))
        for logger in failed:
            try:
                logger.close(state)
            except Exception:
                continue  # it has been said

    def _open(self, title: str, make: Callable[[], Logger]) -> None:
        try:
            self.loggers.append(make())
        except UserError:
            raise
        except Exception as error:
            _warn(f"{title} cannot be used, and hears nothing of this run", error)


def _defined(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _warn(what: str, error: Exception) -> None:
    reason = without_password(" ".join(str(error).split()))
    print(bounded(f"dlrun: warning: {what} ({type(error).__name__}: {reason})"), file=sys.stderr)
