"""Training data: photographs named in manifest.json, random crops, low-resolution partners."""
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from degradations import UPSCALE, degrade

MANIFEST = Path(__file__).with_name("manifest.json")
# Wallpapers at full size are soft at the pixel level; smaller copies hold detail worth learning.
LONG_SIDES = (2048, 1280, 800)


def manifest_photos(root, split):
    """Paths of one split; stops if a file is not the one the manifest names. A packed folder (pack_photos.py) has its own."""
    own = Path(root) / MANIFEST.name
    paths = []
    for photo in json.loads((own if own.exists() else MANIFEST).read_text())["photos"]:
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


def centre(image, width, height):
    """The middle of an image"""
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


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
            if min(pixels.shape[:2]) < side:
                continue
            top, left = (int(rng.integers(n - side + 1)) for n in pixels.shape[:2])
            crop = pixels[top : top + side, left : left + side]
            # Skies and out-of-focus grounds teach little: keep one in three of the flat crops.
            luma = crop[:, :, 1].astype(np.int16)
            if np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean() > 4 or rng.random() < 0.33:
                break
        crop = np.rot90(crop, int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.2:  # few photographs have few colours: shuffle the channels of some crops
            crop = crop[:, :, rng.permutation(3)]
        return Image.fromarray(np.ascontiguousarray(crop))


class Pairs(torch.utils.data.IterableDataset):
    """Endless batches (input, original), both [count,3,side,side] in [-1,1].

    The input is the enlarged low-resolution crop; without a `mixture` of degradations it is left out.
    """

    def __init__(self, paths, seed, count, side, mixture=None):
        self.paths, self.seed, self.count, self.side, self.mixture = paths, seed, count, side, mixture

    def __iter__(self):
        torch.set_num_threads(1)
        process = torch.utils.data.get_worker_info()
        sampler = CropSampler(self.paths, [*np.atleast_1d(self.seed), process.id if process else 0])
        while True:
            originals = [sampler.crop(self.side) for _ in range(self.count)]
            if self.mixture:
                inputs = [upsample(degrade(image, sampler.rng, self.mixture)) for image in originals]
                yield to_tensor(inputs), to_tensor(originals)
            else:
                yield to_tensor(originals)


def batches(args, *pairs):
    """Batches made in processes of their own, a few ahead"""
    loader = torch.utils.data.DataLoader(
        Pairs(*pairs), batch_size=None, num_workers=args.loaders, prefetch_factor=4, multiprocessing_context="fork"
    )
    return iter(loader)
