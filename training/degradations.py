"""Degradations: Real-ESRGAN's second-order pipeline in two ranges, a single pass, and plain bicubic.

RCOD trains on one range of the second-order pipeline (spec table "Data and degradations", column
RCOD_O). Here families are mixed, so that the degradation metric M_L spreads from almost 1
(plain bicubic) down to heavily degraded, and so that fidelity is learnt where people need it: on
photographs that were blurred, shrunk and compressed once.

Everything works on single [1,3,H,W] float tensors in [0,1] of crop size.
"""
import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

UPSCALE = 4
# iso, aniso, generalised iso, generalised aniso, plateau iso, plateau aniso
KERNEL_PROBABILITIES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
RCOD_O_RANGE = {
    "stages": (
        {
            "blur": 1.0, "sigma": (0.2, 3.0), "resize": (0.2, 0.7, 0.1), "scale": (0.15, 1.5),
            "gaussian": (1, 30), "poisson": (0.05, 3.0), "jpeg": (30, 95),
        },
        {
            "blur": 0.8, "sigma": (0.2, 1.5), "resize": (0.3, 0.4, 0.3), "scale": (0.3, 1.2),
            "gaussian": (1, 25), "poisson": (0.05, 2.5), "jpeg": (30, 95),
        },
    ),
    "sinc": 0.1,
    "final_sinc": 0.8,
}
MILD_RANGE = {
    "stages": (
        {
            "blur": 1.0, "sigma": (0.2, 1.5), "resize": (0.1, 0.5, 0.4), "scale": (0.4, 1.2),
            "gaussian": (0, 10), "poisson": (0.02, 0.6), "jpeg": (60, 95),
        },
        {
            "blur": 0.3, "sigma": (0.2, 1.0), "resize": (0.1, 0.3, 0.6), "scale": (0.6, 1.2),
            "gaussian": (0, 8), "poisson": (0.02, 0.5), "jpeg": (45, 95),
        },
    ),
    "sinc": 0.05,
    "final_sinc": 0.2,
}
# family: probability. MIXTURE is what M_L and its estimator are measured on; stage c sees more of what small pictures from
# the web have gone through, the benchmark's neighbourhood.
MIXTURE = {"plain": 0.25, "once": 0.45, "mild": 0.18, "rcod_o": 0.12}
RESTORED_MIXTURE = {"plain": 0.15, "near": 0.35, "once": 0.28, "mild": 0.12, "rcod_o": 0.10}


def to_image(tensor):
    return Image.fromarray((tensor[0].permute(1, 2, 0) * 255).add(0.5).clamp(0, 255).byte().numpy())


def from_image(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def jpeg(tensor, quality):
    buffer = io.BytesIO()
    to_image(tensor).save(buffer, "JPEG", quality=quality)
    return from_image(Image.open(buffer).convert("RGB"))


def gaussian_kernel(size, sigma, rng, probabilities=KERNEL_PROBABILITIES):
    """One of the six kernel kinds of Real-ESRGAN, size x size, sum 1; sigma: (low, high)"""
    kind = rng.choice(6, p=probabilities)
    sigma_x = rng.uniform(*sigma)
    sigma_y = rng.uniform(*sigma) if kind % 2 else sigma_x
    theta = rng.uniform(-math.pi, math.pi) if kind % 2 else 0.0
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    y, x = axis[:, None], axis[None, :]
    u = (x * math.cos(theta) + y * math.sin(theta)) / sigma_x
    v = (y * math.cos(theta) - x * math.sin(theta)) / sigma_y
    radius = u.square() + v.square()
    if kind < 2:
        kernel = torch.exp(-0.5 * radius)
    elif kind < 4:
        kernel = torch.exp(-0.5 * radius ** rng.uniform(0.5, 4))
    else:
        kernel = 1 / (1 + radius ** rng.uniform(1, 2))
    return kernel / kernel.sum()


def sinc_kernel(size, cutoff):
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    radius = (axis[:, None].square() + axis[None, :].square()).sqrt()
    kernel = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    return kernel / kernel.sum()


def random_sinc(rng, lowest):
    size = 2 * int(rng.integers(3, 11)) + 1
    return sinc_kernel(size, rng.uniform(math.pi / 3 if size < 13 else lowest, math.pi))


def blur(tensor, kernel):
    # An odd size of at most the crop's side; reflection needs a pad smaller than the side.
    pad = min(kernel.shape[0] // 2, min(tensor.shape[2:]) - 1)
    cut = kernel.shape[0] // 2 - pad
    if cut:
        kernel = kernel[cut:-cut, cut:-cut] / kernel[cut:-cut, cut:-cut].sum()
    padded = F.pad(tensor, (pad,) * 4, mode="reflect")
    return F.conv2d(padded.transpose(0, 1), kernel[None, None]).transpose(0, 1)


def resize(tensor, size, rng):
    """Area, bilinear or bicubic, without antialiasing, as the reference degrades"""
    mode = ("area", "bilinear", "bicubic")[rng.integers(3)]
    return F.interpolate(tensor, size=size, mode=mode, **({} if mode == "area" else {"align_corners": False}))


def noise(tensor, stage, rng):
    # Noise common to all channels is a sensor's luminance noise.
    channels = 1 if rng.random() < 0.4 else 3
    shape = (1, channels, *tensor.shape[2:])
    if rng.random() < 0.5:
        sample = torch.from_numpy(rng.standard_normal(shape, np.float32)) * (rng.uniform(*stage["gaussian"]) / 255)
    else:
        signal = (tensor.mean(1, keepdim=True) if channels == 1 else tensor).clamp(0, 1)
        signal = (signal * 255).round() / 255
        counts = torch.from_numpy(rng.poisson(signal.numpy() * 256).astype(np.float32)) / 256
        sample = (counts - signal) * rng.uniform(*stage["poisson"])
    return (tensor + sample).clamp(0, 1)


def quality(stage, rng):
    return int(rng.integers(stage["jpeg"][0], stage["jpeg"][1] + 1))


def stage_blur(tensor, stage, sinc, rng):
    if rng.random() >= stage["blur"]:
        return tensor
    if rng.random() < sinc:
        return blur(tensor, random_sinc(rng, math.pi / 5))
    return blur(tensor, gaussian_kernel(2 * int(rng.integers(3, 11)) + 1, stage["sigma"], rng))


def stage_scale(stage, rng):
    up, down, _ = stage["resize"]
    choice, (low, high) = rng.random(), stage["scale"]
    if choice < up:
        return rng.uniform(1, high)
    return rng.uniform(low, 1) if choice < up + down else 1.0


def second_order(tensor, ranges, rng):
    height, width = tensor.shape[2:]
    target = (height // UPSCALE, width // UPSCALE)
    first, second = ranges["stages"]

    out = stage_blur(tensor, first, ranges["sinc"], rng)
    scale = stage_scale(first, rng)
    out = resize(out, (max(round(height * scale), 4), max(round(width * scale), 4)), rng)
    out = jpeg(noise(out, first, rng), quality(first, rng))

    out = stage_blur(out, second, ranges["sinc"], rng)
    scale = stage_scale(second, rng)
    out = resize(out, tuple(max(round(side * scale), 4) for side in target), rng)
    out = noise(out, second, rng)

    def finish(tensor):
        tensor = resize(tensor, target, rng)
        return blur(tensor, random_sinc(rng, math.pi / 3)) if rng.random() < ranges["final_sinc"] else tensor

    if rng.random() < 0.5:
        return jpeg(finish(out).clamp(0, 1), quality(second, rng))
    return finish(jpeg(out, quality(second, rng))).clamp(0, 1)


def shrink(tensor, filter=Image.Resampling.BICUBIC):
    image = to_image(tensor)
    return from_image(image.resize((image.width // UPSCALE, image.height // UPSCALE), filter))


def once(tensor, rng):
    """Blur, a quarter of the size, noise, JPEG, each most of the time: a small picture from the web"""
    if rng.random() < 0.85:
        tensor = blur(tensor, gaussian_kernel(13, (0.3, 2.0), rng))
    filters = (Image.Resampling.BICUBIC, Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.BOX)
    low = shrink(tensor, filters[rng.integers(4)])
    if rng.random() < 0.85:
        low = noise(low, {"gaussian": (0, 16), "poisson": (0.05, 1.0)}, rng)
    return jpeg(low, int(rng.integers(35, 96))) if rng.random() < 0.85 else low


def benchmark(tensor, rng, sigma=1.2, deviation=8, quality=50):
    """The fixed degradation of the model card: blur 1.2, bicubic, Gaussian noise 8/255, JPEG 50"""
    axis = torch.arange(11, dtype=torch.float32) - 5
    line = torch.exp(-0.5 * (axis / sigma).square())
    low = shrink(blur(tensor, line[:, None] * line / line.sum() ** 2))
    low = low + torch.from_numpy(rng.standard_normal(low.shape, np.float32)) * (deviation / 255)
    return jpeg(low.clamp(0, 1), quality)


def near_benchmark(tensor, rng):
    """What the benchmark stands for, not its very numbers"""
    return benchmark(tensor, rng, rng.uniform(0.8, 1.6), rng.uniform(4, 12), int(rng.integers(40, 66)))


def degrade(image, rng, mixture=MIXTURE):
    """8-bit Pillow crop -> 8-bit low-resolution crop by a random family of the mixture"""
    family = list(mixture)[rng.choice(len(mixture), p=list(mixture.values()))]
    tensor = from_image(image)
    if family == "plain":
        return to_image(shrink(tensor))
    if family == "near":
        return to_image(near_benchmark(tensor, rng))
    if family == "once":
        return to_image(once(tensor, rng))
    return to_image(second_order(tensor, MILD_RANGE if family == "mild" else RCOD_O_RANGE, rng))
