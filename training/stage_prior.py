"""Stage b: the prior. A denoiser of original latents that sees the visual tokens: what Stable Diffusion is to RCOD.

Trains the U-Net, the image encoder and the token projection to predict the noise of z_t = sqrt(abar) z + sqrt(1 - abar) n
on SD's noise schedule, t uniform in 0..999. Stage c freezes all of it and adapts by LoRA.
"""
import torch

import data
from loop import DEVICE, Average, Loop, seed_worker, to_device, workers
from model import VAE_CONFIG, AutoencoderKL, Prompted, denoise_latents

CONSTANT = 3.0  # against latents of deviation 1


def alphas_cumprod():
    """SD's scaled-linear schedule, [1000]"""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float().to(DEVICE)


def add_noise(z, noise, timestep, abar):
    a = abar[timestep][:, None, None, None]
    return a.sqrt() * z + (1 - a).sqrt() * noise


@torch.no_grad()
def carry_constants(unet):
    """Gives every level's stream two constant channels per norm group.

    GroupNorm divides by the deviation of whatever is in front of it: of a crop in training, of the whole picture
    later, and of almost nothing in a sky. Constants in the group keep that divisor close to fixed.
    """
    groups = unet.config["norm_num_groups"]
    for name, conv in unet.named_modules():
        leaf = name.rpartition(".")[2]
        if not (leaf in ("conv_in", "conv_shortcut") or leaf == "conv" or leaf == "conv2"):
            continue
        size = conv.out_channels // groups
        for group in range(groups):
            for index in range(2):
                conv.weight[group * size + index].zero_()
                conv.bias[group * size + index] = 0.0 if leaf == "conv2" else CONSTANT * (1, -1)[index]


def train(args):
    torch.manual_seed(args.seed)
    abar = alphas_cumprod()
    vae = AutoencoderKL(VAE_CONFIG)
    vae.load_state_dict(torch.load(args.runs / "vae.pt")["vae"])
    vae.requires_grad_(False).to(DEVICE, memory_format=torch.channels_last)
    model = Prompted()
    carry_constants(model.unet)
    if args.resume:
        model.load_state_dict(torch.load(args.runs / "prior.pt"))
    model.to(DEVICE, memory_format=torch.channels_last)
    average = Average(model)
    loop = Loop(
        "prior",
        args,
        [{"params": [p for name, p in model.named_parameters() if "post_layernorm" not in name], "peak": 1e-3}],
        lambda: average.module.state_dict(),
    )
    paths = data.manifest_photos(args.root, "train")
    source = data.batches(args, paths, [*seed_worker(args), 1], 3 * args.crops // 2 // workers(), 128)
    for _ in loop.steps():
        x = to_device(next(source))
        with torch.no_grad():
            mean, logvar = vae.encode(x)
            z = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        noise = torch.randn_like(z)
        timestep = torch.randint(0, 1000, (len(z),), device=DEVICE)
        error = (denoise_latents(model.unet, add_noise(z, noise, timestep, abar), timestep, model.tokens(x)) - noise).square()
        per_sample = error.mean((1, 2, 3))
        loop.update(
            per_sample.mean(),
            # The lower third of the schedule is where stage c uses the prior's timesteps.
            early=per_sample[timestep < 333].sum() / (timestep < 333).sum().clamp(min=1),
        )
        average.update(model)
