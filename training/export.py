"""Writes the trained model as users get it, and the references of the engine's tests.

    unet/ vae/ image_encoder/   the base under the factors in diffusers' and transformers' layout,
    image_proj/                 with the prior's token projection, which further training needs and an engine does not
    rcod_lora.safetensors       the factors of stage c, in the key layout of RCOD's own checkpoint
    mem/                        the metric estimation module
    rcod_config.json            alpha, timesteps, thresholds

All fp16. `--unpack` goes the other way and writes the training's checkpoints from a model folder, for more
training with --resume: without the distillation, for the prior itself is not published. References are fp32 results of fp32 arithmetic on the fp16-rounded weights: what an engine with
exact arithmetic gets from the exported files.
"""
import argparse
import json
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import data
import lora
from degradations import to_image
from measure import restore, short_name
from model import CLIP_CONFIG, MEM_CONFIG, RCOD_CONFIG, UNET_CONFIG, VAE_CONFIG, AutoencoderKL, Prompted, RCODPipeline
from model import MetricEstimationModule
from stage_rcod import RANK_UNET, RANK_VAE, Generator, load_base, merged_pipeline

MODEL_INDEX = {
    "_class_name": "RCODPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "image_encoder": ["transformers", "CLIPVisionModel"],
}
CHECKPOINT = "rcod_lora.safetensors"
WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "image_encoder": "model",
    "image_proj": "model",
    "mem": "model",
}
CONFIGS = {"unet": UNET_CONFIG, "vae": VAE_CONFIG, "image_encoder": CLIP_CONFIG, "mem": MEM_CONFIG}
DTYPES = {"F32": np.float32, "F16": np.float16, "U8": np.uint8}
# 24x20 low-resolution pixels with hard edges: 96x80 output, a side of 80 leaves odd sizes at the deepest level
PARITY_CROP = (20, 24)
PARITY_TIMESTEPS = (249, 749)


def write_safetensors(path, tensors, metadata):
    """tensors: {name: numpy array}. Widest type first keeps every offset aligned; by name within a type."""
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    header, chunks, offset = {"__metadata__": metadata}, [], 0
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        chunk = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": names[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(chunk)],
        }
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def read_safetensors(path):
    content = path.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    tensors = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in entry["data_offsets"])
            array = np.frombuffer(content[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
            tensors[name] = torch.from_numpy(array.astype(np.float32))
    return tensors


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def halves(tensors, part):
    result = {key: value.detach().numpy().astype(np.float16) for key, value in tensors.items()}
    for key, value in result.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{part}: {key} does not fit fp16")
    return result


def write_folder(folder, base, checkpoint, config):
    """base: {part: state dict}; checkpoint: (tensors, metadata)"""
    write_json(folder / "model_index.json", MODEL_INDEX)
    write_json(folder / "rcod_config.json", config)
    for part, state in base.items():
        write_safetensors(folder / part / f"{WEIGHTS[part]}.safetensors", halves(state, part), {"format": "pt"})
        if part in CONFIGS:
            write_json(folder / part / "config.json", CONFIGS[part])
    tensors, metadata = checkpoint
    write_safetensors(folder / CHECKPOINT, halves(tensors, "checkpoint"), metadata)


def official_checkpoint(generator):
    """Tensors and metadata in the layout of rcod_o.pkl, its dictionaries flattened with a dot"""
    prompted = generator.prompted
    tensors = {
        f"state_dict_unet.{name}": value
        for name, value in prompted.unet.state_dict().items()
        if "lora" in name or "conv_in" in name
    }
    tensors.update({f"state_dict_vae.{n}": v for n, v in generator.vae.state_dict().items() if "lora" in n})
    tensors.update({f"state_dict_proj.{name}": value for name, value in prompted.image_proj.state_dict().items()})
    groups = generator.modules_of["unet"]
    metadata = {
        "format": "pt",
        "rank_unet": str(RANK_UNET),
        "rank_vae": str(RANK_VAE),
        **{f"vae_lora_{g}_modules": json.dumps(generator.modules_of["vae"][f"default_{g}"]) for g in ("encoder", "decoder")},
        **{f"unet_lora_{g}_modules": json.dumps(groups[f"default_{g}"]) for g in ("encoder", "decoder", "others")},
    }
    return tensors, metadata


def without_factors(module):
    """State dict of a module with adapters as it was before they were added"""
    return {n.replace("base_layer.", ""): v for n, v in module.state_dict().items() if "lora_" not in n}


def export(runs, name, folder):
    vae, prompted = load_base(runs)
    mem = MetricEstimationModule(MEM_CONFIG)
    mem.load_state_dict(torch.load(runs / "mem.pt", map_location="cpu"))
    base = {
        "image_encoder": prompted.image_encoder.state_dict(),
        "image_proj": {key: value.clone() for key, value in prompted.image_proj.state_dict().items()},
        "mem": mem.state_dict(),
    }
    state = torch.load(runs / f"{name}.pt", map_location="cpu")
    generator = Generator(vae, prompted)
    generator.load_state_dict(state["generator"])
    # After the second part of stage c these are no longer the frozen ones.
    base.update(unet=without_factors(generator.prompted.unet), vae=without_factors(generator.vae))
    config = {**RCOD_CONFIG, "checkpoint": CHECKPOINT, "lora_alpha": lora.ALPHA, "thresholds": state["thresholds"]}
    write_folder(folder, base, official_checkpoint(generator), config)


def read_part(folder, part):
    return read_safetensors(folder / part / f"{WEIGHTS[part]}.safetensors")


def read_config(folder, part):
    return json.loads((folder / part / "config.json").read_text())


def load_base_vae(folder):
    vae = AutoencoderKL(read_config(folder, "vae"))
    vae.load_state_dict(read_part(folder, "vae"))
    return vae.eval().requires_grad_(False)


def load_base_prompted(folder):
    prompted = Prompted(read_config(folder, "unet"))
    for part in ("unet", "image_encoder", "image_proj"):
        getattr(prompted, part).load_state_dict(read_part(folder, part))
    return prompted


def load_generator(folder):
    """The exported base and checkpoint, adapters in place"""
    generator = Generator(load_base_vae(folder), load_base_prompted(folder))
    checkpoint = read_safetensors(folder / CHECKPOINT)
    if checkpoint.keys() != official_checkpoint(generator)[0].keys():
        raise ValueError(f"{folder / CHECKPOINT} does not hold what this configuration trains")
    prompted = generator.prompted
    for prefix, module in (("unet", prompted.unet), ("vae", generator.vae), ("proj", prompted.image_proj)):
        start = f"state_dict_{prefix}."
        state = {key[len(start) :]: value for key, value in checkpoint.items() if key.startswith(start)}
        module.load_state_dict(state, strict=False)
    return generator


def widened(state, module):
    """A state dict for a module with more channels: what it lacks is the module's own where a whole tensor is new, else zeros.

    Every channel of the pixel path is a last one, and a weight of zero leaves it unheard: the wider module computes the same.
    """
    wide = {}
    for name, wanted in module.state_dict().items():
        given = state.get(name, wanted)
        if any(a > b for a, b in zip(given.shape, wanted.shape)):
            raise ValueError(f"{name}: {list(given.shape)} is wider than this configuration's {list(wanted.shape)}")
        wide[name] = torch.zeros_like(wanted)
        wide[name][tuple(slice(size) for size in given.shape)] = given
        if name.startswith("post_quant_conv") and name.endswith("weight") and "lora_" not in name:
            pixels = range(len(given), len(wanted))
            wide[name][pixels, pixels] = 1.0
    return wide


def unpack(folder, runs, name):
    """The training's checkpoints of a model folder, with a pixel path where that has none"""
    runs.mkdir(parents=True, exist_ok=True)
    given = load_generator(folder)
    vae, prompted = AutoencoderKL(VAE_CONFIG), Prompted()
    vae.load_state_dict(widened(load_base_vae(folder).state_dict(), vae))
    prompted.load_state_dict(widened(load_base_prompted(folder).state_dict(), prompted))
    torch.save({"vae": vae.state_dict()}, runs / "vae.pt")
    torch.save(prompted.state_dict(), runs / "prior.pt")
    generator = Generator(vae, prompted)
    for part in ("vae", "prompted"):
        module = getattr(generator, part)
        module.load_state_dict(widened(getattr(given, part).state_dict(), module))
    thresholds = json.loads((folder / "rcod_config.json").read_text())["thresholds"]
    torch.save({"generator": generator.state_dict(), "thresholds": thresholds}, runs / f"{name}.pt")
    torch.save(read_part(folder, "mem"), runs / "mem.pt")


def load_folder(folder):
    """The exported model with its adapters merged, fp16 weights in fp32 arithmetic; and its configuration"""
    pipeline = merged_pipeline(load_generator(folder))
    pipeline.mem.load_state_dict(read_part(folder, "mem"))
    return pipeline, json.loads((folder / "rcod_config.json").read_text())


@torch.no_grad()
def parity_outputs(pipeline, x):
    outputs = {}
    for timestep in PARITY_TIMESTEPS:
        stages = pipeline.stages(x, torch.tensor([timestep]))
        outputs[f"eps_t{timestep}"] = stages["eps"]
        outputs[f"out_t{timestep}"] = stages["out"].clamp(-1, 1)
    return {"tokens": stages["tokens"], "latent": stages["latent"], **outputs, "metric": pipeline.mem(stages["latent"])}


def with_fp16_storage(pipeline, x):
    """Outputs when every conv, linear and norm result is rounded to fp16: what an fp16 engine may be off by"""
    leaves = (nn.Conv2d, nn.Linear, nn.GroupNorm, nn.LayerNorm)
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: output.half().float())
        for module in pipeline.modules()
        if isinstance(module, leaves)
    ]
    outputs = parity_outputs(pipeline, x)
    for hook in hooks:
        hook.remove()
    return outputs


def write_parity(pipeline, low, path):
    x = data.to_tensor([data.upsample(low)])
    outputs = parity_outputs(pipeline, x)
    metrics = {}
    for name, rounded in with_fp16_storage(pipeline, x).items():
        reference, error = outputs[name], rounded - outputs[name]
        metrics[name] = {
            "std": float(reference.std(unbiased=False)),
            "absmax": float(reference.abs().max()),
            "fp16_storage_vs_ref": {
                "max_abs": float(error.abs().max()),
                "rel_rms": float(error.square().mean().sqrt() / reference.square().mean().sqrt()),
            },
        }
    case = {
        "model": "rcod-tiny",
        "weights": "models/rcod-tiny",
        "alpha": RCOD_CONFIG["alpha"],
        "scaling_factor": VAE_CONFIG["scaling_factor"],
        "timesteps": PARITY_TIMESTEPS,
        "metrics": metrics,
    }
    pixel_values = pipeline.prompted.pixel_values(x)
    tensors = {"inputs/lq": np.asarray(low), "inputs/x": x.numpy(), "inputs/pixel_values": pixel_values.numpy()}
    tensors.update({f"outputs/{name}": value.numpy() for name, value in outputs.items()})
    metadata = {
        "description": "rcod-tiny end to end: fp32 results from the exported fp16 weights; lq is HWC, out is clamped, "
        "before the colour fix",
        "set": "rcod-tiny",
        "seed_xor": "0x00000000",
        "cases": json.dumps({"pipeline": case}),
    }
    write_safetensors(path, {f"pipeline/{name}": value for name, value in tensors.items()}, metadata)


def write_pixel_path(path):
    """A small random autoencoder with a pixel path: its weights, its sample of a picture, and the picture it decodes from that"""
    config = {**VAE_CONFIG, "block_out_channels": [8, 8, 12], "latent_channels": 4, "pixel_channels": 5, "scaling_factor": 0.5}
    generator = torch.Generator().manual_seed(1)
    vae = AutoencoderKL(config).eval().requires_grad_(False)
    for name, parameter in vae.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        noise = torch.randn(parameter.shape, generator=generator) / fan_in**0.5
        is_scale = parameter.ndim == 1 and name.endswith("weight")
        parameter.copy_((1 + 0.1 * noise if is_scale else noise if parameter.ndim > 1 else 0.1 * noise).half().float())
    x = torch.rand((1, 3, 20, 28), generator=generator) * 2 - 1
    latent = vae.sample(x) * config["scaling_factor"]
    tensors = {f"weights/{name}": value.numpy().astype(np.float16) for name, value in vae.state_dict().items()}
    outputs = {"inputs/x": x, "outputs/latent": latent, "outputs/out": vae.decode(latent / config["scaling_factor"])}
    tensors.update({name: value.numpy() for name, value in outputs.items()})
    write_safetensors(path, tensors, {"config": json.dumps(config)})


def write_photo_parity(pipeline, paths, timestep, path):
    """Ten photographs: low-resolution crops and the 8-bit pictures that PyTorch makes of them, colour fix included"""
    lows, outs = [], []
    width, height = PARITY_CROP
    for photo in paths:
        crop = data.centre(data.load_photo(photo, 640), 4 * width, 4 * height)
        low = crop.resize((width, height), Image.Resampling.BICUBIC)
        lows.append(np.asarray(low))
        restored = restore(pipeline, data.to_tensor([data.upsample(low)]), timestep) / 255
        outs.append(np.asarray(to_image(restored)))
    tensors = {"lq": np.stack(lows), "out": np.stack(outs)}
    photos = json.dumps([short_name(photo) for photo in paths])
    write_safetensors(path, tensors, {"timestep": str(timestep), "photos": photos, "layout": "NHWC, 8-bit RGB"})


def main():
    repository = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the training's checkpoints")
    parser.add_argument("--name", default="rcod", help="stage c's checkpoint in it")
    parser.add_argument("--model", type=Path, default=repository / "models/rcod-tiny")
    parser.add_argument("--photo", type=Path, default=repository / "examples/photos/boats.png")
    parser.add_argument("--root", type=Path, default=Path("/usr/share"), help="root of the manifest's paths")
    parser.add_argument("--fixtures", type=Path, default=repository / "tests/fixtures/rcod-tiny")
    parser.add_argument("--references-only", action="store_true", help="write the fixtures of the model as it is")
    parser.add_argument("--unpack", action="store_true", help="only write the training's checkpoints, from --model")
    args = parser.parse_args()

    if args.unpack:
        return unpack(args.model, args.runs, args.name)
    if not args.references_only:
        export(args.runs, args.name, args.model)
    pipeline, _ = load_folder(args.model)  # what was written is what the references describe
    low = data.centre(Image.open(args.photo).convert("RGB"), *PARITY_CROP)
    write_parity(pipeline, low, args.fixtures / "parity.safetensors")
    photos = [path for split in ("validation", "train") for path in data.manifest_photos(args.root, split)][:10]
    write_pixel_path(args.fixtures / "pixel-path.safetensors")
    write_photo_parity(pipeline, photos, 249, args.fixtures / "photos.safetensors")
    for path in sorted([*args.model.rglob("*.safetensors"), *args.fixtures.glob("*.safetensors")]):
        print(f"{path.stat().st_size:>9,} {path}")


if __name__ == "__main__":
    main()
