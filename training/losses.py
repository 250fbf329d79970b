"""Losses of stage c: pixels, local spectra, and the distillation of the prior."""
import torch
import torch.nn.functional as F

from model import denoise_latents
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


def spectra(image, size=16, step=8):
    """[N, frequencies, rows, columns]: amplitudes of luma in windows of 16 pixels, root-mean-square of 3 x 3 windows.
    Blind to the exact place of an edge, and of no use to a regular pattern: that has its energy in few frequencies."""
    window = torch.hann_window(size, device=image.device)
    window = window / window.square().sum().sqrt()
    patches = luma(image)[:, 0].unfold(1, size, step).unfold(2, size, step) * (window[:, None] * window)
    powers = torch.view_as_real(torch.fft.rfft2(patches)).square().sum(-1)
    high = torch.maximum(torch.fft.fftfreq(size, 1 / size).abs()[:, None], torch.fft.rfftfreq(size, 1 / size)) >= 2
    powers = powers[..., high.to(image.device)].permute(0, 3, 1, 2)
    return (F.avg_pool2d(powers, 3, 1) + 1e-4).sqrt()


def spectrum_distance(out, target):
    """[N]: mean difference of the amplitudes, from an eighth of the sampling frequency up"""
    return (spectra(out) - spectra(target)).abs().mean((1, 2, 3))


def sharpness_distance(out, target):
    """[N]: squared logarithm of the ratio of the mean gradients of luma. The spectra of what cannot be known settle below
    the original's; this asks that a crop as a whole is as sharp."""

    def gradient(image):
        y = luma(image)
        squares = y.diff(dim=3)[:, :, :-1].square() + y.diff(dim=2)[:, :, :, :-1].square()
        return (squares + 1e-6).sqrt().mean((1, 2, 3))

    return (gradient(out) / gradient(target)).log().square()


def similarity(a, b):
    """[N]: SSIM (Gaussian window 11, sigma 1.5) of planes [N,1,H,W] in [0,1]"""
    line = torch.exp(-(torch.arange(11, dtype=a.dtype, device=a.device) - 5).square() / (2 * 1.5**2))
    line = line / line.sum()
    planes = torch.cat([a, b, a * a, b * b, a * b], 1)
    for window in (line[:, None], line[None]):
        planes = F.conv2d(planes, window.expand(5, 1, *window.shape), groups=5)
    mean_a, mean_b, aa, bb, ab = planes.unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    squares = mean_a.square() + mean_b.square()
    return (score / ((squares + c1) * (aa + bb - squares + c2))).mean((1, 2))


def dissimilarity(out, target):
    """[N]: 1 - SSIM of luma, images in [-1,1]"""
    return 1 - similarity(luma(out) * 0.5 + 0.5, luma(target) * 0.5 + 0.5)


def das_timesteps(timestep, enabled=True):
    """Degradation-aware sampling (Eq. 7): near the generator's timestep; without it anywhere, as OSEDiff"""
    if not enabled:
        return torch.randint_like(timestep, 20, 980)
    low = (timestep - TIMESTEP_RADIUS).clamp(min=20)
    high = (timestep + TIMESTEP_RADIUS).clamp(max=980)
    return low + (torch.rand(len(timestep), device=timestep.device) * (high - low + 1)).long()


def denoised(unet, z_t, timestep, tokens, abar):
    a = abar[timestep][:, None, None, None]
    return (z_t - (1 - a).sqrt() * denoise_latents(unet, z_t, timestep, tokens)) / a.sqrt()


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
    return (denoise_latents(regularizer, add_noise(z, noise, timestep, abar), timestep, tokens) - noise).square().mean()
