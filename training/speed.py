"""Steps of stage c in a second of one core's time, without its data: forward, backward and optimisers on random crops.

    python3 speed.py                       # as the stage trains
    python3 speed.py --compile --bfloat16  # what a newer PyTorch could add

One line a run, so that several versions of PyTorch make a table. Processor time, so that work beside it counts little.
"""
import argparse
import time
from contextlib import nullcontext

import torch

from model import VAE_CONFIG, AutoencoderKL, Prompted
from muon import Muon
from stage_rcod import CROP_SIDE, Generator, trained_parameters


def step_of(generator, optimizers, x, target, timestep, autocast):
    """One step of the faithful samples' pixel terms"""

    def step():
        with autocast():
            _, out = generator(x, timestep)
        loss = (out.float() - target).abs().mean()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="timed steps, after two that warm up")
    parser.add_argument("--crops", type=int, default=4, help="a worker's share of a batch")
    parser.add_argument("--compile", action="store_true", help="torch.compile, from PyTorch 2.0 on")
    parser.add_argument("--channels-first", action="store_true", help="instead of channels last")
    parser.add_argument("--bfloat16", action="store_true", help="forward and backward pass in bfloat16 where autocast allows")
    args = parser.parse_args()

    torch.manual_seed(1)
    torch.set_num_threads(1)
    layout = torch.contiguous_format if args.channels_first else torch.channels_last
    generator = Generator(AutoencoderKL(VAE_CONFIG), Prompted()).to(memory_format=layout)
    matrices, rest = trained_parameters(generator, full_rank=True)
    optimizers = [Muon([{"params": matrices}], lr=1e-5), torch.optim.Adam(rest, 1e-5, foreach=True)]
    x, target = (torch.rand(args.crops, 3, CROP_SIDE, CROP_SIDE).mul(2).sub(1).contiguous(memory_format=layout) for _ in range(2))
    timestep = torch.full((args.crops,), 249)
    autocast = (lambda: torch.autocast("cpu", torch.bfloat16)) if args.bfloat16 else nullcontext
    step = step_of(torch.compile(generator) if args.compile else generator, optimizers, x, target, timestep, autocast)
    for _ in range(2):
        step()
    start = time.process_time()
    for _ in range(args.steps):
        step()
    seconds = (time.process_time() - start) / args.steps
    options = [name for name in ("compile", "channels_first", "bfloat16") if getattr(args, name)]
    print(f"PyTorch {torch.__version__:12s} {' '.join(options) or 'float32, channels last':24s} {1 / seconds:6.2f} steps/s")


if __name__ == "__main__":
    main()
