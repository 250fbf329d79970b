"""Trains the tiny RCOD pipeline from scratch on a processor, within a wall-clock budget.

The learning rate follows a cosine over the elapsed time instead of the step count, so that a run
ends annealed however fast the machine is. The averaged weights (EMA) are what gets exported; they
are written with everything else needed to resume every few minutes.

The timestep is the realism knob. Each crop draws its own t; at t = 249 the loss is the pixel error
alone, towards 749 a loss on local detail energy gains weight. That loss compares how much fine
detail there is around a pixel, not where exactly, so the network may sharpen where the
pixel error alone would ask for the blurred mean.

Two single-threaded workers update the same weights without locks (Hogwild, each with its own Adam):
on a processor shared with other programs that is twice as fast as two threads per operation, which
wait for each other at every small layer. The price is that two runs are not bit-identical.
"""
import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
from evaluate import evaluate
from model import RCOD_CONFIG, RCODPipeline

TIMESTEPS = np.array([249, 499, 749])
# (from this fraction of the budget, crop side, crops per step): few crops at first, for many steps early on; larger
# ones at the end bring the normalisation statistics and attention lengths closer to whole pictures.
STAGES = ((0.0, 96, 4), (0.75, 96, 8), (0.92, 160, 3))
WARM_UP_STEPS = 50


def draw_timesteps(strengths, rng):
    """Most crops: one of the three presets, above all fidelity. A tenth: anything between them. A tenth: by the
    strength of the degradation, after RCOD's latent domain grouping, but weakly, so that every preset stays
    usable on every input."""
    presets = rng.choice(TIMESTEPS, len(strengths), p=[0.6, 0.1, 0.3])
    between = rng.integers(249, 750, len(strengths))
    grouped = TIMESTEPS[np.minimum(2, (strengths * 3).astype(int))]
    choice = rng.random(len(strengths))
    return torch.from_numpy(np.where(choice < 0.8, presets, np.where(choice < 0.9, between, grouped)))


def smooth(image, dilation):
    """3x3 binomial blur with holes"""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(image.shape[1], 1, 3, 3)
    padded = F.pad(image, (dilation,) * 4, mode="replicate")
    return F.conv2d(padded, kernel, dilation=dilation, groups=image.shape[1])


def detail_energies(image):
    """Local root-mean-square of two detail bands"""
    energies = []
    for dilation, window in ((1, 5), (2, 9)):
        low = smooth(image, dilation)
        energies.append((F.avg_pool2d((image - low).square(), window, 1) + 1e-5).sqrt())
        image = low
    return energies


def loss_per_crop(out, target, timesteps):
    realism = (timesteps.float() - 249) / 500
    # The mean colour counts separately and little: GroupNorm makes it hard to keep, the colour fix restores it.
    shift = (target - out).mean((2, 3), keepdim=True)
    out = out + shift
    pixel = (out - target).abs().mean((1, 2, 3))
    detail = sum((a - b).abs().mean((1, 2, 3)) for a, b in zip(detail_energies(out), detail_energies(target)))
    # PSNR is what fidelity means here; the square alone would spend itself on a few edges.
    square = (out - target).square().mean((1, 2, 3))
    loss = (1 - 0.5 * realism) * (pixel + 4 * square) + 1.5 * realism * detail + 0.15 * shift.abs().mean((1, 2, 3))
    return loss, pixel.detach(), detail.detach()


class StreamWatch:
    """Keeps the residual streams small. What follows them is a GroupNorm, so nothing else stops a constant
    component from growing: without this the U-Net's reached 5e4 (fp16 ends at 65504) and hid its input."""

    LIMIT = 16.0  # mean square

    def __init__(self, pipeline):
        self.streams = []
        unet, vae = pipeline.unet, pipeline.vae
        norms = [unet.mid_block.resnets[1].norm1, unet.up_blocks[1].resnets[0].norm1, unet.conv_norm_out]
        norms += [vae.encoder.conv_norm_out, vae.decoder.conv_norm_out]
        for module in norms:
            module.register_forward_pre_hook(lambda module, inputs: self.streams.append(inputs[0]))

    def penalty(self):
        excess = sum(F.relu(stream.square().mean() / self.LIMIT - 1) for stream in self.streams)
        self.streams.clear()
        return 0.02 * excess


def learning_rate(progress, step, peak, final=1e-5):
    cosine = final + (peak - final) * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
    return cosine * min(1, (step + 1) / WARM_UP_STEPS)


@torch.no_grad()
def update_average(average, model, step):
    decay = min(0.999, (1 + step) / (10 + step))
    for a, b in zip(average.parameters(), model.parameters()):
        a.lerp_(b, 1 - decay)


CONSTANT = 4.0  # against image values in [-1, 1]
# y = mean of R, G, B; u = R - y; v = B - y
RGB_TO_YUV = torch.tensor([[1.0, 1.0, 1.0], [2.0, -1.0, -1.0], [-1.0, -1.0, 2.0]]) / 3


def fit_conv(conv, features, target):
    """Sets the first outputs of a 3x3 convolution to the ridge regression of target on its input features."""
    columns = F.unfold(features, 3, padding=1).transpose(1, 2).flatten(0, 1)
    columns = torch.cat([columns, torch.ones(len(columns), 1)], dim=1).double()
    gram = columns.T @ columns
    gram += 1e-5 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    solution = torch.linalg.solve(gram, columns.T @ target.permute(0, 2, 3, 1).flatten(0, 2).double()).float().T
    conv.weight[: len(solution)] = solution[:, :-1].reshape(-1, *conv.weight.shape[1:])
    conv.bias[: len(solution)] = solution[:, -1]


@torch.no_grad()
def initialise_near_identity(vae, x, target):
    """Starts the pipeline as a linear fit of target (1 dB below bicubic after the colour fix) instead of noise.

    Eight channels of every level carry the picture and constants through the residual stream: in the
    first norm group y, -y, +4, -4, in the second u, v, +4, -4. The constants dominate the group's
    deviation and the signs keep brightness out of its mean, so GroupNorm passes brightness and
    contrast instead of normalising them away, which is slow to learn from a random start.
    """

    def carried(channels):
        half = channels // 2
        return [0, 1, half, half + 1], [2, 3, half + 2, half + 3]

    def rewire(conv, kernel, sources):
        """Picture channels: source channels mixed by `sources` through one kernel. The rest starts quieter."""
        pictures, constants = carried(conv.out_channels)
        conv.weight.mul_(0.3)
        for index, channel in enumerate(pictures + constants):
            conv.weight[channel].zero_()
            conv.bias[channel] = 0 if index < 4 else CONSTANT * (1, -1)[index % 2]
        for channel, mix in zip(pictures, sources):
            for source, factor in mix.items():
                conv.weight[channel, source] = factor * kernel

    def straight(conv):
        return [{source: 1.0} for source in carried(conv.in_channels)[0]]

    centre = torch.zeros(3, 3)
    centre[1, 1] = 1
    mean = torch.zeros(3, 3)
    mean[:2, :2] = 0.25  # the encoder pads right and below, so the four pixels start at tap 0
    line = torch.tensor([0.25, 0.5, 0.25])

    for coder in (vae.encoder, vae.decoder):
        for name, module in coder.named_modules():
            if name.endswith("conv_shortcut"):
                rewire(module, torch.ones(1, 1), straight(module))
            elif "downsamplers" in name and name.endswith("conv"):
                rewire(module, mean, straight(module))
            elif "upsamplers" in name and name.endswith("conv"):
                rewire(module, line[:, None] * line, straight(module))
            elif name.endswith("conv2"):  # the blocks leave the carried channels alone at first
                module.weight[sum(carried(module.out_channels), [])] = 0
    y, u, v = (dict(enumerate(row)) for row in RGB_TO_YUV.tolist())
    minus_y = {channel: -factor for channel, factor in y.items()}
    rewire(vae.encoder.conv_in, centre, [y, minus_y, u, v])
    rewire(vae.decoder.conv_in, centre, [{0: 1.0}, {0: -1.0}, {1: 1.0}, {2: 1.0}])
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight[:3].zero_()
        conv.weight[range(3), range(3)] = 1.0
        conv.bias[:3].zero_()

    features = {}
    for coder in (vae.encoder, vae.decoder):
        coder.conv_out.register_forward_pre_hook(lambda conv, inputs: features.update({conv: inputs[0]}))
    low = F.avg_pool2d(x, 4)
    vae.encoder(x)
    fit_conv(vae.encoder.conv_out, features[vae.encoder.conv_out], torch.einsum("oc,nchw->nohw", RGB_TO_YUV, low))
    vae.decode(vae.encode_mean(x))
    fit_conv(vae.decoder.conv_out, features[vae.decoder.conv_out], target)
    for coder in (vae.encoder, vae.decoder):
        coder.conv_out._forward_pre_hooks.clear()
    # With eps = 0 the pipeline divides the latent by sqrt(alpha).
    vae.post_quant_conv.weight.mul_(math.sqrt(RCOD_CONFIG["alpha"]))


@torch.no_grad()
def widen_timestep_response(unet):
    """PyTorch's default makes t = 249 and t = 749 differ by a few percent of a feature; the knob then stays unused."""
    unet.time_embedding.linear_2.weight.mul_(6)
    for name, module in unet.named_modules():
        if name.endswith("time_emb_proj"):
            module.weight.mul_(2)


def work(rank, args, model, average, start, elapsed_before):
    """One worker: trains the shared model; worker 0 also keeps the average, the log and the checkpoints."""
    torch.set_num_threads(1)
    validation = data.manifest_photos(args.root, "validation")
    sampler = data.CropSampler(data.manifest_photos(args.root, "train"), [args.seed, rank, int(elapsed_before)])
    # The log-variance rows of quant_conv stay as they are: no loss reads them, so their gradient is zero.
    # The autoencoder starts near its goal, the U-Net from zero.
    groups = [{"params": model.vae.parameters(), "scale": 0.25}]
    groups += [{"params": p.parameters(), "scale": 1.0} for p in (model.unet, model.image_encoder, model.image_proj)]
    optimizer = torch.optim.Adam(groups, args.peak_lr, betas=(0.9, 0.99), foreach=True)
    watch = StreamWatch(model)
    step = 0
    next_save = elapsed_before + 60 * args.save_minutes
    sums, counted = np.zeros(3), 0
    while True:
        elapsed = time.time() - start
        progress = elapsed / (60 * args.minutes)
        if rank == 0 and (elapsed >= next_save or progress >= 1):
            next_save = elapsed + 60 * args.save_minutes
            states = {"model": model.state_dict(), "average": average.state_dict()}
            torch.save({**states, "elapsed": elapsed}, args.checkpoint)
            result = evaluate(average, validation, (249, 749), crop=256, long_side=640)
            report = "; ".join(
                f"{kind}: " + ", ".join(f"{m} {v['psnr']:.2f} dB {v['sharpness']:.2f}" for m, v in methods.items())
                for kind, methods in result.items()
            )
            print(f"validation at step {step}, {elapsed / 60:.1f} min: {report}", flush=True)
        if progress >= 1:
            break

        _, side, count = [stage for stage in STAGES if stage[0] <= progress][-1]
        x, target, strengths = sampler.batch(count, side)
        timesteps = draw_timesteps(strengths, sampler.rng)
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * learning_rate(progress, step, args.peak_lr)
        out = model(x.contiguous(memory_format=torch.channels_last), timesteps)
        losses, pixel, detail = loss_per_crop(out, target, timesteps)
        optimizer.zero_grad(set_to_none=True)
        (losses.mean() + watch.penalty()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if rank > 0:
            continue
        update_average(average, model, step)
        # The bicubic error of the same crops shows what a step's pixel error is worth.
        sums += [float(pixel.mean()), float(detail.mean()), float((x - target).abs().mean())]
        counted += 1
        if counted == 100:
            means = sums / counted
            print(
                f"step {step} {elapsed / 60:.1f} min lr {group['lr']:.2e} pixel {means[0]:.5f} "
                f"bicubic {means[2]:.5f} detail {means[1]:.5f}",
                flush=True,
            )
            sums, counted = np.zeros(3), 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--checkpoint", type=Path, default=Path("rcod-tiny.pt"))
    parser.add_argument("--resume", action="store_true", help="continue from --checkpoint, time included")
    parser.add_argument("--minutes", type=float, default=80, help="wall-clock budget")
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--peak-lr", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    pipeline = RCODPipeline()
    elapsed = 0.0
    if args.resume:
        state = torch.load(args.checkpoint)
        pipeline.load_state_dict(state["model"])
        elapsed = state["elapsed"]
    else:
        sampler = data.CropSampler(data.manifest_photos(args.root, "train"), args.seed)
        initialise_near_identity(pipeline.vae, *sampler.batch(32, 96)[:2])
        widen_timestep_response(pipeline.unet)
    # channels_last halves the step time of the processor's convolutions here
    model = pipeline.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).requires_grad_(False)
    if args.resume:
        average.load_state_dict(state["average"])
    model.share_memory()
    start = time.time() - elapsed
    torch.multiprocessing.spawn(work, (args, model, average, start, elapsed), nprocs=args.workers)


if __name__ == "__main__":
    main()
