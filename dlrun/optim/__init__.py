"""Optimizers and learning-rate schedules. The names that `optimizer=` and `scheduler=` take stand here."""

from dlrun.config.registry import Registry

OPTIMIZERS = Registry(
    "optimizer",
    {
        "sgd": "dlrun.optim.optimizers:sgd",
        "adam": "dlrun.optim.optimizers:adam",
        "adamw": "dlrun.optim.optimizers:adamw",
        "rmsprop": "dlrun.optim.optimizers:rmsprop",
        "adamax": "dlrun.optim.optimizers:adamax",
        "nadam": "dlrun.optim.optimizers:nadam",
        "radam": "dlrun.optim.optimizers:radam",
        "adagrad": "dlrun.optim.optimizers:adagrad",
        "adadelta": "dlrun.optim.optimizers:adadelta",
        "asgd": "dlrun.optim.optimizers:asgd",
        "rprop": "dlrun.optim.optimizers:rprop",
        "lbfgs": "dlrun.optim.optimizers:lbfgs",
        "muon": "dlrun.optim.optimizers:muon",
    },
)

SCHEDULERS = Registry(
    "scheduler",
    {
        "none": "dlrun.optim.schedulers:none",
        "step": "dlrun.optim.schedulers:step",
        "cosine": "dlrun.optim.schedulers:cosine",
        "onecycle": "dlrun.optim.schedulers:onecycle",
        "plateau": "dlrun.optim.schedulers:plateau",
        "multistep": "dlrun.optim.schedulers:multistep",
        "exponential": "dlrun.optim.schedulers:exponential",
        "warmup_cosine": "dlrun.optim.schedulers:warmup_cosine",
    },
)
