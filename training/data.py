"""Training data: photographs named in manifest.json, random crops and a mild degradation.

The degradation is the mild end of the Real-ESRGAN second-order pipeline (blur, resize, noise,
JPEG, then once more and weaker). Everything works on small 8-bit Pillow crops, because the
training is bound by the processor and a crop must cost a fraction of its training step.
"""
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

MANIFEST = Path(__file__).with_name("manifest.json")
UPSCALE = 4
# Wallpapers at full size are soft at the pixel level; smaller copies hold detail worth learning.
LONG_SIDES = (2048, 1280, 800)
FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)


def manifest_photos(root, split, manifest=MANIFEST):
    """Paths of one split; stops if a file is not the one the manifest names."""
    paths = []
    for photo in json.loads(Path(manifest).read_text())["photos"]:
        if photo["split"] != split:
            continue
        path = Path(root) / photo["file"]
        if hashlib.sha256(path.read_bytes()).hexdigest() != photo["sha256"]:
            raise ValueError(f"{path} differs from the manifest (another package version?)")
        paths.append(path)
    return paths


def load_photo(path, long_side):
    image = Image.open(path).convert("RGB")
    scale = long_side / max(image.size)
    if scale >= 1:
        return image
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def add_noise(image, sigma, rng):
    pixels = np.asarray(image, np.float32)
    # A part of the noise is the same in all channels, as a sensor's luminance noise is.
    gray = rng.random() < 0.4
    noise = rng.standard_normal(pixels.shape[:2] + ((1,) if gray else (3,)), np.float32) * sigma
    return Image.fromarray(np.clip(pixels + noise + 0.5, 0, 255).astype(np.uint8))


def degrade(image, rng):
    """Mildly degraded low-resolution version of an 8-bit crop, and how strong it was (0..1)."""
    size = (image.width // UPSCALE, image.height // UPSCALE)
    blur, noise, quality = rng.uniform(0.2, 1.5), rng.uniform(0, 8), int(rng.integers(60, 96))
    image = image.filter(ImageFilter.GaussianBlur(blur))
    if rng.random() < 0.3:  # second order: half of the reduction now, the rest after a first JPEG
        half = (image.width // 2, image.height // 2)
        image = jpeg(image.resize(half, FILTERS[rng.integers(3)]), int(rng.integers(80, 96)))
    image = add_noise(image.resize(size, FILTERS[rng.integers(3)]), noise, rng)
    strength = (blur / 1.5 + noise / 8 + (95 - quality) / 35) / 3
    return jpeg(image, quality), strength


def plain(image):
    return image.resize((image.width // UPSCALE, image.height // UPSCALE), Image.Resampling.BICUBIC)


def upsample(image):
    """The network's input: Pillow bicubic x4 to 8 bit, as at inference."""
    return image.resize((image.width * UPSCALE, image.height * UPSCALE), Image.Resampling.BICUBIC)


def to_tensor(images):
    """8-bit images -> [N,3,H,W] in [-1,1]"""
    pixels = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().mul(2 / 255).sub(1)


class CropSampler:
    def __init__(self, paths, seed):
        self.rng = np.random.default_rng(seed)
        # One list of sizes per photo, so that every photo is drawn equally often.
        self.photos = [self.sizes(path) for path in paths]

    @staticmethod
    def sizes(path):
        copies = {}
        for side in LONG_SIDES:
            copy = np.asarray(load_photo(path, side))
            copies[copy.shape] = copy
        return list(copies.values())

    def crop(self, side):
        rng = self.rng
        while True:
            sizes = self.photos[rng.integers(len(self.photos))]
            pixels = sizes[rng.integers(len(sizes))]
            top, left = (int(rng.integers(n - side + 1)) for n in pixels.shape[:2])
            crop = pixels[top : top + side, left : left + side]
            # Skies and out-of-focus grounds teach little: keep one in seven of the flat crops.
            luma = crop[:, :, 1].astype(np.int16)
            if np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean() > 4 or rng.random() < 0.15:
                break
        crop = np.rot90(crop, int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.3:  # two dozen photos have few colours: shuffle the channels of some crops
            crop = crop[:, :, rng.permutation(3)]
        return Image.fromarray(np.ascontiguousarray(crop))

    def batch(self, count, side):
        """x [N,3,side,side] and target in [-1,1], degradation strengths [N]"""
        inputs, targets, strengths = [], [], []
        for _ in range(count):
            target = self.crop(side)
            low, strength = (plain(target), 0.0) if self.rng.random() < 0.25 else degrade(target, self.rng)
            inputs.append(upsample(low))
            targets.append(target)
            strengths.append(strength)
        return to_tensor(inputs), to_tensor(targets), np.array(strengths)
