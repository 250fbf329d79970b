"""Stage c: RCOD. The prior and the autoencoder are frozen; LoRA on U-Net and autoencoder, conv_in and the token projection
learn to restore in one step, with the timestep as the knob between fidelity and realism.

Unlike RCOD the decoder is adapted too: this small one has no capacity to spare for what no restored picture holds.
With `--full-rank` a second part then trains the weights under the factors: see `trained_parameters`.
"""
import copy
import re

import numpy as np
import torch
import torch.nn.functional as F

import data
import lora
import measure
from adversary import PatchCritic, adversarial_push, critic_loss
from degradations import RESTORED_MIXTURE, degrade
from loop import DEVICE, Average, Loop, average_gradients, rank, seed_worker, to_device, workers
from losses import das_timesteps, dissimilarity, distillation, realism_of, regularizer_loss
from losses import sharpness_distance, spectrum_distance, squared_error
from model import RCOD_CONFIG, VAE_CONFIG, AutoencoderKL, Prompted, RCODPipeline, one_step
from stage_prior import alphas_cumprod

RANK_UNET, RANK_VAE, RANK_REGULARIZER = 28, 16, 8
CROP_SIDE = 128
# Every second batch learns the knob: a timestep by latent domain group for one half of it, any timestep for the other. The
# rest asks for fidelity.
KNOB_EVERY, GROUPED_SHARE = 2, 0.5
SPECTRUM_WEIGHT, SHARPNESS_WEIGHT, ADVERSARIAL_WEIGHT, DISTILLATION_WEIGHT = 1.2, 0.2, 0.3, 0.03
DISTILLATION_BOUND = 0.1
SQUARE_FLOOR = 2e-4  # 43 dB: below it a crop is good enough


def metric(z_low, z_high):
    """M_L, [N]: cosine similarity of the latents"""
    return F.cosine_similarity(z_low.flatten(1), z_high.flatten(1), eps=1e-8)


def pair_metric(vae, x, target):
    """M_L of inputs and originals, [N,3,H,W] each"""
    return metric(vae.encode(x)[0], vae.encode(target)[0])


def grouped_timesteps(m, thresholds):
    """RCOD's table for n = 3 with this model's thresholds: the more similar, the more faithful"""
    low, high = thresholds
    steps = torch.full_like(m, 749, dtype=torch.long)
    steps[m >= low] = 499
    steps[m >= high] = 249
    return steps


@torch.no_grad()
def draw_timesteps(vae, x, target, thresholds, rng):
    """[N]; only the samples that go by their latent domain group pay for the metric"""
    steps = torch.from_numpy(rng.integers(249, 750, len(x)))
    grouped = torch.from_numpy(rng.random(len(x)) < GROUPED_SHARE)
    if grouped.any():
        steps[grouped] = grouped_timesteps(pair_metric(vae, x[grouped], target[grouped]), thresholds).cpu()
    return steps


@torch.no_grad()
def measure_thresholds(vae, paths, seed, count=600):
    """Tertiles of M_L over the training degradations, on the frozen autoencoder, [low, high]"""
    sampler = data.CropSampler(paths, seed)
    values = []
    for _ in range(count // 10):
        originals = [sampler.crop(128) for _ in range(10)]
        inputs = [data.upsample(degrade(image, sampler.rng)) for image in originals]
        values.append(pair_metric(vae, *(to_device(data.to_tensor(images)) for images in (inputs, originals))))
    values = torch.cat(values).cpu()
    if rank() == 0:
        print("M_L deciles:", [round(float(q), 4) for q in torch.quantile(values, torch.linspace(0, 1, 11))])
    return [round(float(q), 4) for q in torch.quantile(values, torch.tensor([1 / 3, 2 / 3]))]


@torch.no_grad()
def scale_latents(quant_conv):
    """Sets the low-rank update of quant_conv so that z_L starts at sqrt(alpha) times the autoencoder's latents.

    Then eps = 0 hands the input through the one-step formula unchanged, and the U-Net predicts a correction. A
    GroupNorm network that had to reproduce a multiple of its input as well would lose contrast.
    """
    channels = VAE_CONFIG["latent_channels"]
    (into,), (out,) = quant_conv.lora_A.values(), quant_conv.lora_B.values()
    into.weight[:channels] = quant_conv.base_layer.weight[:channels]
    factor = (RCOD_CONFIG["alpha"] ** 0.5 - 1) / quant_conv.scaling
    out.weight[range(channels), range(channels)] = factor


class Generator(torch.nn.Module):
    """vae and prompted with adapters, under the attribute names of RCODPipeline"""

    def __init__(self, vae, prompted):
        super().__init__()
        self.vae, self.prompted = vae, prompted
        prompted.requires_grad_(False)
        self.modules_of = {"vae": lora.add_adapters(vae, lora.VAE_TARGETS, RANK_VAE, lora.vae_adapter)}
        self.modules_of["unet"] = lora.add_adapters(prompted.unet, lora.UNET_TARGETS, RANK_UNET, lora.unet_adapter)
        scale_latents(vae.quant_conv)
        prompted.unet.conv_in.base_layer.requires_grad_(True)
        prompted.image_proj.requires_grad_(True)
        for module in self.pixel_path():
            module.requires_grad_(True)

    def pixel_path(self):
        return [self.vae.pixel_conv] if hasattr(self.vae, "pixel_conv") else []

    def forward(self, x, timestep, without=()):
        z_low = self.vae.sample(x) * VAE_CONFIG["scaling_factor"]
        # The ablation's constant tokens: those of a grey picture.
        tokens = self.prompted.tokens(torch.zeros_like(x) if "vpim" in without else x)
        z = one_step(z_low, self.prompted.unet(z_low, timestep, tokens))
        return z, self.vae.decode(z / VAE_CONFIG["scaling_factor"])


# What `--full-rank` trains whole. The encoder stays as it is: M_L is measured on it.
FULL_RANK = ("prompted.unet.", "vae.decoder.", "vae.post_quant_conv.", "vae.pixel_conv.")
KEPT_FROM_MUON = re.compile(r"conv_in|conv_out|pixel_conv|time_embedding")


def trained_parameters(generator, full_rank):
    """(matrices for Muon, the rest for Adam).

    Low-rank factors of layers with 8 to 128 channels reach a part of what these layers could learn, and the prior
    under them has nothing of Stable Diffusion's to protect. So a second part of the training moves U-Net and decoder themselves,
    under factors that stay.
    """
    if not full_rank:
        prompted = generator.prompted
        whole = (prompted.unet.conv_in.base_layer, prompted.image_proj, *generator.pixel_path())
        return lora.lora_parameters(generator), [p for module in whole for p in module.parameters()]
    matrices, rest = [], [*generator.prompted.image_proj.parameters()]
    for name, parameter in generator.named_parameters():
        is_factor = "lora_" in name
        if not name.startswith(FULL_RANK):
            if is_factor:
                matrices.append(parameter)
            continue
        parameter.requires_grad_(not is_factor)
        if not is_factor:
            by_muon = parameter.ndim > 1 and not KEPT_FROM_MUON.search(name)
            (matrices if by_muon else rest).append(parameter)
    return matrices, rest


def load_base(runs):
    vae, prompted = AutoencoderKL(VAE_CONFIG), Prompted()
    vae.load_state_dict(torch.load(runs / "vae.pt")["vae"])
    prompted.load_state_dict(torch.load(runs / "prior.pt"))
    return vae, prompted


def merged_pipeline(generator):
    """The generator as the pipeline that evaluation and export know"""
    merged = lora.merge(copy.deepcopy(generator).to("cpu"))
    return RCODPipeline(merged.vae, merged.prompted).eval().requires_grad_(False)


def follow(optimizer, parameters, loss):
    """One step of a network that watches the generator"""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(list(parameters))
    optimizer.step()


def train(args):
    torch.manual_seed(args.seed)
    abar = alphas_cumprod()
    train_paths = data.manifest_photos(args.root, "train")
    validation = data.manifest_photos(args.root, "validation")
    vae, prompted = load_base(args.runs)
    original_vae = copy.deepcopy(vae).requires_grad_(False)
    teacher = copy.deepcopy(prompted).requires_grad_(False)
    regularizer = copy.deepcopy(prompted.unet)
    lora.add_adapters(regularizer, lora.UNET_TARGETS, RANK_REGULARIZER, lambda name: "regularizer")
    generator = Generator(vae, prompted)
    critic = PatchCritic()
    for module in (original_vae, teacher, regularizer, generator, critic):
        module.to(DEVICE, memory_format=torch.channels_last)
    if args.resume:
        state = torch.load(args.runs / f"{args.name}.pt", map_location=DEVICE)
        generator.load_state_dict(state["generator"])
        for name, module in (("regularizer", regularizer), ("critic", critic)):
            if name in state:  # not in checkpoints that were unpacked from a model folder
                module.load_state_dict(state[name])
        thresholds = state["thresholds"]
    else:
        thresholds = measure_thresholds(original_vae, train_paths, args.seed)
    average = Average(generator)
    matrices, rest = trained_parameters(generator, args.full_rank)
    imitating = lora.lora_parameters(regularizer)
    imitator = torch.optim.Adam(imitating, 5e-4, betas=(0.9, 0.99), foreach=True)
    judge = torch.optim.Adam(critic.parameters(), 4e-4, betas=(0.5, 0.99), foreach=True)
    loop = Loop(
        args.name,
        args,
        [{"params": matrices, "peak": args.peak, "muon": True}, {"params": rest, "peak": args.peak / (2 if args.full_rank else 4)}],
        lambda: {
            "generator": average.module.state_dict(),
            "regularizer": regularizer.state_dict(),
            "critic": critic.state_dict(),
            "thresholds": thresholds,
        },
        lambda: measure.summary(merged_pipeline(average.module), validation),
    )
    distils = "distillation" not in args.without
    judgement = torch.zeros(())  # of the step before
    knob = dict.fromkeys(("spectrum", "distilled", "judgement"), 0.0)  # figures of the last batch that turned it
    seeds = [*seed_worker(args), 2, int(args.resume)]
    rng = np.random.default_rng(seeds)
    source = data.batches(args, train_paths, seeds, args.crops // workers(), CROP_SIDE, RESTORED_MIXTURE)
    for step in loop.steps():
        x, target = (to_device(tensor) for tensor in next(source))
        turns_knob = step % KNOB_EVERY == 0 and "ldg" not in args.without
        timestep = draw_timesteps(original_vae, x, target, thresholds, rng) if turns_knob else torch.full((len(x),), 249)
        timestep = timestep.to(DEVICE)
        realism = realism_of(timestep)

        z, out = generator(x, timestep, args.without)
        bicubic = squared_error(x, target)
        pixel, square = (out - target).abs().mean((1, 2, 3)), squared_error(out, target)
        faithful = 0.5 * pixel + 0.1 * (square + SQUARE_FLOOR).log() + 0.2 * dissimilarity(out, target)
        loss = ((1 - 0.5 * realism) * faithful).mean()
        if turns_knob:
            spectrum = spectrum_distance(out, target)
            loss = loss + SPECTRUM_WEIGHT * (realism * spectrum).mean()
            loss = loss + SHARPNESS_WEIGHT * (realism * sharpness_distance(out, target)).mean()
            # The samples that ask most for realism
            chosen = realism.argsort(descending=True)[: (len(z) + 1) // 2]
            loss = loss + ADVERSARIAL_WEIGHT * (realism[chosen] * adversarial_push(critic, out[chosen])).mean()
            knob.update(spectrum=spectrum.mean().detach(), judgement=judgement.detach())
        if turns_knob and distils:
            latents = z[chosen, : VAE_CONFIG["latent_channels"]]
            with torch.no_grad():
                tokens = teacher.tokens(target[chosen])
            near = das_timesteps(timestep[chosen], "das" not in args.without)
            per_sample = distillation(latents, near, teacher.unet, regularizer, tokens, abar)
            # Where the latents have left what the prior knows, its push would drown all others.
            bounded = per_sample * (DISTILLATION_BOUND / per_sample.detach()).clamp(max=1)
            loss = loss + DISTILLATION_WEIGHT * (realism[chosen] * bounded).mean()
            knob["distilled"] = per_sample.mean().detach()
        loop.update(
            loss,
            pixel=pixel.mean(),
            square=square.mean(),
            bicubic=bicubic.mean(),
            # PSNR over bicubic of the faithful samples, dB
            gain=10 * ((bicubic + SQUARE_FLOOR) / (square + SQUARE_FLOOR))[realism == 0].log10().mean().nan_to_num(),
            **knob,
        )
        average.update(generator)
        if turns_knob:
            judgement = critic_loss(critic, out[chosen], target[chosen])
            follow(judge, critic.parameters(), judgement)
            if distils:
                follow(imitator, imitating, regularizer_loss(latents, regularizer, tokens, abar))
