"""Trains rcod-tiny: `train.py vae`, then `prior`, `rcod` and `mem`, each starting from the ones before; or `train.py all`."""
import argparse
import copy
import importlib
import os
from pathlib import Path

from loop import DEVICE, launch

DEFAULT_MINUTES = {"vae": 14, "prior": 14, "rcod": 80, "mem": 4, "all": 300}
# The whole recipe: name of the part, stage, share of the minutes, and what it is started with.
RECIPE = (
    ("vae", "vae", 0.10, {}),
    ("prior", "prior", 0.08, {}),
    ("factors", "rcod", 0.35, {}),
    ("whole weights", "rcod", 0.42, {"resume": True, "full_rank": True, "peak": 5e-4}),
    ("mem", "mem", 0.05, {}),
)


def start(stage, args):
    launch(importlib.import_module(f"stage_{stage}").train, args)


def train_all(args):
    """Every part of the recipe in its share of the time. Started again, it goes on with the part that was stopped, from its last
    save: runs/NAME.progress says how far each has come."""
    args.runs.mkdir(parents=True, exist_ok=True)
    for name, stage, share, options in RECIPE:
        done, progress = (args.runs / f"{name.replace(' ', '-')}.{suffix}" for suffix in ("done", "progress"))
        if done.exists():
            print(f"{name}: done before")
            continue
        part = copy.copy(args)
        vars(part).update(options)
        part.progress = progress
        if progress.exists():
            part.begin, part.resume = float(progress.read_text()), True
        part.minutes = max(args.minutes * share * (1 - part.begin), 0.01)
        print(f"{name}: {part.minutes:.1f} minutes, from {part.begin:.0%} on", flush=True)
        start(stage, part)
        done.touch()


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
    parser.add_argument("--loaders", type=int, default=1, help="processes that make each worker's crops")
    parser.add_argument("--crops", type=int, default=8, help="of a step, over all workers; stage prior takes half as many again")
    parser.add_argument("--begin", type=float, default=0.0, help="fraction of the schedule to begin at, after --resume")
    parser.add_argument("--resume", action="store_true", help="start from the averaged weights of this stage's checkpoint")
    rcod = parser.add_argument_group("stage rcod")
    rcod.add_argument("--name", default="rcod", help="name of the checkpoint and logs")
    rcod.add_argument("--peak", type=float, default=1.5e-3, help="peak learning rate")
    rcod.add_argument("--full-rank", action="store_true", help="with --resume: train the weights under the factors too")
    rcod.add_argument("--without", nargs="*", default=[], choices=["ldg", "das", "vpim", "distillation"], help="""
        ablations; also what goes on from a published model leaves out the distillation: the prior that it needs is not published""")
    args = parser.parse_args()
    args.progress = None
    if args.full_rank and not args.resume:
        parser.error("--full-rank goes on from trained factors: add --resume")
    args.minutes = args.minutes or DEFAULT_MINUTES[args.stage]
    if args.stage == "all":
        train_all(args)
    else:
        start(args.stage, args)


if __name__ == "__main__":
    main()
