"""`dlrun predict RUN INPUT...`: what a finished run makes of texts, images or rows; or a text that it writes."""

import argparse
from typing import TYPE_CHECKING

from dlrun import config, runs
from dlrun.arguments import Arguments
from dlrun.data.spec import IMAGE_TARGETS
from dlrun.errors import UserError
from dlrun.tables import print_table

if TYPE_CHECKING:
    from dlrun.trained import Trained

USAGE = "dlrun predict RUN INPUT... | dlrun predict RUN --prompt TEXT [--length 200] [--temperature 0.8] [--seed 0]"
SHOWN_CLASSES = 3
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
    stored = runs.open_run(given.run)
    checked = config.parse(config.on_cpu(stored.config))  # a handful of inputs

    from dlrun import trained

    run = trained.load(checked, stored.path, with_data=False)
    if run.spec.target == "next_token":
        _write(given, run)
    elif given.prompt is not None:
        raise UserError("predict: --prompt is for a run that has learned to write a text (data=text)")
    elif run.spec.target in IMAGE_TARGETS:
        raise UserError(
            f"predict: this run answers with images, and a table has none; {stored.path}/plots/answers.png shows some, "
            "and data.root=FOLDER takes your own"
        )
    elif not given.inputs:
        raise UserError(f"predict: which inputs? usage: {USAGE}")
    else:
        _tell(given.inputs, run)
    return 0


def _write(given: argparse.Namespace, run: "Trained") -> None:
    from dlrun.tasks.generation import continue_text

    if given.inputs or not given.prompt:
        raise UserError(
            f'predict: this run writes text; give it a beginning: dlrun predict {given.run} --prompt "The "'
        )
    prompt = run.dataset.encode([given.prompt], run.spec)[0][0].to(run.device)
    print(
        continue_text(
            run.model,
            run.spec.vocabulary or (),
            prompt,
            given.length,
            temperature=given.temperature,
            seed=given.seed,
        )
    )


def _tell(words: list[str], run: "Trained") -> None:
    from dlrun.console import number
    from dlrun.data import inputs

    names, raw = inputs.read(run.dataset, run.offered, words)
    answers = run.task.predict(run.outputs(raw))
    names = [name if len(name) <= SHOWN_LETTERS else f"{name[:SHOWN_LETTERS]}…" for name in names]
    if run.spec.target == "value":
        rows = [[name, *map(number, values.tolist())] for name, values in zip(names, answers, strict=True)]
        columns = [run.spec.target_name or "value"] + [""] * (answers.shape[1] - 1)
        print_table("", ["input", *columns], rows, right=columns)
        return
    if run.spec.target == "step_class":
        texts = run.task.predictions(answers, answers.argmax(dim=2))["predicted"]
        print_table("", ["input", "predicted"], list(zip(names, texts, strict=True)))
        return
    shown = min(SHOWN_CLASSES, answers.shape[1])
    rows = []
    for name, probabilities in zip(names, answers, strict=True):
        values, classes = probabilities.topk(shown)
        pairs = zip(classes.tolist(), values.tolist(), strict=True)
        rows.append([name, *(f"{run.task.class_names[k]} {value:.1%}" for k, value in pairs)])
    print_table("", ["input", "predicted", *["then"] * (shown - 1)], rows)
