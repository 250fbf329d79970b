"""rcod_o.pkl for the base that make.ts wrote: the released dictionary, by torch.save, with random values.

LoRA of rank 4 on 258 layers of the UNet (94, 148 and 16 under three adapters) and 32 of the VAE, conv_in and the token
projection, all fp32. Names and shapes come from the base's files. Needs PyTorch.

    python make_checkpoint.py FOLDER            # reads FOLDER/sd, writes FOLDER/rcod_o.pkl
"""
import json
import re
import struct
import sys
from pathlib import Path

import torch

RANK = 4
# Ends of names, as the training code lists them.
UNET_LAYERS = r"(to_k|to_q|to_v|to_out\.0|conv|conv1|conv2|conv_shortcut|conv_in|conv_out|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2)"
VAE_LAYERS = r"(conv1|conv2|conv_in|conv_shortcut|conv|conv_out|to_k|to_q|to_v|to_out\.0)"
CONTEXT = 1024


def shapes(path):
    """Shape of every weight of a safetensors file, by module"""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {
        name.removesuffix(".weight"): entry["shape"]
        for name, entry in header.items()
        if name.endswith(".weight")
    }


def factors(module, shape, adapter, generator):
    """A of variance 1 / fan-in, and B such that the product changes the layer by about a tenth"""
    out, *inner = shape
    fan_in = torch.Size(inner).numel()
    a = torch.randn([RANK, *inner], generator=generator) / fan_in**0.5
    b = torch.randn([out, RANK, *([1] * (len(shape) - 2))], generator=generator) * 0.025
    return {f"{module}.lora_A.{adapter}.weight": a, f"{module}.lora_B.{adapter}.weight": b}


def adapter_of(module):
    if module == "conv_in" or module.startswith("down_blocks."):
        return "default_encoder"
    return "default_others" if module.startswith("mid_block.") else "default_decoder"


def main(folder):
    generator = torch.Generator().manual_seed(0)
    unet = shapes(folder / "sd/unet/diffusion_pytorch_model.safetensors")
    vae = shapes(folder / "sd/vae/diffusion_pytorch_model.safetensors")
    unet_modules = [m for m in unet if re.fullmatch(rf"(.*\.)?{UNET_LAYERS}", m)]
    vae_modules = [m for m in vae if re.fullmatch(rf"encoder\.(.*\.)?{VAE_LAYERS}", m)] + ["quant_conv"]
    state_unet, state_vae = {}, {}
    for module in unet_modules:
        state_unet.update(factors(module, unet[module], adapter_of(module), generator))
    for module in vae_modules:
        state_vae.update(factors(module, vae[module], "default_encoder", generator))
    channels = unet["conv_in"][0]
    state_unet["conv_in.base_layer.weight"] = torch.randn(unet["conv_in"], generator=generator) / 6
    state_unet["conv_in.base_layer.bias"] = torch.randn([channels], generator=generator) * 0.05
    listed = {
        f"unet_lora_{group}_modules": [m for m in unet_modules if adapter_of(m) == f"default_{group}"]
        for group in ("encoder", "decoder", "others")
    }
    checkpoint = {
        "vae_lora_encoder_modules": vae_modules + ["quant_conv"] * 9,  # one for each pattern that fits
        **listed,
        "rank_unet": RANK,
        "rank_vae": RANK,
        "state_dict_unet": state_unet,
        "state_dict_vae": state_vae,
        "state_dict_proj": {
            "weight": torch.randn([CONTEXT, CONTEXT], generator=generator) * 0.0125,
            "bias": torch.randn([CONTEXT], generator=generator) * 0.05,
        },
    }
    path = folder / "rcod_o.pkl"
    torch.save(checkpoint, path)
    tensors = [t for part in ("unet", "vae", "proj") for t in checkpoint[f"state_dict_{part}"].values()]
    counts = ", ".join(str(len(names)) for names in listed.values())
    print(
        f"{path}: {path.stat().st_size} bytes, {len(tensors)} tensors, {sum(t.numel() for t in tensors)} parameters, "
        f"LoRA on {counts} layers of the UNet and {len(vae_modules)} of the VAE"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
