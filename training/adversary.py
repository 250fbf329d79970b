"""The adversarial term of stage c: a small critic of patches, with spectral normalisation and the hinge loss.

It sees what no fixed measure of detail does: that a texture is a pattern, or made of one kind of speck.
"""
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchCritic(nn.Module):
    """[N,3,H,W] in [-1,1] -> a score for every fourth pixel, each from 26 x 26 pixels"""

    def __init__(self, width=32):
        super().__init__()
        layers = ((3, width, 4, 2), (width, 2 * width, 4, 2), (2 * width, 2 * width, 3, 1), (2 * width, 1, 3, 1))
        self.convs = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, k, s, padding=1)) for a, b, k, s in layers)

    def forward(self, image):
        *hidden, head = self.convs
        h = image
        for conv in hidden:
            h = F.leaky_relu(conv(h), 0.2)
        return 10 * head(h)  # spectral normalisation leaves the scores small


def critic_loss(critic, out, target):
    """Hinge: originals above 1, outputs below -1"""
    real, fake = critic(torch.cat([target, out.detach()])).chunk(2)
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def adversarial_push(critic, out):
    """[N]: a loss whose gradient by `out` is the direction that the critic would call more real. Over the samples its
    root-mean-square length is 1/sqrt(H W), like that of a mean over pixels: a critic that grows surer does not outgrow
    the other terms, nor does it count for more on larger crops."""
    picture = out.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(picture).mean((1, 2, 3)).sum(), picture)
    length = gradient.square().sum((1, 2, 3)).mean().sqrt()
    return -(out * gradient / (length + 1e-12)).sum((1, 2, 3)) / (out.shape[2] * out.shape[3]) ** 0.5
