"""`dlrun report RUN... | SWEEP_FOLDER...`: runs side by side, best first, with the spread over their seeds."""

from dlrun.cli.arguments import Arguments
from dlrun.report.report import report

USAGE = "dlrun report FOLDER... [--metric PART/NAME] [--reach VALUE] [--against 'KEY=VALUE ...'] [--output FOLDER]"


def main(words: list[str]) -> int:
    """Prints the tables and writes the files."""
    arguments = Arguments(USAGE, "A table, a CSV file and curves of several runs, or of all runs in a sweep.")
    arguments.add_argument("folders", nargs="+", metavar="FOLDER", help="a run, a sweep, or a folder of them")
    arguments.add_argument(
        "--metric", metavar="PART/NAME", help="what to sort by and draw; default: what the runs watched"
    )
    arguments.add_argument("--reach", type=float, metavar="VALUE", help="also the first epoch that is as good as this")
    arguments.add_argument(
        "--against", metavar="'KEY=VALUE ...'", help="the setting that others are held against; default: the best"
    )
    arguments.add_argument("--output", metavar="FOLDER", help="where the files go; default: the folder of the runs")
    given = arguments.parse_intermixed_args(words)
    report(given.folders, given.metric, given.output, given.reach, given.against)
    return 0
