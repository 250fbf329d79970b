"""Stage a: the KL autoencoder, on original photographs.

Starts as a linear fit and not as noise: a network whose only path runs through GroupNorm has to learn
to undo it first (`initialise_near_identity`).
"""
import torch
import torch.nn.functional as F

import data
from loop import DEVICE, Average, Loop, rank, seed_worker, to_device, workers
from model import VAE_CONFIG, AutoencoderKL

CONSTANT = 4.0  # against image values in [-1, 1]
KL_WEIGHT = 1e-4
# y = mean of R, G, B; u = R - y; v = B - y
RGB_TO_YUV = torch.tensor([[1.0, 1.0, 1.0], [2.0, -1.0, -1.0], [-1.0, -1.0, 2.0]]) / 3


def fit_conv(conv, features, target):
    """Sets the first outputs of a 3x3 convolution to the ridge regression of target on its input features."""
    columns = F.unfold(features, 3, padding=1).transpose(1, 2).flatten(0, 1)
    columns = torch.cat([columns, torch.ones(len(columns), 1)], dim=1).double()
    gram = columns.T @ columns
    gram += 1e-5 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    solution = torch.linalg.solve(gram, columns.T @ target.permute(0, 2, 3, 1).flatten(0, 2).double()).float().T
    conv.weight[: len(solution)] = solution[:, :-1].reshape(-1, *conv.weight.shape[1:])
    conv.bias[: len(solution)] = solution[:, -1]


@torch.no_grad()
def initialise_near_identity(vae, x):
    """Starts the autoencoder as a linear fit of x.

    Eight channels of every level carry the picture and constants through the residual stream: in the
    first norm group y, -y, +4, -4, in the second u, v, +4, -4. The constants dominate the group's
    deviation and the signs keep brightness out of its mean, so GroupNorm passes brightness and
    contrast instead of normalising them away, which is slow to learn from a random start.
    """

    def carried(channels):
        half = channels // 2
        return [0, 1, half, half + 1], [2, 3, half + 2, half + 3]

    def rewire(conv, kernel, sources):
        """Picture channels: source channels mixed by `sources` through one kernel. The rest starts quieter."""
        pictures, constants = carried(conv.out_channels)
        conv.weight.mul_(0.3)
        for index, channel in enumerate(pictures + constants):
            conv.weight[channel].zero_()
            conv.bias[channel] = 0 if index < 4 else CONSTANT * (1, -1)[index % 2]
        for channel, mix in zip(pictures, sources):
            for source, factor in mix.items():
                conv.weight[channel, source] = factor * kernel

    def straight(conv):
        return [{source: 1.0} for source in carried(conv.in_channels)[0]]

    centre = torch.zeros(3, 3)
    centre[1, 1] = 1
    mean = torch.zeros(3, 3)
    mean[:2, :2] = 0.25  # the encoder pads right and below, so the four pixels start at tap 0
    line = torch.tensor([0.25, 0.5, 0.25])

    for coder in (vae.encoder, vae.decoder):
        for name, module in coder.named_modules():
            if name.endswith("conv_shortcut"):
                rewire(module, torch.ones(1, 1), straight(module))
            elif "downsamplers" in name and name.endswith("conv"):
                rewire(module, mean, straight(module))
            elif "upsamplers" in name and name.endswith("conv"):
                rewire(module, line[:, None] * line, straight(module))
            elif name.endswith("conv2"):  # the blocks leave the carried channels alone at first
                module.weight[sum(carried(module.out_channels), [])] = 0
    y, u, v = (dict(enumerate(row)) for row in RGB_TO_YUV.tolist())
    minus_y = {channel: -factor for channel, factor in y.items()}
    rewire(vae.encoder.conv_in, centre, [y, minus_y, u, v])
    rewire(vae.decoder.conv_in, centre, [{0: 1.0}, {0: -1.0}, {1: 1.0}, {2: 1.0}])
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight[:3].zero_()
        conv.weight[range(3), range(3)] = 1.0
        conv.bias[:3].zero_()

    features = {}
    for coder in (vae.encoder, vae.decoder):
        coder.conv_out.register_forward_pre_hook(lambda conv, inputs: features.update({conv: inputs[0]}))
    low = F.avg_pool2d(x, 4)
    vae.encoder(x)
    fit_conv(vae.encoder.conv_out, features[vae.encoder.conv_out], torch.einsum("oc,nchw->nohw", RGB_TO_YUV, low))
    vae.decode(vae.encode(x)[0])
    fit_conv(vae.decoder.conv_out, features[vae.decoder.conv_out], x)
    for coder in (vae.encoder, vae.decoder):
        coder.conv_out._forward_pre_hooks.clear()


@torch.no_grad()
def normalise_latents(vae, images):
    """Rewrites the four layers around the latents so that each channel has mean 0 and deviation 1.

    quant_conv keeps a zero bias for the means: stage c scales the latents through its low-rank update alone.
    """
    channels = VAE_CONFIG["latent_channels"]
    means = torch.cat([vae.encode(image)[0].permute(1, 0, 2, 3).flatten(1) for image in images], dim=1)
    mean, deviation = means.mean(1), means.std(1)
    out, quant, post = vae.encoder.conv_out, vae.quant_conv, vae.post_quant_conv
    quant.weight[:channels] /= deviation[:, None, None, None]
    quant.bias[channels:] -= 2 * deviation.log()
    shift = torch.linalg.pinv(quant.weight[:, :, 0, 0])
    # The log-variances see the encoder's changed bias too; `shift` is the change that leaves them alone.
    out.bias -= shift @ torch.cat([mean / deviation, torch.zeros(channels)])
    post.bias += post.weight[:, :channels, 0, 0] @ mean
    post.weight[:, :channels] *= deviation[None, :, None, None]


def kl_divergence(mean, logvar):
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


@torch.no_grad()
def reconstruction_psnr(vae, photos):
    """Mean over centred 512 x 512 crops"""
    errors = []
    for photo in photos:
        out = vae.decode(vae.encode(photo)[0]).clamp(-1, 1)
        errors.append(10 * torch.log10(4 / (out - photo).square().mean()))
    return float(torch.stack(errors).mean())


def centre_crops(paths, side=512, long_side=1280):
    crops = (data.centre(data.load_photo(path, long_side), side, side) for path in paths)
    return [to_device(data.to_tensor([crop])) for crop in crops]


def train(args):
    torch.manual_seed(args.seed)
    paths = data.manifest_photos(args.root, "train")
    validation = centre_crops(data.manifest_photos(args.root, "validation"))
    vae = AutoencoderKL(VAE_CONFIG)
    sampler = data.CropSampler(paths, args.seed)
    initialise_near_identity(vae, data.to_tensor([sampler.crop(128) for _ in range(16)]))
    if args.resume:
        vae.load_state_dict(torch.load(args.runs / "vae.pt")["vae"])
    with torch.no_grad():  # see normalise_latents
        vae.quant_conv.bias[: VAE_CONFIG["latent_channels"]].zero_()
    vae.to(DEVICE, memory_format=torch.channels_last)
    average = Average(vae)
    loop = Loop(
        "vae",
        args,
        [{"params": vae.parameters(), "peak": 1e-3}],
        lambda: {"vae": average.module.state_dict()},
        lambda: {"psnr": (reconstruction_psnr(average.module, validation),)},
    )
    source = data.batches(args, paths, seed_worker(args), args.crops // workers(), 128)
    for _ in loop.steps():
        x = to_device(next(source))
        mean, logvar = vae.encode(x)
        out = vae.decode(mean + (0.5 * logvar).exp() * torch.randn_like(mean))
        error = out - x
        pixel, square, kl = error.abs().mean(), error.square().mean(), kl_divergence(mean, logvar)
        loop.update(pixel + 4 * square + KL_WEIGHT * kl, pixel=pixel, square=square, kl=kl, logvar=logvar.mean())
        with torch.no_grad():
            vae.quant_conv.bias[: VAE_CONFIG["latent_channels"]].zero_()
        average.update(vae)
    if rank() > 0:
        return
    final = average.module.cpu()
    normalise_latents(final, [next(source) for _ in range(16)])
    torch.save({"vae": final.state_dict()}, loop.path)
    print("normalised:", reconstruction_psnr(final, [x.cpu() for x in validation]))
