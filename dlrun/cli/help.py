"""What `dlrun` says of itself: the verbs, the welcome, and the help with all groups and options."""

import textwrap

from dlrun import __version__

VERBS = {
    "list": "models, data sets, experiments, examples, or the runs in a folder",
    "show": "the layers and shapes of model=... data=..., or a worked example",
    "eval": "the test metrics of a finished run's best weights",
    "predict": "what a finished run makes of a text, an image or a row",
    "export": "a finished run as a file that other programs load",
    "resume": "goes on with an interrupted run or sweep",
    "report": "a table and curves over several runs or a sweep",
    "doctor": "checks versions, devices and data, and trains for a moment",
}

WELCOME = f"""dlrun {__version__}: trains, compares and shows the models of a deep-learning course.

try     dlrun doctor                         is everything in place?
        dlrun model=resnet data=digits       a first image classifier, in seconds, without a download
        dlrun -m model=mlp,cnn seed=0,1      four runs and one report

train   dlrun [key=value ...]                -m: one job for each combination of listed values
verbs   {chr(10).join(f"{' ' * 8 if i else ''}dlrun {verb:<31}{text}" for i, (verb, text) in enumerate(VERBS.items()))}
help    dlrun --help                         all groups and options"""

HELP = """usage: dlrun [-m] [--config-dir DIR] [--cfg job] [key=value ...]
       dlrun VERB ...

examples
  dlrun model=resnet data=mnist                    train a model on a data set
  dlrun data=digits trainer.epochs=20 optimizer=sgd optimizer.lr=0.05
  dlrun model=torchvision model.arch=mobilenet_v2 data=imagefolder data.root=photos
  dlrun experiment=resnet_mnist device=cuda device.precision=bf16
  dlrun -m model=mlp,cnn optimizer.lr=0.1,0.01 seed='range(0,3)' sweep.jobs=2
  dlrun -m sweeper=optuna sweep=lr_search model=mlp sweeper.trials=30
  dlrun show example=conv stride=2                 a chapter's numbers, step by step, and a picture
  dlrun report multirun/2026-01-31_12-00-00-ab12   compare what the sweep has trained

flags
  -m, --multirun      one job for each combination of comma-separated values
  --config-dir DIR    more config groups, in your own folder DIR/model/*.yaml and so on
  --cfg job           print the composed config and stop; --info, --hydra-help: Hydra's own flags
  --version, --help

verbs
{verbs}

groups (choose with group=option, change one value with group.key=value)
{groups}

keys of the run: seed, outputs, folder, view; every other key stands in its group: dlrun --cfg job"""


def help_text() -> str:
    """All groups and options; Hydra reads the folders for it."""
    from dlrun.config import compose

    verbs = "\n".join(f"  {verb:<10}{text}" for verb, text in VERBS.items())
    groups = [
        textwrap.fill(", ".join(options), 100, initial_indent=f"  {group:<11}", subsequent_indent=" " * 13)
        for group, options in compose.groups([]).items()
    ]
    return HELP.format(verbs=verbs, groups="\n".join(groups))
