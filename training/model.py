"""RCOD-shaped one-step super-resolver in plain PyTorch.

Module and parameter names mirror diffusers (UNet2DConditionModel, AutoencoderKL) and
transformers (CLIPVisionModel) exactly, so that a state_dict is a diffusers/transformers
checkpoint and the WebGPU engine reads the tiny model and the published one by the same names.
Only the configurations used here are implemented: linear projections, one transformer layer
per attention, SiLU, no dropout.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

if hasattr(torch.backends, "nnpack"):  # on processors that it does not know it warns at every convolution
    torch.backends.nnpack.set_flags(False)

UNET_CONFIG = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": [2, 2, 2],  # legacy meaning: head COUNTS per level; 64 channels in 2 heads of 32
    "block_out_channels": [64, 64, 64],
    "center_input_sample": False,
    "cross_attention_dim": 64,
    # The visual prompt enters at the deepest level only: self-attention over larger maps would cost more than the rest.
    "down_block_types": ["DownBlock2D"] * 3,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 24,  # latents and pixel channels of the autoencoder
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-5,
    "norm_num_groups": 2,  # few groups: with few channels in a group, the norm wipes out brightness
    "out_channels": 24,
    "sample_size": 128,
    "up_block_types": ["UpBlock2D"] * 3,
    "use_linear_projection": True,
}

VAE_CONFIG = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [8, 24, 40],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "in_channels": 3,
    "latent_channels": 12,
    "layers_per_block": 1,
    "mid_block_add_attention": False,  # self-attention over a 128x128 latent would cost more than the rest
    "norm_num_groups": 2,  # >= 4 channels per group: smaller groups normalise brightness away
    "out_channels": 3,
    "pixel_channels": 12,  # see pixel_conv; not in diffusers
    "sample_size": 512,
    "scaling_factor": 1.0,  # the training folds the latents' deviation into the weights
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}

CLIP_CONFIG = {
    "architectures": ["CLIPVisionModel"],
    "attention_dropout": 0.0,
    "hidden_act": "quick_gelu",
    "hidden_size": 64,
    "image_size": 56,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-5,
    "model_type": "clip_vision_model",
    "num_attention_heads": 4,
    "num_channels": 3,
    "num_hidden_layers": 2,
    "patch_size": 14,
    "projection_dim": 64,
}

MEM_CONFIG = {
    "_class_name": "MetricEstimationModule",
    "block_out_channels": [48, 64, 96],
    "in_channels": 12,
}

RCOD_CONFIG = {
    "instance": "RCOD_O",
    "alpha": 0.7537,
    "timesteps": {"fidelity": 249, "neutral": 499, "realism": 749},
    "color_fix": "wavelet",
    "upscale": 4,
    "min_size": 16,
    "latent_tile": 256,  # 1024 pixels: the usual picture, or region of one, goes through the U-Net whole
    "latent_overlap": 32,
}


def sample_channels(vae_config):
    """Of what the U-Net takes and gives: latents, then pixel channels"""
    return vae_config["latent_channels"] + vae_config.get("pixel_channels", 0)


def with_channels(z, channels):
    """z with zeros for the channels that it lacks: the pixel channels of latents alone"""
    return F.pad(z, (0, 0, 0, 0, 0, channels - z.shape[1]))


def convolve(x, weight, bias, stride, padding):
    """1x1 as a matrix product over channels-last pixels: PyTorch's own path for it is slow on one thread"""
    if weight.shape[2:] == (1, 1):
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    return F.conv2d(x, weight, bias, stride, padding)


class Conv2d(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return convolve(x, weight, bias, self.stride, self.padding)


def multi_head_attention(q, k, v, heads):
    """softmax(q k^T / sqrt(d)) v for [batch, tokens, channels] inputs."""
    batch, length, channels = q.shape
    size = channels // heads

    def split(tensor):
        return tensor.view(batch, -1, heads, size).transpose(1, 2)

    scores = split(q) @ split(k).transpose(-1, -2) * size**-0.5
    return (scores.softmax(-1) @ split(v)).transpose(1, 2).reshape(batch, length, channels)


class ResnetBlock2D(nn.Module):
    def __init__(self, in_channels, out_channels, groups, eps, temb_channels=None):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1)
        if temb_channels:
            self.time_emb_proj = nn.Linear(temb_channels, out_channels)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.conv_shortcut = Conv2d(in_channels, out_channels, 1)
        # Every block starts close to its shortcut, which lets the deep stack train from the first step.
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)
            self.conv2.bias.zero_()

    def forward(self, x, temb=None):
        h = self.conv1(F.silu(self.norm1(x)))
        if temb is not None:
            h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Downsample2D(nn.Module):
    def __init__(self, channels, padding):
        super().__init__()
        self.padding = padding
        self.conv = Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x):
        # padding 0 is the VAE encoder's convention: one zero column right, one zero row below.
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.padding == 0 else x)


class Upsample2D(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, size=None):
        if size is None:
            size = (2 * x.shape[2], 2 * x.shape[3])
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class Attention(nn.Module):
    def __init__(self, channels, context_channels, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x, context):
        return self.to_out[0](multi_head_attention(self.to_q(x), self.to_k(context), self.to_v(context), self.heads))


class GEGLU(nn.Module):
    def __init__(self, channels, inner):
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, channels):
        super().__init__()
        # Index 1 is diffusers' dropout; it has to stay so that the second linear is net.2.
        self.net = nn.ModuleList([GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class BasicTransformerBlock(nn.Module):
    def __init__(self, channels, context_channels, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, context_channels, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x, context):
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer2DModel(nn.Module):
    def __init__(self, channels, context_channels, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, 1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(channels, context_channels, heads)])
        self.proj_out = nn.Linear(channels, channels)
        with torch.no_grad():
            self.proj_out.weight.mul_(0.1)
            self.proj_out.bias.zero_()

    def forward(self, x, context):
        batch, channels, height, width = x.shape
        h = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        h = self.proj_out(self.transformer_blocks[0](h, context))
        return x + h.transpose(1, 2).reshape(batch, channels, height, width)


class TimestepEmbedding(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.in_channels = in_channels
        self.linear_1 = nn.Linear(in_channels, out_channels)
        self.linear_2 = nn.Linear(out_channels, out_channels)

    def forward(self, timestep):
        half = self.in_channels // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        angles = timestep.float()[:, None] * frequencies
        # flip_sin_to_cos: cosines first
        return self.linear_2(F.silu(self.linear_1(torch.cat([angles.cos(), angles.sin()], dim=-1))))


class UNetBlock(nn.Module):
    """One container for the down, mid and up blocks; the attribute names carry the checkpoint layout."""

    def __init__(self, resnets, attentions):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)

    def layer(self, index, x, temb, context):
        x = self.resnets[index](x, temb)
        return self.attentions[index](x, context) if hasattr(self, "attentions") else x


class UNet2DConditionModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        channels = config["block_out_channels"]
        layers = config["layers_per_block"]
        groups, eps = config["norm_num_groups"], config["norm_eps"]
        temb = 4 * channels[0]

        def resnet(cin, cout):
            return ResnetBlock2D(cin, cout, groups, eps, temb)

        def attention(level):
            return Transformer2DModel(
                channels[level], config["cross_attention_dim"], config["attention_head_dim"][level], groups
            )

        self.conv_in = Conv2d(config["in_channels"], channels[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(channels[0], temb)

        self.down_blocks = nn.ModuleList()
        for level, kind in enumerate(config["down_block_types"]):
            before = channels[max(level - 1, 0)]
            block = UNetBlock(
                [resnet(before if i == 0 else channels[level], channels[level]) for i in range(layers)],
                [attention(level) for _ in range(layers)] if kind.startswith("CrossAttn") else [],
            )
            if level < len(channels) - 1:
                block.downsamplers = nn.ModuleList([Downsample2D(channels[level], config["downsample_padding"])])
            self.down_blocks.append(block)

        last = len(channels) - 1
        self.mid_block = UNetBlock([resnet(channels[last], channels[last]) for _ in range(2)], [attention(last)])

        self.up_blocks = nn.ModuleList()
        for index, kind in enumerate(config["up_block_types"]):
            level = last - index
            previous, below = channels[min(level + 1, last)], channels[max(level - 1, 0)]
            resnets = []
            for i in range(layers + 1):
                skip = below if i == layers else channels[level]
                resnets.append(resnet((previous if i == 0 else channels[level]) + skip, channels[level]))
            attentions = [attention(level) for _ in resnets] if kind.startswith("CrossAttn") else []
            block = UNetBlock(resnets, attentions)
            if level > 0:
                block.upsamplers = nn.ModuleList([Upsample2D(channels[level])])
            self.up_blocks.append(block)

        self.conv_norm_out = nn.GroupNorm(groups, channels[0], eps)
        self.conv_out = Conv2d(channels[0], config["out_channels"], 3, padding=1)
        # eps = 0 at the start: training begins as a plain autoencoder and grows the restoration from there.
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, sample, timestep, context):
        temb = self.time_embedding(timestep)
        h = self.conv_in(sample)
        skips = [h]
        for block in self.down_blocks:
            for i in range(len(block.resnets)):
                h = block.layer(i, h, temb, context)
                skips.append(h)
            if hasattr(block, "downsamplers"):
                h = block.downsamplers[0](h)
                skips.append(h)

        h = self.mid_block.layer(0, h, temb, context)
        h = self.mid_block.resnets[1](h, temb)

        for block in self.up_blocks:
            for i in range(len(block.resnets)):
                h = block.layer(i, torch.cat([h, skips.pop()], dim=1), temb, context)
            if hasattr(block, "upsamplers"):
                # The next skip's size, not twice the current one: they differ for odd sides.
                h = block.upsamplers[0](h, skips[-1].shape[2:])
        return self.conv_out(F.silu(self.conv_norm_out(h)))


def denoise_latents(unet, z, timestep, tokens):
    """The noise of latents alone, without pixel channels: what the prior is"""
    return unet(with_channels(z, unet.config["in_channels"]), timestep, tokens)[:, : z.shape[1]]


class VaeBlock(nn.Module):
    def __init__(self, resnets):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)

    def forward(self, x):
        for resnet in self.resnets:
            x = resnet(x)
        for sampler in ("downsamplers", "upsamplers"):
            if hasattr(self, sampler):
                x = getattr(self, sampler)[0](x)
        return x


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels, groups = config["block_out_channels"], config["norm_num_groups"]

        def resnet(cin, cout):
            return ResnetBlock2D(cin, cout, groups, 1e-6)

        self.conv_in = Conv2d(config["in_channels"], channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(channels):
            before = channels[max(level - 1, 0)]
            block = VaeBlock([resnet(before if i == 0 else width, width) for i in range(config["layers_per_block"])])
            if level < len(channels) - 1:
                block.downsamplers = nn.ModuleList([Downsample2D(width, 0)])
            self.down_blocks.append(block)
        self.mid_block = VaeBlock([resnet(channels[-1], channels[-1]) for _ in range(2)])
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], 1e-6)
        self.conv_out = Conv2d(channels[-1], 2 * config["latent_channels"], 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for block in self.down_blocks:
            h = block(h)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(h))))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        channels, groups = config["block_out_channels"][::-1], config["norm_num_groups"]

        def resnet(cin, cout):
            return ResnetBlock2D(cin, cout, groups, 1e-6)

        self.conv_in = Conv2d(sample_channels(config), channels[0], 3, padding=1)
        self.mid_block = VaeBlock([resnet(channels[0], channels[0]) for _ in range(2)])
        self.up_blocks = nn.ModuleList()
        for level, width in enumerate(channels):
            before = channels[max(level - 1, 0)]
            count = config["layers_per_block"] + 1
            block = VaeBlock([resnet(before if i == 0 else width, width) for i in range(count)])
            if level < len(channels) - 1:
                block.upsamplers = nn.ModuleList([Upsample2D(width)])
            self.up_blocks.append(block)
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], 1e-6)
        self.conv_out = Conv2d(channels[-1], config["out_channels"], 3, padding=1)

    def forward(self, z):
        h = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            h = block(h)
        return self.conv_out(F.silu(self.conv_norm_out(h)))


def pixel_conv(config):
    """The pixel path: the picture itself, unshuffled to the size of the latents and mixed by one matrix.

    What is there already need not pass the encoder: U-Net and decoder find it beside the latents. Starts as the
    mean of every square, its two slopes and its twist, colour by colour.
    """
    side = 2 ** (len(config["block_out_channels"]) - 1)
    conv = Conv2d(3, config["pixel_channels"], side, stride=side)
    slope = torch.linspace(-1, 1, side)
    lines = torch.stack([torch.ones(side), slope])
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.zero_()
        for index in range(len(conv.weight)):
            pattern, colour = divmod(index, 3)
            square = lines[pattern // 2 % 2][:, None] * lines[pattern % 2]
            conv.weight[index, colour] = square / square.square().sum()
    return conv


class AutoencoderKL(nn.Module):
    """diffusers' AutoencoderKL, and beside it the pixel path"""

    def __init__(self, config):
        super().__init__()
        self.config = config
        latent, both = config["latent_channels"], sample_channels(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = Conv2d(2 * latent, 2 * latent, 1)
        self.post_quant_conv = Conv2d(both, both, 1)
        if both > latent:
            self.pixel_conv = pixel_conv(config)
        with torch.no_grad():  # a narrow posterior to start with: std = exp(-3)
            self.quant_conv.weight[latent:].zero_()
            self.quant_conv.bias[latent:].fill_(-6.0)
            # The autoencoder itself is trained without pixels.
            self.post_quant_conv.weight[latent:] = torch.eye(both)[latent:, :, None, None]
            self.post_quant_conv.weight[:, latent:] = torch.eye(both)[:, latent:, None, None]
            self.decoder.conv_in.weight[:, latent:].zero_()
            self.post_quant_conv.bias[latent:].zero_()

    def encode(self, x):
        """Mean and log-variance of the posterior"""
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean, logvar.clamp(-30, 20)

    def sample(self, x):
        """What the U-Net sees: the posterior's mean, then the pixel channels"""
        mean = self.encode(x)[0]
        return torch.cat([mean, self.pixel_conv(x)], dim=1) if hasattr(self, "pixel_conv") else mean

    def decode(self, z):
        """z: latents and pixel channels, or latents alone"""
        return self.decoder(self.post_quant_conv(with_channels(z, sample_channels(self.config))))


class CLIPVisionEmbeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, patch = config["hidden_size"], config["patch_size"]
        self.class_embedding = nn.Parameter(0.02 * torch.randn(hidden))
        self.patch_embedding = Conv2d(3, hidden, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding((config["image_size"] // patch) ** 2 + 1, hidden)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def forward(self, pixel_values):
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        cls = self.class_embedding.expand(patches.shape[0], 1, -1)
        return torch.cat([cls, patches], dim=1) + self.position_embedding.weight


class CLIPAttention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(hidden, hidden)
        self.k_proj = nn.Linear(hidden, hidden)
        self.v_proj = nn.Linear(hidden, hidden)
        self.out_proj = nn.Linear(hidden, hidden)

    def forward(self, x):
        return self.out_proj(multi_head_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads))


class CLIPMLP(nn.Module):
    def __init__(self, hidden, inner):
        super().__init__()
        self.fc1 = nn.Linear(hidden, inner)
        self.fc2 = nn.Linear(inner, hidden)

    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h))


class CLIPEncoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, eps = config["hidden_size"], config["layer_norm_eps"]
        self.layer_norm1 = nn.LayerNorm(hidden, eps)
        self.self_attn = CLIPAttention(hidden, config["num_attention_heads"])
        self.layer_norm2 = nn.LayerNorm(hidden, eps)
        self.mlp = CLIPMLP(hidden, config["intermediate_size"])

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class CLIPEncoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList([CLIPEncoderLayer(config) for _ in range(config["num_hidden_layers"])])


class CLIPVisionTransformer(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, eps = config["hidden_size"], config["layer_norm_eps"]
        self.embeddings = CLIPVisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(hidden, eps)  # transformers spells it so
        self.encoder = CLIPEncoder(config)
        self.post_layernorm = nn.LayerNorm(hidden, eps)  # in every CLIP file, but RCOD stops before it

    def forward(self, pixel_values):
        h = self.pre_layrnorm(self.embeddings(pixel_values))
        for layer in self.encoder.layers:
            h = layer(h)
        return h


class CLIPVisionModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.vision_model = CLIPVisionTransformer(config)

    def forward(self, pixel_values):
        """last_hidden_state, all tokens, without post_layernorm"""
        return self.vision_model(pixel_values)


class Prompted(nn.Module):
    """The U-Net with its visual prompt: what stage b trains and stage c adapts"""

    def __init__(self, unet_config=UNET_CONFIG):
        super().__init__()
        self.unet = UNet2DConditionModel(unet_config)
        self.image_encoder = CLIPVisionModel(CLIP_CONFIG)
        self.image_proj = nn.Linear(CLIP_CONFIG["hidden_size"], unet_config["cross_attention_dim"])

    def pixel_values(self, x):
        size = CLIP_CONFIG["image_size"]
        # [-1, 1] goes in as it is: RCOD applies no CLIP mean/std normalisation.
        return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=True)

    def tokens(self, x):
        return self.image_proj(self.image_encoder(self.pixel_values(x)))


def one_step(latent, eps):
    """RCOD's z_H from z_L and the predicted noise, one alpha for every timestep"""
    alpha = RCOD_CONFIG["alpha"]
    return (latent - math.sqrt(1 - alpha) * eps) / math.sqrt(alpha)


class MetricEstimationModule(nn.Module):
    """Predicts M_L, the cosine similarity of low- and high-quality latents, from the low-quality latents."""

    def __init__(self, config):
        super().__init__()
        widths = [config["in_channels"], *config["block_out_channels"]]
        self.convs = nn.ModuleList(Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:]))
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, latent):
        h = latent[:, : self.convs[0].in_channels]  # without pixel channels
        for conv in self.convs:
            h = F.silu(conv(h))
        return F.relu(self.head(h.mean((2, 3))))[:, 0]


class RCODPipeline(nn.Module):
    def __init__(self, vae=None, prompted=None):
        super().__init__()
        self.vae = vae or AutoencoderKL(VAE_CONFIG)
        self.prompted = prompted or Prompted()
        self.mem = MetricEstimationModule(MEM_CONFIG)

    def stages(self, x, timestep):
        """Every intermediate that a parity test compares. x: [N,3,H,W] in [-1,1], timestep: [N]."""
        scaling = VAE_CONFIG["scaling_factor"]
        tokens = self.prompted.tokens(x)
        latent = self.vae.sample(x) * scaling
        eps = self.prompted.unet(latent, timestep, tokens)
        out = self.vae.decode(one_step(latent, eps) / scaling)
        return {"tokens": tokens, "latent": latent, "eps": eps, "out": out}

    def forward(self, x, timestep):
        return self.stages(x, timestep)["out"]


def adain(target, source):
    """RCOD_O's default colour fix on [0,1] images [N,3,H,W]: per-channel mean and unbiased variance of source."""
    target_std, target_mean = (target.var((2, 3), keepdim=True) + 1e-5).sqrt(), target.mean((2, 3), keepdim=True)
    source_std, source_mean = (source.var((2, 3), keepdim=True) + 1e-5).sqrt(), source.mean((2, 3), keepdim=True)
    return ((target - target_mean) / target_std * source_std + source_mean).clamp(0, 1)


def low_frequencies(image, levels=5):
    """The image blurred by a binomial kernel whose taps lie 1, 2, 4, 8 and 16 pixels apart, edges repeated"""
    line = image.new_tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(image.shape[1], 1, 3, 3)
    for radius in (2**level for level in range(levels)):
        padded = F.pad(image, (radius,) * 4, mode="replicate")
        image = F.conv2d(padded, kernel, groups=image.shape[1], dilation=radius)
    return image


def wavelet(target, source):
    """Detail of the target on the low frequencies of the source, [0,1] images [N,3,H,W]"""
    return (target - low_frequencies(target) + low_frequencies(source)).clamp(0, 1)


COLOR_FIXES = {"adain": adain, "wavelet": wavelet, "none": lambda target, source: target}


def count_flops(pipeline, side=512):
    """FLOP (2 per multiply-accumulate of convs, linears and attention products) per stage for a side x side output."""
    totals = {}
    stage = {"name": ""}

    def count(module, inputs, output):
        if isinstance(module, nn.Conv2d):
            macs = output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            macs = output.numel() * module.in_features
        elif isinstance(module, Attention):
            x, context = inputs
            macs = 2 * x.shape[1] * context.shape[1] * output.shape[2]
        else:  # CLIPAttention
            macs = 2 * output.shape[1] ** 2 * output.shape[2]
        totals[stage["name"]] = totals.get(stage["name"], 0) + 2 * macs

    def enter(name):
        return lambda module, inputs: stage.update(name=name)

    roots = {
        "image_encoder": [pipeline.prompted.image_encoder, pipeline.prompted.image_proj],
        "vae_encoder": [pipeline.vae.encoder, pipeline.vae.quant_conv, pipeline.vae.pixel_conv],
        "unet": [pipeline.prompted.unet],
        "vae_decoder": [pipeline.vae.post_quant_conv, pipeline.vae.decoder],
    }
    hooks = [m.register_forward_pre_hook(enter(name)) for name, modules in roots.items() for m in modules]
    counted = (nn.Conv2d, nn.Linear, Attention, CLIPAttention)
    hooks += [m.register_forward_hook(count) for m in pipeline.modules() if isinstance(m, counted)]
    with torch.no_grad():
        pipeline(torch.zeros(1, 3, side, side), torch.tensor([249]))
    for hook in hooks:
        hook.remove()
    totals["total"] = sum(totals.values())
    return totals


if __name__ == "__main__":
    model = RCODPipeline()
    for part, child in model.named_children():
        print(f"{part:14s} {sum(p.numel() for p in child.parameters()):>9,} parameters")
    for part, flops in count_flops(model).items():
        print(f"{part:14s} {flops / 1e9:9.2f} GFLOP at 512x512")
