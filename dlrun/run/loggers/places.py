"""What can be known of a run's loggers before it begins, without torch."""

import importlib.util

from dlrun.config.check import Config
from dlrun.errors import UserError
from dlrun.run.loggers.mlflow import check_reachable
from dlrun.run.loggers.wandb import check_login

PACKAGES = ("mlflow", "wandb")  # an extra of dlrun each


def check_packages(config: Config) -> None:
    """**Raises:** `UserError` if the package of a logger is not there; imports none."""
    for name in PACKAGES:
        if getattr(config.logger, name) and importlib.util.find_spec(name) is None:
            raise UserError(f"logger.{name}: {name} is not installed; pip install 'dlrun[{name}]'")


def check(config: Config) -> None:
    """For what begins anew. **Raises:** `UserError` also if no server listens, or nobody is logged in."""
    check_packages(config)
    if config.logger.mlflow:
        check_reachable(config.logger.tracking_uri)
    if config.logger.wandb and config.logger.online:
        check_login()
