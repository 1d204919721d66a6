"""The story of one run, top to bottom."""

import contextlib
import functools
import pathlib
import sys
import traceback
from collections.abc import Iterator, Mapping

import torch

from dlrun import disk
from dlrun.config import check
from dlrun.config.check import Config
from dlrun.engine import device as devices
from dlrun.engine.finite import NonFiniteLoss
from dlrun.engine.fit import fit
from dlrun.engine.interrupt import Interrupted, Pruned, Stop
from dlrun.engine.profiling import profiling
from dlrun.engine.state import State, seed_everything
from dlrun.errors import RunError, UserError
from dlrun.run import assemble, conclude, stored, transfer
from dlrun.run.checks import check_fit, rare_classes
from dlrun.run.conclude import Result
from dlrun.run.loggers import loggers, ready
from dlrun.run.recorder import Judge, Recorder
from dlrun.store import files, locks
from dlrun.store.run_folder import RunFolder
from dlrun.store.runs import NOT_FINITE
from dlrun.terminal.console import Console
from dlrun.terminal.escaping import quoted


def run(
    config: Config, words: list[str], resume: pathlib.Path | None = None, judge: Judge | None = None,
    changed: Mapping[str, str] | None = None, *, from_python: bool = False,
) -> Result:  # fmt: skip
    """Trains, evaluates and records one run; `resume` goes on with the run in that folder.

    `words` is the command line that repeats it; `judge` may give it up after an epoch; `changed` are the keys that set
    it apart from the other jobs of its sweep. `from_python`: it was asked for by a program, whose process no signal
    ends, and the next steps are told in Python.

    **Raises:** `UserError` before anything is written; `RunError` if training cannot go on;
    `Interrupted` after a signal and `Pruned` if `judge` gives it up, with the state saved.
    """
    stopping = Stop(config.trainer.stop_when_warned, quits=not from_python)
    with stopping.handling() as stop, assemble.on_device(config) as device:
        dataset = assemble.data(config, stored.kept_of(resume), stored.offered_of(resume, config))
        spec, prepare = assemble.view(config, dataset.spec)
        sampler = assemble.sampler(config, dataset.spec)
        augment = assemble.augmentation(config, dataset.spec)
        files.check_writable(config.folder or config.outputs)
        is_new = resume is None and changed is None
        (ready.check if is_new else ready.check_packages)(config)
        parts = dataset.load()
        stored.say_unkept(dataset, resume)
        task = assemble.task(config, spec)
        task.to(device)
        loaders = assemble.loaders(config, parts, prepare, device, sampler, augment)
        train, val, beside = loaders["train"], loaders.get("val"), assemble.beside(config, loaders)
        if judge is not None and val is None:
            raise UserError(f"data={config.data['name']}: a search chooses by the val part, and there is none")
        seed_everything(config.seed)
        model = devices.place(assemble.model(config, spec), device, config.device.channels_last)
        check_fit(config, model, task, train, val)
        about = [*rare_classes(spec, parts), *assemble.left_out(train, spec), *task.begin(model, parts["train"])]
        transferred = transfer.begin(config, model, spec, train.example().inputs, resumes=resume is not None)
        optimizer = assemble.optimizer(config, model, transferred)
        state = assemble.state(config, model, optimizer, task, train, transferred.freezing)
        autocast = devices.autocast(config.device.precision, device)

        home = RunFolder(resume or make_folder(config), (f"{'val' if val else 'train'}/{state.watch}", state.mode))
        with locks.owned(home.path), _status(home, config, from_python):
            disk.remove_unfinished(home.path)
            kept = dataset.kept or dataset.found
            if resume is None and kept is not None:
                home.write_samples(kept.to_tree())
            config = check.with_absolute_paths(config)
            home.write_config(config.to_dict(), words, spec.to_dict(), dataset.spec.to_dict())
            if resume is not None:
                _restore(home, state, config, train.num_batches)
            home.best_extras = {"config": config.to_dict(), "spec": spec.to_dict(), "watch": state.watch}
            purge_step = state.step + 1 if resume else None
            begun = loggers.about(config, home.path, changed, conclude.command(words), purge_step)
            reported = loggers.Loggers(config, begun)
            console = Console(config.trainer.epochs, train.num_batches)
            sample = functools.partial(task.sample, loader=val or train)
            recorder = Recorder(home, reported, console, sample, histograms=config.logger.histograms, judge=judge)
            with recorder:
                if resume is not None:
                    recorder.go_on(state)
                conclude.announce(config, home.path, model, parts, device, about)
                with (
                    stop.deferred(),
                    profiling(config.trainer.profile_steps, home.path / "profile/trace.json", device) as profiler,
                ):
                    # A search that was killed had perhaps not answered yet.
                    is_hopeless = judge is not None and bool(state.history) and judge(state.history[-1])
                    outcome = "pruned" if is_hopeless else fit(
                        state, task, train, val, config.trainer,
                        autocast=autocast, recorder=recorder, keeper=home, stop=stop, profiler=profiler,
                        beside=beside,
                    )  # fmt: skip
                if outcome == "interrupted":
                    raise Interrupted(stop.requested or 0)
                if outcome == "pruned":
                    raise Pruned(f"given up after epoch {state.epoch} of {config.trainer.epochs}")
                return conclude.conclude(
                    config, words, home, state, task, loaders, recorder, outcome, kept, changed,
                    from_python=from_python,
                )  # fmt: skip


def make_folder(config: Config) -> pathlib.Path:
    """A new folder for the run: the one that the config names, or one below `outputs`."""
    if config.folder is not None:
        path = pathlib.Path(config.folder)
        return files.create(path.parent, path.name)
    return files.create(pathlib.Path(config.outputs) / f"{config.model['name']}-{config.data['name']}")


def _restore(home: RunFolder, state: State, config: Config, num_batches: int) -> None:
    """Loads the newest checkpoint into `state`; a run that has none yet starts anew."""
    tree, warning = home.read_last(State.check_tree)
    if warning is not None:
        print(f"dlrun: warning: {warning}", file=sys.stderr)
    if tree is None:
        return
    try:
        state.load_tree(tree)
        if state.batch > num_batches:
            raise ValueError(f"it has done {state.batch} of {num_batches} batches of an epoch")
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{home.path}: its checkpoint does not fit its config: {reason}") from error
    if config.device.threads is None:
        # Sums in another order round otherwise: the same bits need the same number of threads.
        torch.set_num_threads(tree["threads"])
    home.write_metrics(state.history)


@contextlib.contextmanager
def _status(home: RunFolder, config: Config, from_python: bool) -> Iterator[None]:
    """Keeps status.json true to how the run ends, and puts an ending in one line."""
    path = str(home.path)
    go_on = f"dlrun.load({path!r}).resume()" if from_python else f"dlrun resume {quoted(path)}"
    home.write_status("running")
    try:
        yield
    except Interrupted as error:
        home.write_status("interrupted")
        error.path = home.path
        print(f"interrupted; go on with: {go_on}", file=sys.stderr)
        raise
    except Pruned as reason:
        home.write_status("pruned")
        print(f"pruned: {reason}; train it to its end with: {go_on}")
        raise
    except Exception as error:
        saved = f"; what was saved before is intact, go on with: {go_on}" if home.has_state else ""
        explained = _explain(error, config, saved)
        with contextlib.suppress(OSError):  # the disk may be full, the folder gone
            home.write_status("failed", str(explained))
            disk.write(home.path / "error.txt", "".join(traceback.format_exception(error)))
        raise explained from error
    home.write_status("done")


def _explain(error: Exception, config: Config, saved: str) -> Exception:
    """The error with its cause and what to try, `saved` what there is to go on with; a bug stays as it is."""
    if isinstance(error, NonFiniteLoss):
        return RunError(
            f"{NOT_FINITE} at step {error.step} (learning rate {error.lr:g}); the update was not "
            f"made, and a checkpoint of before is untouched; try optimizer.lr={error.lr / 10:g}, "
            "trainer.clip_grad_norm=1, trainer.warmup_steps=100, or look for nan in the data"
        )
    if isinstance(error, RunError):
        # A loader process hands its error on inside a report of many lines, the cause last.
        return RunError(str(error).strip().splitlines()[-1].removeprefix("dlrun.errors.RunError: ") + saved)
    text = str(error).splitlines()[0] if str(error) else ""
    if (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "not enough memory" in text
        or "can't allocate memory" in text
    ):
        half = max(1, config.trainer.batch_size // 2)
        return RunError(
            f"out of memory with trainer.batch_size={config.trainer.batch_size}; try trainer.batch_size={half} "
            f"trainer.accumulate={config.trainer.accumulate * 2}, or device.precision=bf16"
        )
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return RunError(f"{place}{error.strerror}{saved}")
    if isinstance(error, RuntimeError) and "DataLoader worker" in text:
        return RunError(f"a loader process died ({text}); try device.workers=0 (in Docker: --shm-size=1g){saved}")
    return error
