"""The full-size RCOD_O in plain PyTorch with random weights: what the same arithmetic takes on the same card.

CLIP ViT-L/14, the UNet of Stable Diffusion 2.1 and its VAE, a 128x128 photo to 512x512, fp16, channels_last, eager
and compiled. One image is what `model.upscale` does: bytes up, enlarge, encode, one UNet call, decode, colour fix,
bytes down. Prints a JSON object after each mode, on a line of its own; the last has all. Everything else goes to stderr.
Needs PyTorch 2 and nothing beside this file.

    python rcod_fp16.py                    # on a GPU
    python rcod_fp16.py --count            # parameters and arithmetic only, needs no memory
    python rcod_fp16.py --tiny --device cpu --dtype float32   # that it runs at all
"""
import argparse
import datetime
import json
import math
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

FULL = {
    "unet": {"channels": [320, 640, 1280, 1280], "heads": [5, 10, 20, 20], "context": 1024, "groups": 32},
    "vae": {"channels": [128, 256, 512, 512], "latent": 4, "groups": 32, "scaling": 0.18215},
    "clip": {"hidden": 1024, "inner": 4096, "heads": 16, "layers": 24, "image": 224, "patch": 14},
    "photo": 128,
}
TINY = {
    "unet": {"channels": [32, 64, 64, 64], "heads": [2, 2, 2, 2], "context": 32, "groups": 8},
    "vae": {"channels": [16, 16, 32, 32], "latent": 4, "groups": 8, "scaling": 0.18215},
    "clip": {"hidden": 32, "inner": 64, "heads": 2, "layers": 2, "image": 56, "patch": 14},
    "photo": 32,
}
ALPHA = 0.7537
TIMESTEP = 499


def conv3(cin, cout, **options):
    return nn.Conv2d(cin, cout, 3, **{"padding": 1, **options})


def attend(q, k, v, heads):
    def split(tensor):
        return tensor.unflatten(-1, (heads, -1)).transpose(1, 2)

    return F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)


def tokens_of(x):
    """NHWC storage makes this a view"""
    return x.flatten(2).transpose(1, 2)


class Resnet(nn.Module):
    def __init__(self, cin, cout, groups, eps, temb=None):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, cin, eps), conv3(cin, cout)
        self.time_emb_proj = nn.Linear(temb, cout) if temb else None
        self.norm2, self.conv2 = nn.GroupNorm(groups, cout, eps), conv3(cout, cout)
        self.conv_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x, temb=None):
        h = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None:
            h = h + self.time_emb_proj(temb)[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nn.Module):
    def __init__(self, channels, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x, context):
        return self.to_out(attend(self.to_q(x), self.to_k(context), self.to_v(context), self.heads))


class Transformer(nn.Module):
    def __init__(self, channels, context, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, 1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.norm1, self.attn1 = nn.LayerNorm(channels), Attention(channels, channels, heads)
        self.norm2, self.attn2 = nn.LayerNorm(channels), Attention(channels, context, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.geglu, self.ff = nn.Linear(channels, 8 * channels), nn.Linear(4 * channels, channels)
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x, context):
        h = self.proj_in(tokens_of(self.norm(x)))
        n = self.norm1(h)
        h = h + self.attn1(n, n)
        h = h + self.attn2(self.norm2(h), context)
        value, gate = self.geglu(self.norm3(h)).chunk(2, dim=-1)
        h = self.proj_out(h + self.ff(value * F.gelu(gate)))
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    """Two resnets a level going down, three going up, transformers at all levels but the deepest."""

    def __init__(self, config, latent):
        super().__init__()
        channels, groups = config["channels"], config["groups"]
        self.frequencies, temb = channels[0] // 2, 4 * channels[0]
        last = len(channels) - 1

        def resnet(cin, cout):
            return Resnet(cin, cout, groups, 1e-5, temb)

        def transformer(level):
            return Transformer(channels[level], config["context"], config["heads"][level], groups)

        self.linear_1, self.linear_2 = nn.Linear(channels[0], temb), nn.Linear(temb, temb)
        self.conv_in = conv3(latent, channels[0])
        self.down, skips = nn.ModuleList(), [channels[0]]
        for level, width in enumerate(channels):
            for i in range(2):
                before = channels[max(level - 1, 0)] if i == 0 else width
                self.down.append(nn.ModuleList([resnet(before, width)] + [transformer(level)] * (level < last)))
                skips.append(width)
            if level < last:
                self.down.append(nn.ModuleList([conv3(width, width, stride=2)]))
                skips.append(width)
        deepest = channels[last]
        self.mid = nn.ModuleList([resnet(deepest, deepest), transformer(last), resnet(deepest, deepest)])
        self.up, current = nn.ModuleList(), deepest
        for level in range(last, -1, -1):
            width = channels[level]
            for _ in range(3):
                parts = [resnet(current + skips.pop(), width)] + [transformer(level)] * (level < last)
                self.up.append(nn.ModuleList(parts))
                current = width
            if level > 0:
                self.up.append(nn.ModuleList([conv3(width, width)]))
        self.conv_norm_out = nn.GroupNorm(groups, channels[0], 1e-5)
        self.conv_out = conv3(channels[0], latent)

    def forward(self, sample, timestep, context):
        steps = torch.arange(self.frequencies, device=sample.device, dtype=torch.float32)
        angles = timestep.float()[:, None] * torch.exp(-math.log(10000) * steps / self.frequencies)
        embedding = torch.cat([angles.cos(), angles.sin()], dim=-1).to(sample.dtype)
        temb = F.silu(self.linear_2(F.silu(self.linear_1(embedding))))

        def layer(parts, h):
            h = parts[0](h, temb)
            return parts[1](h, context) if len(parts) > 1 else h

        h = self.conv_in(sample)
        skips = [h]
        for parts in self.down:
            h = parts[0](h) if isinstance(parts[0], nn.Conv2d) else layer(parts, h)
            skips.append(h)
        h = self.mid[2](self.mid[1](self.mid[0](h, temb), context), temb)
        for parts in self.up:
            if isinstance(parts[0], nn.Conv2d):
                h = parts[0](F.interpolate(h, scale_factor=2.0, mode="nearest"))
            else:
                h = layer(parts, torch.cat([h, skips.pop()], dim=1))
        return self.conv_out(F.silu(self.conv_norm_out(h)))


class VaeAttention(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, 1e-6)
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x):
        h = tokens_of(self.group_norm(x))
        h = self.to_out(attend(self.to_q(h), self.to_k(h), self.to_v(h), 1))
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])


class Down(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Encoder(nn.Sequential):
    def __init__(self, config):
        channels, groups, latent = config["channels"], config["groups"], config["latent"]
        parts, width, deepest = [conv3(3, channels[0])], channels[0], channels[-1]
        for level, target in enumerate(channels):
            parts += [Resnet(width, target, groups, 1e-6), Resnet(target, target, groups, 1e-6)]
            width = target
            if level < len(channels) - 1:
                parts.append(Down(width, width, 3, stride=2))
        parts += [Resnet(width, width, groups, 1e-6), VaeAttention(width, groups), Resnet(width, width, groups, 1e-6)]
        parts += [nn.GroupNorm(groups, deepest, 1e-6), nn.SiLU(), conv3(deepest, 2 * latent)]
        super().__init__(*parts, nn.Conv2d(2 * latent, 2 * latent, 1))


class Decoder(nn.Sequential):
    def __init__(self, config):
        channels, groups, latent = config["channels"][::-1], config["groups"], config["latent"]
        width = channels[0]
        parts = [nn.Conv2d(latent, latent, 1), conv3(latent, width)]
        parts += [Resnet(width, width, groups, 1e-6), VaeAttention(width, groups), Resnet(width, width, groups, 1e-6)]
        for level, target in enumerate(channels):
            for i in range(3):
                parts.append(Resnet(width if i == 0 else target, target, groups, 1e-6))
            width = target
            if level < len(channels) - 1:
                parts.append(Up(width, width, 3, padding=1))
        super().__init__(*parts, nn.GroupNorm(groups, width, 1e-6), nn.SiLU(), conv3(width, 3))


class ClipLayer(nn.Module):
    def __init__(self, hidden, inner, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.q, self.k, self.v, self.out = (nn.Linear(hidden, hidden) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def forward(self, x):
        n = self.norm1(x)
        x = x + self.out(attend(self.q(n), self.k(n), self.v(n), self.heads))
        h = self.fc1(self.norm2(x))
        return x + self.fc2(h * torch.sigmoid(1.702 * h))


class Tokens(nn.Module):
    """CLIP's vision tower without its last norm, and RCOD's projection of all tokens."""

    def __init__(self, config, context):
        super().__init__()
        hidden, patch = config["hidden"], config["patch"]
        self.size = config["image"]
        self.patches = nn.Conv2d(3, hidden, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(0.02 * torch.randn(hidden))
        self.position = nn.Parameter(0.02 * torch.randn((config["image"] // patch) ** 2 + 1, hidden))
        self.norm = nn.LayerNorm(hidden)
        self.layers = nn.Sequential(
            *(ClipLayer(hidden, config["inner"], config["heads"]) for _ in range(config["layers"]))
        )
        self.image_proj = nn.Linear(hidden, context)

    def forward(self, x):
        x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True)
        h = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), tokens_of(self.patches(x))], dim=1)
        return self.image_proj(self.layers(self.norm(h + self.position)))


class Rcod(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        vae = sizes["vae"]
        self.scaling, self.latent = vae["scaling"], vae["latent"]
        self.tokens = Tokens(sizes["clip"], sizes["unet"]["context"])
        self.encoder, self.decoder = Encoder(vae), Decoder(vae)
        self.unet = UNet(sizes["unet"], vae["latent"])

    def stages(self, source):
        """Each stage as a function of what came before, in order; source [1, 3, H, W] within -1 ... 1."""
        timestep = torch.full((1,), TIMESTEP, device=source.device)
        return [
            ("tokens", lambda s: {**s, "tokens": self.tokens(source)}),
            ("encode", lambda s: {**s, "latent": self.encoder(source)[:, : self.latent] * self.scaling}),
            ("unet", lambda s: {**s, "eps": self.unet(s["latent"], timestep, s["tokens"])}),
            ("decode", lambda s: {**s, "out": self.decoder(one_step(s) / self.scaling)}),
            ("color", lambda s: {**s, "out": adain(s["out"], source)}),
        ]

    def forward(self, source):
        state = {}
        for _, stage in self.stages(source):
            state = stage(state)
        return state["out"]


def one_step(state):
    return (state["latent"] - math.sqrt(1 - ALPHA) * state["eps"]) / math.sqrt(ALPHA)


def adain(target, source):
    """Mean and deviation of every channel as the source has them, in f32"""
    target, source = target.float() / 2 + 0.5, source.float() / 2 + 0.5
    deviation = [(image.var((2, 3), keepdim=True) + 1e-5).sqrt() for image in (target, source)]
    mean = [image.mean((2, 3), keepdim=True) for image in (target, source)]
    return ((target - mean[0]) / deviation[0] * deviation[1] + mean[1]).clamp(0, 1)


def enlarge(photo, device, dtype):
    """Host bytes [H, W, 3] to the enlarged source on the device"""
    x = photo.to(device).permute(2, 0, 1)[None].float()
    x = F.interpolate(x, scale_factor=4.0, mode="bicubic", antialias=True).round().clamp(0, 255)
    return (x / 127.5 - 1).to(dtype).contiguous(memory_format=torch.channels_last)


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def milliseconds(device, run):
    synchronize(device)
    started = time.perf_counter()
    result = run()
    synchronize(device)
    return result, 1000 * (time.perf_counter() - started)


def measure(model, photo, device, dtype, samples, note):
    """First image, warm images, and wall time by stage with the device idle between stages"""

    def image():
        return (255 * model(enlarge(photo, device, dtype))).round().to(torch.uint8).cpu()

    with torch.inference_mode():
        first, first_ms = milliseconds(device, image)
        note(f"  first image {first_ms:.0f} ms")
        for _ in range(2):  # allocators and autotuners settle
            image()
        warm = [milliseconds(device, image)[1] for _ in range(samples)]
        if not torch.equal(image(), first):
            note("  (results differ from run to run)")
        is_varied = bool(first.float().std() > 0)
    return {
        "firstImageMs": first_ms,
        "warmImageMs": statistics.median(warm),
        "warmImagesMs": warm,
        "outputVaries": is_varied,
    }


def stage_times(model, photo, device, dtype, samples):
    with torch.inference_mode():
        source = enlarge(photo, device, dtype)
        times = {}
        for _ in range(samples):
            state = {}
            for name, stage in model.stages(source):
                state, ms = milliseconds(device, lambda stage=stage, state=state: stage(state))
                times.setdefault(name, []).append(ms)
        finite = bool(torch.isfinite(state["out"]).all())
    return {name: statistics.median(values) for name, values in times.items()}, finite


def median_ms(run, samples=10):
    for _ in range(3):
        run()
    times = []
    for _ in range(samples):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def ceilings(device):
    """What the card reaches at most: a copy of 2 GiB, a product of random fp16 matrices with fp32 sums"""
    size = 8192
    source = torch.randn(2**30, device=device, dtype=torch.float16)
    target = torch.empty_like(source)
    copy_ms = median_ms(lambda: target.copy_(source))
    a, b = (source[i * size**2 : (i + 1) * size**2].view(size, size) for i in range(2))
    product_ms = median_ms(lambda: a @ b)
    return {"copyGbps": 2 * 2**31 / copy_ms / 1e6, "matmulGflops": 2 * size**3 / product_ms / 1e6}


def count(sizes):
    """Parameters by part and arithmetic of one image, on tensors without storage"""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = Rcod(sizes)
        side = 4 * sizes["photo"]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, 3, side, side))
    parameters = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return {"parameters": parameters, "gflop": counter.get_total_flops() / 1e9}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cuda")
    options.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    options.add_argument("--modes", default="eager,default,max-autotune", help="eager, or modes of torch.compile")
    options.add_argument("--samples", type=int, default=20)
    options.add_argument("--seconds", type=float, default=math.inf, help="after these no further mode is begun")
    options.add_argument("--tiny", action="store_true", help="the same networks so small that a CPU runs them")
    options.add_argument("--count", action="store_true", help="only parameters and arithmetic")
    chosen = options.parse_args()
    sizes = TINY if chosen.tiny else FULL
    begun = time.perf_counter()

    def note(text):
        print(text, file=sys.stderr, flush=True)

    record = {"suite": "model", "runtime": f"PyTorch {torch.__version__}", "size": "tiny" if chosen.tiny else "full"}
    record |= {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(), **count(sizes)}
    if chosen.count:
        print(json.dumps(record))
        return 0

    device, dtype = torch.device(chosen.device), getattr(torch, chosen.dtype)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True  # the best of cuDNN's algorithms, as anybody who measures would
    started = time.perf_counter()
    with device:
        model = Rcod(sizes).to(dtype=dtype, memory_format=torch.channels_last).eval()
    synchronize(device)
    record |= {
        "adapter": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cuda": torch.version.cuda,
        "precision": chosen.dtype,
        "loadMs": 1000 * (time.perf_counter() - started),
        "modes": {},
        "leftOut": [],
    }
    photo = torch.randint(0, 256, (sizes["photo"], sizes["photo"], 3), dtype=torch.uint8)
    failed = False
    for mode in chosen.modes.split(","):
        if time.perf_counter() - begun > chosen.seconds:
            record["leftOut"].append(mode)
            continue
        note(mode)
        try:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            if mode == "eager":
                runner = model
            else:
                torch._dynamo.reset()
                runner = torch.compile(model, mode=mode)
            result = measure(runner, photo, device, dtype, chosen.samples, note)
            if mode == "eager":
                result["stagesMs"], result["finite"] = stage_times(model, photo, device, dtype, min(chosen.samples, 5))
                failed |= not result["finite"]
            if device.type == "cuda":
                result["peakBytes"] = torch.cuda.max_memory_allocated(device)
            failed |= not result["outputVaries"]
        except Exception as error:  # a mode that does not work here must not cost the others
            result, failed = {"error": f"{type(error).__name__}: {error}"[:2000]}, True
        record["modes"][mode] = result
        print(json.dumps(record), flush=True)
    if device.type == "cuda":
        del model
        record["ceilings"] = ceilings(device)
    print(json.dumps(record))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
