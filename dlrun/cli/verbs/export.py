"""`dlrun export RUN --format onnx`: a run's best weights as a file that other programs load."""

from pathlib import Path
from typing import Any

from dlrun.cli.arguments import Arguments, is_override
from dlrun.errors import UserError
from dlrun.store import runs

USAGE = (
    "dlrun export RUN --format safetensors|state_dict|torch_export|onnx [--out FILE] "
    "[data.path=FILE] [data.root=FOLDER]"
)


def main(words: list[str]) -> int:
    """Prints the file and how far its outputs are from the run's. **Raises:** `UserError`, `RunError` as `export`."""
    arguments = Arguments(USAGE, "The best weights of a run as one file, checked against the run's own outputs.")
    arguments.add_argument("run", metavar="RUN", help="the folder of a run")
    arguments.add_argument("--format", metavar="NAME", help="what the file is to be")
    arguments.add_argument("--out", metavar="FILE", help="the file to write; default: in the folder exports of the run")
    overrides = [word for word in words if is_override(word)]
    given = arguments.parse_args([word for word in words if word not in overrides])
    run = runs.open_run(given.run)

    from dlrun.run import export, stored, trained

    if given.format not in export.FORMATS:
        raise UserError(f"export: --format must be one of {', '.join(export.FORMATS)}, found {given.format!r}")
    config = stored.config_of(run, overrides, on_cpu=True)
    found = trained.load(config, run.path, with_data=False)
    made = export.export(found, config, run.path, given.format, Path(given.out) if given.out else None)
    print(f"file    {made.path}")
    if made.about["preprocessing_is_inside"]:
        print(f"takes   {_taken(made.about)}")
        print(f"gives   {made.about['meaning']}")
    if made.compared:
        print(f"differs by {made.difference:.2g} of the largest output, at most, from what the run says")
    else:
        print("differs by nothing that could be seen: the run finds no box in its examples")
    return 0


def _taken(about: dict[str, Any]) -> str:
    inputs = [
        f"{name} {value['dtype']} ({', '.join(map(str, [about['batch'], *value['shape']]))})"
        for name, value in about["inputs"].items()
    ]
    return f"{', '.join(inputs)}{'; any number of steps' if about['steps'] == 'any' else ''}"
