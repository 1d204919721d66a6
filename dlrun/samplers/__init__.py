"""Samplers: how training batches are drawn. The names that `sampler=` takes stand here."""

from dlrun.config.registry import Registry

SAMPLERS = Registry(
    "sampler",
    {
        "full": "dlrun.samplers.orders:Full",
        "balanced": "dlrun.samplers.orders:Balanced",
        "classes": "dlrun.samplers.orders:ClassesBySamples",
        "neighbor": "dlrun.samplers.neighbor:Neighbor",
        "pinsage": "dlrun.samplers.pinsage:PinSage",
        "layer": "dlrun.samplers.layer:Layer",
        "cluster": "dlrun.samplers.cluster:Cluster",
        "saint": "dlrun.samplers.saint:Saint",
    },
)
