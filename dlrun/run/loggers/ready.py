"""What can be known of a run's loggers before it begins, without torch."""

import importlib.util
import sys

from dlrun.config.check import Config
from dlrun.errors import UserError
from dlrun.run.loggers.mlflow import check_inside, check_reachable
from dlrun.run.loggers.wandb import check_login
from dlrun.terminal.escaping import in_one_line, without_password

PACKAGES = ("mlflow", "wandb")  # an extra of dlrun each


def check_packages(config: Config) -> None:
    """**Raises:** `UserError` if the package of a logger is not there; imports none."""
    for name in PACKAGES:
        if getattr(config.logger, name) and importlib.util.find_spec(name) is None:
            raise UserError(f"logger.{name}: {name} is not installed; pip install 'dlrun[{name}]'")


def check_again(config: Config) -> None:
    """For what goes on by a record, which may be a stranger's: says where it reports to.

    **Raises:** `UserError` as `check_packages`, and for a database that would be made outside of the working directory.
    """
    check_packages(config)
    told = []
    if config.logger.mlflow:
        check_inside(config)
        told.append(config.logger.tracking_uri)
    if config.logger.wandb and config.logger.online:
        told.append("W&B")
    for name in filter(None, told):
        print(
            f"dlrun: note: as its config says, this reports to {in_one_line(without_password(name))}", file=sys.stderr
        )


def check(config: Config) -> None:
    """For what begins anew. **Raises:** `UserError` also if no server listens, or nobody is logged in."""
    check_packages(config)
    if config.logger.mlflow:
        check_reachable(config.logger.tracking_uri)
    if config.logger.wandb and config.logger.online:
        check_login()
