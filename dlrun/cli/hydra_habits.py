"""What a user of Hydra is used to write: it works where it means something here; else one line says what to write."""

import sys
from collections.abc import Iterable

from dlrun.errors import UserError

# Hydra's key: dlrun's, which means the same.
KEYS = {
    "hydra.run.dir": "folder",
    "hydra.sweep.dir": "sweep.folder",
    "hydra.sweeper.n_trials": "sweeper.trials",
    "hydra.sweeper.storage": "sweeper.storage",
    "hydra.sweeper.sampler.seed": "sweeper.seed",
    "hydra.sweeper.n_jobs": "sweep.jobs",
    "hydra.launcher.n_jobs": "sweep.jobs",
    "hydra/sweeper": "sweeper",
    "hydra/sweeper/sampler": "sweeper.sampler",
}
# And the values of such a key that have other names here.
VALUES = {"hydra/sweeper": {"basic": "grid"}}
# Hydra's key, or how it begins: what to write in its place.
INSTEAD = {
    "hydra.mode": "-m runs many jobs, without it one",
    "hydra.job.name": "a run is called by its folder; write outputs=FOLDER or folder=FOLDER",
    "hydra.job.chdir": "a run never leaves the working directory; what it writes goes to its folder",
    "hydra.job.override_dirname": "the jobs of a sweep are numbered; dlrun report SWEEP says what each changes",
    "hydra.job.num": "the jobs of a sweep are numbered; dlrun report SWEEP says what each changes",
    "hydra.job.env_set": "set the environment in the shell, in front of dlrun",
    "hydra.sweep.subdir": "the jobs of a sweep are numbered; dlrun report SWEEP says what each changes",
    "hydra.output_subdir": "config.yaml and overrides.json stand in the run's folder itself",
    "hydra.verbose": "set DLRUN_DEBUG=1 in the environment for the traceback of an error",
    "hydra.searchpath": "write --config-dir FOLDER, as often as there are folders",
    "hydra.sweeper.study_name": "a study is called by its folder; write sweep.folder=FOLDER",
    "hydra.sweeper.direction": "trainer.watch=METRIC says what is searched for, and the metric knows its direction",
    "hydra.sweeper.params": "write the space as words: optimizer.lr='tag(log, interval(1e-4, 1e-1))'",
    "hydra.sweeper.max_batch_size": "sweep.jobs=N runs N jobs at once",
    "hydra/launcher": "sweep.jobs=N runs N jobs at once on this machine",
    "hydra.launcher": "sweep.jobs=N runs N jobs at once on this machine",
    "hydra/job_logging": "what a job prints is in logs/ of its sweep; logger=none writes no events",
    "hydra/hydra_logging": "what a job prints is in logs/ of its sweep; logger=none writes no events",
    "hydra.job_logging": "what a job prints is in logs/ of its sweep; logger=none writes no events",
    "hydra/callbacks": "a plug-in registers what it adds; see DLRUN_PLUGINS in dlrun --help",
    "hydra.callbacks": "a plug-in registers what it adds; see DLRUN_PLUGINS in dlrun --help",
    "hydra": "Hydra's own keys do nothing here; see outputs, folder, sweep.folder and --config-dir",
}  # fmt: skip
FLAGS = {
    "--config-name": "write experiment=NAME; the recipes: dlrun list experiments",
    "-cn": "write experiment=NAME; the recipes: dlrun list experiments",
    "--config-path": "write --config-dir FOLDER, which adds to dlrun's own",
    "-cp": "write --config-dir FOLDER, which adds to dlrun's own",
    "--run": "leave it out: without -m one job is run",
    "-r": "leave it out: without -m one job is run",
    "--experimental-rerun": "the last line of each run is the command that repeats it; or dlrun resume FOLDER",
}


def in_our_words(words: Iterable[str]) -> list[str]:
    """`words`, Hydra's own keys among them replaced by those that mean the same here, which is said.

    **Raises:** `UserError` for one that means nothing here: what to write in its place.
    """
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        if name.replace("/", ".").partition(".")[0] != "hydra" or word == "hydra":
            found.append(word)
        elif name in KEYS and equals and not key.startswith("~"):
            ours = f"{KEYS[name]}={VALUES.get(name, {}).get(value, value)}"
            print(f"dlrun: note: {word} is {ours} here", file=sys.stderr)
            found.append(ours)
        else:
            raise UserError(f"{' '.join(word.split())}: {_instead(name)}")
    return found


def _instead(name: str) -> str:
    """What the longest beginning of `name` that is known has to say."""
    return next(INSTEAD[known] for known in sorted(INSTEAD, key=len, reverse=True) if name.startswith(known))
