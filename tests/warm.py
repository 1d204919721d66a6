"""What a server of test processes imports before it forks: what each of them would import and read for itself."""

import importlib

from dlrun.config import check, compose, registry

for module in ("run.run", "run.resume", "report.report", "augment.mixing", "store.checkpoint"):
    importlib.import_module(f"dlrun.{module}")
for group, names in {
    "model": ["mlp"],
    "data": ["synthetic"],
    "augment": ["none", "cutmix"],
    "task": ["multiclass"],
    "optimizer": ["adam", "sgd"],
    "scheduler": ["none", "cosine"],
    "sampler": ["full"],
}.items():
    for name in names:
        registry.registries()[group].get(name)
check.parse(compose.tree(["model=mlp", "data=synthetic", "optimizer=sgd", "augment=cutmix", "logger=none"], []))
