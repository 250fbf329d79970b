"""Trains rcod-tiny: `train.py vae`, then `prior`, `rcod` and `mem`, each starting from the ones before."""
import argparse
import importlib
import os
from pathlib import Path

from loop import DEVICE, launch

DEFAULT_MINUTES = {"vae": 14, "prior": 14, "rcod": 80, "mem": 4}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=DEFAULT_MINUTES)
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of checkpoints and logs")
    parser.add_argument("--minutes", type=float, help=f"wall-clock budget; default {DEFAULT_MINUTES}")
    parser.add_argument("--steps", type=int, help="end after so many steps, however long they take, instead of --minutes")
    parser.add_argument("--save-minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1 if DEVICE.type == "cuda" else os.cpu_count())
    parser.add_argument("--begin", type=float, default=0.0, help="fraction of the schedule to begin at, after --resume")
    parser.add_argument("--resume", action="store_true", help="start from the averaged weights of this stage's checkpoint")
    rcod = parser.add_argument_group("stage rcod")
    rcod.add_argument("--name", default="rcod", help="name of the checkpoint and logs")
    rcod.add_argument("--peak", type=float, default=1.5e-3, help="peak learning rate")
    rcod.add_argument("--full-rank", action="store_true", help="with --resume: train the weights under the factors too")
    rcod.add_argument("--without", nargs="*", default=[], choices=["ldg", "das", "vpim"], help="ablations")
    args = parser.parse_args()
    if args.full_rank and not args.resume:
        parser.error("--full-rank goes on from trained factors: add --resume")
    args.minutes = args.minutes or DEFAULT_MINUTES[args.stage]
    launch(importlib.import_module(f"stage_{args.stage}").train, args)


if __name__ == "__main__":
    main()
