"""`python -m benchmarks.places [RUN ...] [--repeats 15]`

What models of places cost: the time an image and the mAP of trained detectors, with that of proposals apart, where
RUN ... are folders of runs; a window slid over an image in one pass beside window by window; a training step of YOLO
and of U-Net beside a bare loop with the same model, loss and data, in turns.
"""

import argparse
import copy
import json
import os
import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.loops import CPU, Nothing, Options, interleaved, resident
from dlrun.data import views
from dlrun.data.boxes.shapes import Shapes
from dlrun.engine import device as devices
from dlrun.engine.fit import fit
from dlrun.engine.interrupt import Stop
from dlrun.engine.state import State
from dlrun.models import MODELS
from dlrun.models.rcnn import RCNN
from dlrun.models.sliding_window import STRIDE, WINDOW, SlidingWindow
from dlrun.optim.optimizers import adam
from dlrun.run import stored, trained
from dlrun.store import runs
from dlrun.tasks.detection import Detection
from dlrun.tasks.segmentation import SemanticSegmentation

NUM_IMAGES, NUM_STEPS, BATCH_SIZE = 100, 30, 32
SPEED_UP, SIDE = 10, 128  # at least, of one pass over an image of so many pixels a side
STEP_TARGET = 1.05


def detectors(folders: list[str], table: Table) -> None:
    """A row a run: images of its test part, one at a time."""
    for folder in folders:
        run = runs.open_run(folder)
        found = trained.load(stored.config_of(run, on_cpu=True), run.path, with_data=True)
        (images,) = found.dataset.load()["test"].take(torch.arange(NUM_IMAGES)).inputs
        model = found.model.eval()
        whole, apart = [], []
        with torch.inference_mode():
            for image in images.split(1):
                (inputs,) = found.prepare((image,))
                started = time.perf_counter()
                model(inputs)
                whole.append(1000 * (time.perf_counter() - started))
                if isinstance(model, RCNN):
                    apart.append(proposals_ms(model, inputs))
        metrics = json.loads((run.path / "summary.json").read_text())["metrics"]
        proposals = f"{statistics.median(apart):.1f}" if apart else ""
        network = f"{statistics.median(whole) - statistics.median(apart):.1f}" if apart else ""
        name = run.path.name
        table.add_row(name, f"{metrics['test/map50']:.3f}", middle(whole), proposals, network)


def proposals_ms(model: RCNN, inputs: Tensor) -> float:
    """Milliseconds until the regions are known, without the map that a network of proposals looks at."""
    features = {"map": model.map(inputs)}
    started = time.perf_counter()
    model.proposed(inputs, features, None)
    return 1000 * (time.perf_counter() - started)


def middle(values: list[float]) -> str:
    ordered = sorted(values)
    tenth = len(ordered) // 10
    return f"{statistics.median(ordered):.1f} ({ordered[tenth]:.1f} to {ordered[-tenth - 1]:.1f})"


def sliding(repeats: int) -> None:
    """All windows of one size of an image, in one pass and one by one, in batches of 256."""
    torch.manual_seed(0)
    net, image = SlidingWindow(in_channels=3, image_size=SIDE, out_features=4).net.eval(), torch.rand(1, 3, SIDE, SIDE)

    def by_window() -> Tensor:
        windows = image.unfold(2, WINDOW, STRIDE).unfold(3, WINDOW, STRIDE)  # (1, C, G, F, 14, 14)
        rows = windows.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        return torch.cat([net(part) for part in rows.split(256)]).view(*windows.shape[2:4], -1).permute(2, 0, 1)

    def timed(way: Any) -> float:
        started = time.perf_counter()
        way()
        return time.perf_counter() - started

    with torch.inference_mode():
        off = (net(image)[0] - by_window()).abs().max()
        seconds = interleaved({"one": lambda: timed(lambda: net(image)), "many": lambda: timed(by_window)}, repeats)
    ratio = [many / one for one, many in zip(seconds["one"], seconds["many"], strict=True)]
    print(
        f"sliding_window, {SIDE}x{SIDE}: {statistics.median(ratio):.1f} x ({min(ratio):.1f} to {max(ratio):.1f}, at "
        f"least {SPEED_UP}) faster in one pass, largest difference {off:.1e}"
    )


class Steps:
    """A model on shapes, trained by the engine and by hand."""

    def __init__(self, name: str, learn: Any):
        data = Shapes(learn=learn, num_train=BATCH_SIZE * NUM_STEPS, num_val=0, num_test=1)
        self.part, self.spec, self.name = data.load()["train"], data.spec, name
        self.prepare = views.preparation(self.spec)
        self.train = resident(self.part, self.prepare, shuffle=True, batch_size=BATCH_SIZE)
        self.task: Any = Detection(self.spec) if learn == "boxes" else SemanticSegmentation(self.spec)
        torch.manual_seed(0)
        keys = {key: getattr(self.spec, key) for key in ("in_channels", "image_size", "out_features")}
        wanted = MODELS.describe(name).parameters
        self.model = MODELS.get(name)(**{key: value for key, value in keys.items() if key in wanted})
        self.task.begin(self.model, self.part)

    def placed(self) -> nn.Module:
        return devices.place(copy.deepcopy(self.model), CPU, channels_last=True).train()

    def ours(self) -> float:
        model = self.placed()
        state = State(model, adam(list(model.parameters()), lr=0.001), devices.gradient_scaler("fp32", CPU))
        state.watch, state.mode = self.task.watch, self.task.mode
        autocast, started = devices.autocast("fp32", CPU), time.perf_counter()
        fit(
            state, self.task, self.train, None, Options(), autocast=autocast, recorder=Nothing(), keeper=Nothing(),
            stop=Stop(),
        )  # fmt: skip
        return time.perf_counter() - started

    def bare(self) -> float:
        """The same steps as a person writes them, on the same tensors."""
        model, part = self.placed(), self.part
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
        started, total = time.perf_counter(), torch.zeros(())
        for index in torch.randperm(len(part)).split(BATCH_SIZE):
            (inputs,) = self.prepare((part.inputs[0][index],))
            if isinstance(self.task, Detection):
                boxes, labels = ([values[k] for k in index.tolist()] for values in part.target[:2])
                loss = torch.stack(list(model(inputs, boxes, labels).values())).sum()
            else:
                loss = F.cross_entropy(model(inputs), part.target[index].long(), ignore_index=255)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        total.item()
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.places")
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.2f}")
    if options.runs:
        table = Table(title=f"{NUM_IMAGES} images, one at a time: milliseconds, median (the middle 80 %)")
        for column in ("run", "mAP@0.5", "ms an image", "proposals", "network"):
            table.add_column(column, justify="left" if column == "run" else "right")
        detectors(options.runs, table)
        Console(width=120).print(table)
    sliding(options.repeats)
    for name, learn in (("yolo", "boxes"), ("unet", "mask")):
        steps = Steps(name, learn)
        seconds = interleaved({"ours": steps.ours, "bare": steps.bare}, options.repeats)
        ratio = [ours / bare for ours, bare in zip(seconds["ours"], seconds["bare"], strict=True)]
        print(
            f"{name}: a step {1000 * statistics.median(seconds['ours']) / NUM_STEPS:.1f} ms, "
            f"{statistics.median(ratio):.3f} x a bare one ({min(ratio):.3f} to {max(ratio):.3f}, n = {len(ratio)}, "
            f"at most {STEP_TARGET})"
        )


if __name__ == "__main__":
    main()
