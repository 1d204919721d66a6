"""Optimizers without torch's compiler do what they did."""

import subprocess
import sys

CODE = """
import importlib, sys, torch
from dlrun.engine.eager import do_without_compiler

def train(kind):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2, bias=False)
    optimizer = kind(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    def loss():
        optimizer.zero_grad()
        value = model(torch.ones(4, 3)).square().sum()
        value.backward()
        return value
    for _ in range(3):
        optimizer.step(loss)
        schedule.step()
        optimizer.load_state_dict(optimizer.state_dict())
    return model.weight.detach()

kinds = [torch.optim.SGD, torch.optim.AdamW, torch.optim.LBFGS, torch.optim.Muon]
do_without_compiler()
without = [train(kind) for kind in kinds]
assert "torch._dynamo" not in sys.modules

# Torch's optimizers once more, as nobody has touched them.
for name, module in list(sys.modules.items()):
    if name.startswith("torch.optim"):
        del sys.modules[name]
fresh = importlib.import_module("torch.optim")
for kind, weight in zip(kinds, without):
    assert torch.equal(train(getattr(fresh, kind.__name__)), weight), kind
assert "torch._dynamo" in sys.modules
"""


def test_the_same_steps_without_the_compiler():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
