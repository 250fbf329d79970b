"""Losses of stage c: pixels, local detail energy, and the distillation of the prior."""
import torch
import torch.nn.functional as F

from stage_prior import add_noise

TIMESTEP_RADIUS = 250  # k of the paper's Eq. 7


def realism_of(timestep):
    """0 at t = 249, 1 at t = 749"""
    return (timestep.float() - 249) / 500


LUMA = (0.299, 0.587, 0.114)


def luma(image):
    return (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def squared_error(out, target):
    """[N]: mean of the errors of colour and of luma"""
    error = out - target
    return 0.5 * (error.square().mean((1, 2, 3)) + luma(error).square().mean((1, 2, 3)))


def smooth(image, dilation):
    """3x3 binomial blur with holes"""
    line = torch.tensor([0.25, 0.5, 0.25], device=image.device)
    kernel = (line[:, None] * line).expand(image.shape[1], 1, 3, 3)
    padded = F.pad(image, (dilation,) * 4, mode="replicate")
    return F.conv2d(padded, kernel, dilation=dilation, groups=image.shape[1])


def detail_energies(image):
    """Local root-mean-square of two detail bands of luma. Blind to the exact place of an edge."""
    image = luma(image)
    energies = []
    for dilation, window in ((1, 5), (2, 9)):
        low = smooth(image, dilation)
        energies.append((F.avg_pool2d((image - low).square(), window, 1) + 1e-5).sqrt())
        image = low
    return energies


def detail_distance(out, target):
    """[N]: how much the detail energies differ"""
    pairs = zip(detail_energies(out), detail_energies(target))
    return sum((a - b).abs().mean((1, 2, 3)) for a, b in pairs)


def grid_energy(image):
    """[N]: what repeats every four pixels in the fine detail of luma, averaged over 5 x 5 repeats. Natural texture cancels;
    a pattern on the grid of the latents, the cheapest way to raise detail energy, stays."""
    image = luma(image)
    detail = image - smooth(smooth(image, 1), 2)  # the two blurs together have a zero at period four
    kernel = detail.new_full((1, 1, 5, 5), 1 / 25)
    return F.conv2d(detail, kernel, dilation=4).abs().mean((1, 2, 3))


def das_timesteps(timestep, enabled=True):
    """Degradation-aware sampling (Eq. 7): near the generator's timestep; without it anywhere, as OSEDiff"""
    if not enabled:
        return torch.randint_like(timestep, 20, 980)
    low = (timestep - TIMESTEP_RADIUS).clamp(min=20)
    high = (timestep + TIMESTEP_RADIUS).clamp(max=980)
    return low + (torch.rand(len(timestep), device=timestep.device) * (high - low + 1)).long()


def denoised(unet, z_t, timestep, tokens, abar):
    a = abar[timestep][:, None, None, None]
    return (z_t - (1 - a).sqrt() * unet(z_t, timestep, tokens)) / a.sqrt()


def distillation(z, timestep, teacher, regularizer, tokens, abar):
    """Variational score distillation (OSEDiff's L_vsd), [N]: z moves where the prior's clean latents differ from those
    of a copy that follows the generator. No guidance: there is no text here to guide by."""
    with torch.no_grad():
        z_t = add_noise(z, torch.randn_like(z), timestep, abar)
        wanted = denoised(teacher, z_t, timestep, tokens, abar)
        present = denoised(regularizer, z_t, timestep, tokens, abar)
        weight = (z - wanted).abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
        goal = z - (present - wanted) / weight
    return (z - goal).square().mean((1, 2, 3))


def regularizer_loss(z, regularizer, tokens, abar):
    """The copy learns to denoise what the generator makes"""
    z = z.detach()
    timestep = torch.randint(0, 1000, (len(z),), device=z.device)
    noise = torch.randn_like(z)
    return (regularizer(add_noise(z, noise, timestep, abar), timestep, tokens) - noise).square().mean()
