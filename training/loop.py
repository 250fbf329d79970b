"""What the stages share: workers, a wall-clock schedule, averaged weights, a log and checkpoints.

The learning rate follows a cosine over the elapsed time instead of the step count, so that a run
ends annealed however fast the machine is.

On a processor, one single-threaded worker per core computes its share of every batch and the gradients
are averaged: small layers do not pay for waking threads, and a core that another program borrows slows
a run by its share. On a GPU there is one worker.
"""
import copy
import csv
import math
import os
import tempfile
import time

import torch
import torch.distributed as dist

from muon import Muon

WARM_UP_STEPS = 100
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# On a GPU 10 bits of the factors of a product are enough here; bfloat16's 7 are not (README, "Things that mattered").
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def launch(train, args):
    """Runs train(args) in every worker"""
    if args.workers == 1:
        return train(args)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when the workers import PyTorch
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_work, (train, args, f"file://{folder}/group"), nprocs=args.workers)


def _work(rank, train, args, address):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=args.workers)
    train(args)


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def workers():
    return dist.get_world_size() if dist.is_initialized() else 1


def seed_worker(args):
    """Call after the weights are made: they must be equal in all workers, the samples must not."""
    torch.manual_seed(1000 * args.seed + rank())
    return [args.seed, rank()]


def to_device(tensor):
    return tensor.to(DEVICE, non_blocking=True).contiguous(memory_format=torch.channels_last)


class Average:
    """Exponential moving average of the trained parameters of a module: what is evaluated and exported"""

    def __init__(self, module, decay=0.999):
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay, self.step = decay, 0

    @torch.no_grad()
    def update(self, module):
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for average, current in zip(self.module.parameters(), module.parameters()):
            if current.requires_grad:
                average.lerp_(current, 1 - decay)


class Loop:
    """Iterates steps until the time is up; sets the learning rate; logs means of every 100 steps.

    `groups` are parameter groups with a "peak" learning rate each, for Adam or, with "muon", for Muon. `checkpoint()` gives what is saved,
    `validate()` a dict of figures; both run in the first worker every `save_minutes` and at the end.
    """

    def __init__(self, name, args, groups, checkpoint, validate=None):
        self.path, self.log_path = args.runs / f"{name}.pt", args.runs / f"{name}.csv"
        args.runs.mkdir(parents=True, exist_ok=True)
        groups = [{"muon": False, **group, "params": list(group["params"])} for group in groups]
        self.parameters = [p for group in groups for p in group["params"]]
        adam, muon = ([group for group in groups if group["muon"] == kind] for kind in (False, True))
        self.optimizers = [torch.optim.Adam(adam, 1e-3, betas=(0.9, 0.99), foreach=True)] if adam else []
        self.optimizers += [Muon(muon)] if muon else []
        self.seconds, self.save_seconds, self.total_steps = 60 * args.minutes, 60 * args.save_minutes, args.steps
        self.checkpoint, self.validate = checkpoint, validate
        self.progress_path = args.progress
        self.rows, self.step, self.begin, self.progress = [], 0, args.begin, args.begin

    def steps(self):
        self.start = time.time()
        next_save = self.start + self.save_seconds
        while self.progress < 1:
            factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress))
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor * min(1, (self.step + 1) / WARM_UP_STEPS)
            yield self.step
            if time.time() > next_save:
                next_save += self.save_seconds
                self.save()
        self.save()

    def update(self, loss, **figures):
        """One optimiser step; figures go to the log"""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # The first worker's clock travels with the gradients, so that all have one schedule and stop together.
        elapsed = min((time.time() - self.start) / self.seconds, 1.0)
        if self.total_steps:
            elapsed = (self.step + 1) / self.total_steps
        progress = torch.tensor(self.begin + (1 - self.begin) * elapsed, dtype=torch.float64)
        if workers() > 1:
            dist.broadcast(progress, 0)
        average_gradients(self.parameters)
        self.progress = float(progress)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"gradient is not finite at step {self.step}; last figures {figures}")
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        figures = {name: float(torch.as_tensor(value).detach()) for name, value in figures.items()}
        self.rows.append({"loss": float(loss.detach()), "gradient": float(norm), **figures})
        if self.step % 100 == 0:
            means = {key: sum(row[key] for row in self.rows) / len(self.rows) for key in self.rows[0]}
            self.rows = []
            self.note({"step": self.step, "minutes": (time.time() - self.start) / 60, **means})

    def note(self, row):
        if rank() > 0:
            return
        print(" ".join(f"{k} {v:.5g}" for k, v in row.items()), flush=True)
        new = self.step == 100
        with open(self.log_path, "w" if new else "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def save(self):
        if rank() > 0:
            return
        partial = self.path.with_suffix(".partial")
        torch.save(self.checkpoint(), partial)
        os.replace(partial, self.path)
        if self.progress_path:
            self.progress_path.write_text(f"{self.progress}")
        if self.validate:
            figures = self.validate()
            minutes = (time.time() - self.start) / 60
            print(f"validation at step {self.step}, {minutes:.1f} min:", figures, flush=True)
            with open(self.log_path.with_suffix(".validation.csv"), "a") as file:
                csv.writer(file).writerow([self.step, f"{minutes:.2f}", *sum(figures.values(), ())])


def average_gradients(parameters):
    """Over the workers. What a stage leaves alone, as the first one does the pixel path, has none."""
    if workers() == 1:
        return
    parameters = [p for p in parameters if p.grad is not None]
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= workers()
    offset = 0
    for p in parameters:
        p.grad.copy_(flat[offset : offset + p.numel()].view_as(p))
        offset += p.numel()
