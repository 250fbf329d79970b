"""Stage d: the metric estimation module, all else frozen. Predicts M_L from the low-quality latents, for `--realism auto`."""
import copy

import torch
import torch.nn.functional as F

import data
from degradations import MIXTURE
from loop import DEVICE, Average, Loop, seed_worker, to_device, workers
from model import MEM_CONFIG, MetricEstimationModule
from stage_rcod import Generator, grouped_timesteps, load_base, pair_metric


def threshold_loss(predicted, m, thresholds, sharpness=100):
    """What counts is the side of the thresholds: a regression alone draws the uncertain ones to the middle group"""
    return sum(
        F.binary_cross_entropy_with_logits(sharpness * (predicted - threshold), (m >= threshold).float())
        for threshold in thresholds
    )


def train(args):
    torch.manual_seed(args.seed)
    vae, prompted = load_base(args.runs)
    original_vae = copy.deepcopy(vae).requires_grad_(False)
    state = torch.load(args.runs / f"{args.name}.pt", map_location="cpu")
    generator = Generator(vae, prompted)
    generator.load_state_dict(state["generator"])
    generator.requires_grad_(False)
    mem = MetricEstimationModule(MEM_CONFIG)
    torch.nn.init.constant_(mem.head.bias, sum(state["thresholds"]) / 2)  # a ReLU that starts dead stays dead
    if args.resume:
        mem.load_state_dict(torch.load(args.runs / "mem.pt"))
    for module in (original_vae, generator, mem):
        module.to(DEVICE, memory_format=torch.channels_last)
    average = Average(mem)
    loop = Loop("mem", args, [{"params": mem.parameters(), "peak": 2e-3}], lambda: average.module.state_dict())
    paths = data.manifest_photos(args.root, "train")
    # Whole pictures are what it will see: crops as large as the time allows.
    source = data.batches(args, paths, [*seed_worker(args), 3], args.crops // workers(), 224, MIXTURE)
    for _ in loop.steps():
        x, target = (to_device(tensor) for tensor in next(source))
        with torch.no_grad():
            m = pair_metric(original_vae, x, target)
            latent = generator.vae.encode(x)[0]
        predicted = mem(latent)
        groups = [grouped_timesteps(values, state["thresholds"]) for values in (predicted, m)]
        loss = F.smooth_l1_loss(100 * predicted, 100 * m, beta=2.0) + threshold_loss(predicted, m, state["thresholds"])
        loop.update(loss, error=(predicted - m).abs().mean(), agree=(groups[0] == groups[1]).float().mean())
        average.update(mem)
