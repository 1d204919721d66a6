"""`dlrun export RUN --format onnx`: a run's best weights as a file that other programs load."""

from pathlib import Path

from dlrun.cli.arguments import Arguments, is_override
from dlrun.errors import UserError
from dlrun.store import runs

FORMATS = ("safetensors", "state_dict", "torch_export", "onnx")
USAGE = f"dlrun export RUN --format {'|'.join(FORMATS)} [--out FILE] [data.path=FILE] [data.root=FOLDER]"


def main(words: list[str]) -> int:
    """Prints the file and how far its outputs are from the run's. **Raises:** `UserError`, `RunError` as the export."""
    arguments = Arguments(USAGE, "The best weights of a run as one file, checked against the run's own outputs.")
    arguments.add_argument("run", metavar="RUN", help="the folder of a run")
    arguments.add_argument("--format", metavar="NAME", help=f"one of {', '.join(FORMATS)}")
    arguments.add_argument("--out", metavar="FILE", help="the file to write; default: in the folder exports of the run")
    overrides = [word for word in words if is_override(word)]
    given = arguments.parse_args([word for word in words if word not in overrides])
    if given.format not in FORMATS:
        raise UserError(f"export: --format must be one of {', '.join(FORMATS)}, found {given.format!r}")
    run = runs.open_run(given.run)

    from dlrun.run import export, stored, trained

    config = stored.config_of(run, overrides, on_cpu=True)
    found = trained.load(config, run.path, with_data=False)
    made = export.export(found, config, run.path, given.format, Path(given.out) if given.out else None)
    takes = "one image at a time" if made.about["batch"] == 1 else "batches of any size"
    if isinstance(made.about["steps"], int):
        takes += f", {made.about['steps']} steps"
    for name, value in (
        ("file", made.path),
        ("takes", f"{takes}: {', '.join(f'{k} {v}' for k, v in described(made.about).items())}"),
        ("gives", made.about["meaning"]),
        ("differs", f"by at most {made.difference:.2g} of the largest output from what the run says"),
    ):
        print(f"{name:<8}{value}")
    return 0


def described(about: dict) -> dict[str, str]:
    """Each input with its type and shape, without the examples."""
    return {name: f"{value['dtype']} {tuple(value['shape'])}" for name, value in about["inputs"].items()}
