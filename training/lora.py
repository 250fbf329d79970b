"""LoRA in place, under PEFT's names, so that a state dict is a checkpoint in RCOD's official layout.

Module M becomes `M.base_layer` (frozen) with `M.lora_A.<adapter>` and `M.lora_B.<adapter>`. The forward
pass uses the merged weight W + (alpha/r) B A: one convolution instead of three, and the gradient of A
and B follows from the gradient of the merged weight.
"""
import re

import torch
import torch.nn.functional as F
from torch import nn

from model import convolve

ALPHA = 8  # PEFT's default lora_alpha, which RCOD's checkpoints rely on
UNET_TARGETS = re.compile(r"(^|\.)(to_[qkv]|to_out\.0|conv\w*|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2)$")
VAE_TARGETS = re.compile(r"(^|\.)(?!pixel_)(\w*conv\w*)$")  # the pixel path is small: it is trained whole


class LoraLayer(nn.Module):
    """A convolution or linear layer with one low-rank adapter"""

    def __init__(self, base_layer, adapter, rank, std):
        super().__init__()
        self.base_layer = base_layer
        self.scaling = ALPHA / rank
        if isinstance(base_layer, nn.Conv2d):
            into = nn.Conv2d(base_layer.in_channels, rank, base_layer.kernel_size, bias=False)
            out = nn.Conv2d(rank, base_layer.out_channels, 1, bias=False)
        else:
            into = nn.Linear(base_layer.in_features, rank, bias=False)
            out = nn.Linear(rank, base_layer.out_features, bias=False)
        nn.init.normal_(into.weight, std=std)
        nn.init.zeros_(out.weight)
        self.lora_A = nn.ModuleDict({adapter: into})
        self.lora_B = nn.ModuleDict({adapter: out})

    def merged_weight(self):
        (into,), (out,) = self.lora_A.values(), self.lora_B.values()
        update = out.weight.flatten(1) @ into.weight.flatten(1)
        return self.base_layer.weight + self.scaling * update.view_as(self.base_layer.weight)

    def forward(self, x):
        base, weight = self.base_layer, self.merged_weight()
        if isinstance(base, nn.Conv2d):
            weight = weight.contiguous(memory_format=torch.channels_last)
            return convolve(x, weight, base.bias, base.stride, base.padding)
        return F.linear(x, weight, base.bias)


def unet_adapter(name):
    """RCOD_O's three groups"""
    if "down_blocks" in name or "conv_in" in name:
        return "default_encoder"
    return "default_decoder" if "up_blocks" in name or "conv_out" in name else "default_others"


def vae_adapter(name):
    return "default_decoder" if name.startswith(("decoder", "post_quant_conv")) else "default_encoder"


def add_adapters(root, targets, rank, adapter_of):
    """Freezes root and wraps every matching layer. Returns {adapter: [module names]}."""
    root.requires_grad_(False)
    names = [
        name
        for name, module in root.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and targets.search(name)
    ]
    groups = {}
    for name in names:
        parent_name, _, child = name.rpartition(".")
        parent = root.get_submodule(parent_name)
        adapter = adapter_of(name)
        # Twice PEFT's deviation of 1/r: with the high ranks used here alpha/r is small and the start slow.
        layer = LoraLayer(getattr(parent, child), adapter, rank, 2 / rank)
        setattr(parent, child, layer)  # works for ModuleLists too: their children are attributes "0", "1", ...
        groups.setdefault(adapter, []).append(name)
    return groups


def lora_parameters(root):
    return [p for name, p in root.named_parameters() if "lora_" in name]


@torch.no_grad()
def merge(root):
    """Replaces every adapted layer by its base layer with the merged weight"""
    for name, module in list(root.named_modules()):
        if isinstance(module, LoraLayer):
            module.base_layer.weight.copy_(module.merged_weight())
            parent_name, _, child = name.rpartition(".")
            setattr(root.get_submodule(parent_name), child, module.base_layer)
    return root
