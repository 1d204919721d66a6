"""`dlrun predict RUN INPUT...`: what a finished run makes of texts, images or rows; or a text that it writes."""

import argparse
from typing import TYPE_CHECKING

from dlrun.cli.arguments import Arguments
from dlrun.errors import UserError
from dlrun.store import runs
from dlrun.terminal.tables import print_table

if TYPE_CHECKING:
    from dlrun.run.trained import Trained

USAGE = "dlrun predict RUN INPUT... | dlrun predict RUN --prompt TEXT [--length 200] [--temperature 0.8] [--seed 0]"
SHOWN_LETTERS = 60


def main(words: list[str]) -> int:
    """Prints a table, or the text. **Raises:** `UserError` for what the run cannot take."""
    arguments = Arguments(USAGE, "What the best weights of a run say of new inputs.")
    arguments.add_argument("run", metavar="RUN", help="the folder of a run")
    arguments.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="a text, an image or a folder of them, a CSV file"
    )
    arguments.add_argument("--prompt", metavar="TEXT", help="what a model of text goes on with")
    arguments.add_argument("--length", type=int, default=200, metavar="N", help="characters to write")
    arguments.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0: always the likeliest")
    arguments.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another text")
    given = arguments.parse_intermixed_args(words)
    if given.length < 0 or not 0 <= given.temperature < float("inf") or not 0 <= given.seed < 2**63:
        raise UserError("predict: --length, --temperature and --seed must not be negative")
    run = runs.open_run(given.run)

    from dlrun.run import stored, trained

    # A handful of inputs need no GPU.
    found = trained.load(stored.config_of(run, on_cpu=True), run.path, with_data=False)
    if found.spec.target == "next_token":
        _write(given, found)
    elif given.prompt is not None:
        raise UserError("predict: --prompt is for a run that has learned to write a text (data=text)")
    elif not given.inputs:
        raise UserError(f"predict: which inputs? usage: {USAGE}")
    else:
        _tell(given.inputs, found)
    return 0


def _write(given: argparse.Namespace, run: "Trained") -> None:
    from dlrun.tasks.generation import continue_text

    if given.inputs or not given.prompt:
        raise UserError(
            f'predict: this run writes text; give it a beginning: dlrun predict {given.run} --prompt "The "'
        )
    raw = run.dataset.encode([given.prompt], run.spec)
    assert raw is not None, "data of texts read texts"
    prompt, options = raw[0][0].to(run.device), {"temperature": given.temperature, "seed": given.seed}
    print(continue_text(run.model, run.spec.vocabulary or (), prompt, given.length, **options))


def _tell(words: list[str], run: "Trained") -> None:
    from dlrun.data import inputs

    names, raw = inputs.read(run.dataset, run.offered, words)
    try:
        columns = run.task.answers(run.outputs(raw))
    except ValueError as error:
        raise UserError(f"predict: {error}") from error
    names = [name if len(name) <= SHOWN_LETTERS else f"{name[:SHOWN_LETTERS]}…" for name in names]
    right = list(columns) if run.spec.target == "value" else []
    print_table("", ["input", *columns], list(zip(names, *columns.values(), strict=True)), right=right)
