"""Measures of restored pictures against their originals, for training, export and evaluation.

Every original is reduced to a long side and cut into centred, non-overlapping crops; each crop is made small
twice, by plain bicubic and by the benchmark degradation (Gaussian blur of sigma 1.2, bicubic, Gaussian noise
of 8/255, JPEG 50; fixed seed), and restored at several timesteps, colour fix included.

PSNR and SSIM (Gaussian window 11, sigma 1.5) are taken on the luma of 8-bit pictures. Sharpness is the mean
gradient magnitude of luma over the original's. Gradient deviation is GMSD (Xue et al., 2014): how unevenly the gradients of
luma, at half size, agree with the original's; 0 is best. Shift is the largest difference of a channel's mean to the enlarged
input, in levels. Means are over crops.
"""
import numpy as np
import torch
import torch.nn.functional as F

import data
from degradations import benchmark, from_image, shrink, to_image
from losses import luma, similarity
from model import COLOR_FIXES, RCOD_CONFIG

TIMESTEPS = (249, 374, 499, 624, 749)
DEGRADATIONS = {"benchmark": benchmark, "bicubic": lambda tensor, rng: shrink(tensor)}


def to_levels(tensor):
    """[N,3,H,W] in [0,1] -> the 8-bit levels an image file would hold, as floats"""
    return (tensor * 255).add(0.5).floor().clamp(0, 255)


def psnr(a, b):
    return float(10 * torch.log10(255**2 / (luma(a) - luma(b)).square().mean()))


def ssim(image, reference):
    """In doubles: in a flat sky the variances are differences of nearly equal numbers"""
    return float(similarity(luma(image.double()) / 255, luma(reference.double()) / 255))


def gradient(image):
    y = luma(image)
    return float((y.diff(dim=3)[:, :, :-1].square() + y.diff(dim=2)[:, :, :, :-1].square()).sqrt().mean())


def gradient_deviation(image, reference):
    """GMSD with its published constants"""
    line, step = torch.ones(3) / 3, torch.tensor([1.0, 0.0, -1.0])
    filters = torch.stack([line[:, None] * step, step[:, None] * line])[:, None]

    def magnitudes(picture):
        return F.conv2d(F.avg_pool2d(luma(picture), 2), filters, padding=1).square().sum(1).sqrt()

    a, b, c = magnitudes(image), magnitudes(reference), 170.0
    return float(((2 * a * b + c) / (a.square() + b.square() + c)).std(unbiased=False))


def measures(image, reference, source):
    return {
        "psnr": psnr(image, reference),
        "ssim": ssim(image, reference),
        "sharpness": gradient(image) / gradient(reference),
        "deviation": gradient_deviation(image, reference),
        "shift": float((image.mean((2, 3)) - source.mean((2, 3))).abs().max()),
    }


@torch.no_grad()
def restore(pipeline, x, timestep, color_fix=RCOD_CONFIG["color_fix"]):
    """x [1,3,H,W] in [-1,1] -> restored 8-bit levels"""
    out = pipeline(x, torch.tensor([timestep])).clamp(-1, 1) * 0.5 + 0.5
    return to_levels(COLOR_FIXES[color_fix](out, x * 0.5 + 0.5))


def centred_crops(image, side):
    columns, rows = image.width // side, image.height // side
    left, top = (image.width - columns * side) // 2, (image.height - rows * side) // 2
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * side, top + row * side
            yield image.crop((x, y, x + side, y + side))


def short_name(path):
    """Its last four parts: the names of the files alone are not unique"""
    return "/".join(path.parts[-4:])


def pairs(paths, crop, long_side, seed):
    """(path, degradation, input [1,3,H,W] in [-1,1], original in levels)"""
    for index, path in enumerate(paths):
        rng = np.random.default_rng([seed, index])
        for original in centred_crops(data.load_photo(path, long_side), crop):
            reference = from_image(original)
            for name, make in DEGRADATIONS.items():
                x = data.to_tensor([data.upsample(to_image(make(reference, rng)))])
                yield path, name, x, reference * 255


def evaluate(pipeline, paths, timesteps=TIMESTEPS, crop=512, long_side=1280, seed=1, color_fix=RCOD_CONFIG["color_fix"], per_image=False):
    """{degradation: {method: {psnr, ssim, sharpness, deviation, shift}}}, means over all crops"""
    rows = {}
    for path, kind, x, reference in pairs(paths, crop, long_side, seed):
        kind = f"{kind} {short_name(path)}" if per_image else kind
        source = to_levels(x * 0.5 + 0.5)
        images = {"bicubic": source, **{f"t={t}": restore(pipeline, x, t, color_fix) for t in timesteps}}
        for method, image in images.items():
            rows.setdefault(kind, {}).setdefault(method, []).append(measures(image, reference, source))
    return {
        kind: {
            method: {key: float(np.mean([value[key] for value in values])) for key in values[0]}
            for method, values in methods.items()
        }
        for kind, methods in rows.items()
    }


def summary(pipeline, paths):
    """Few figures for a training log: gains over bicubic at fidelity, and what realism costs and brings"""
    figures = {}
    for kind, methods in evaluate(pipeline, paths, (249, 749), crop=384, long_side=1024).items():
        base, faithful, real = methods["bicubic"], methods["t=249"], methods["t=749"]
        figures[kind] = (
            round(faithful["psnr"] - base["psnr"], 3),
            round(faithful["ssim"] - base["ssim"], 4),
            round(faithful["sharpness"], 3),
            round(real["psnr"] - faithful["psnr"], 3),
            round(real["sharpness"], 3),
        )
    return figures
