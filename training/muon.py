"""Muon (Jordan et al., 2024): momentum whose matrix is replaced by its nearest orthogonal one, so that every direction of
a weight learns at one speed. For the factors of LoRA; Adam keeps biases and whole layers."""
import torch


def orthogonalised(matrices, iterations=5):
    """[n, rows, columns] -> singular values near 1, by a quintic Newton-Schulz iteration on the smaller side"""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if wide else x.transpose(1, 2)


class Muon(torch.optim.Optimizer):
    """Weights are seen as matrices [out, rest]. The step's root mean square is 0.2 of the rate, as Adam's is in practice, so
    both go by the same learning rate."""

    def __init__(self, groups, lr=1e-3, momentum=0.95):
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - group["momentum"])
                nesterov = p.grad.lerp(average, group["momentum"]).flatten(1)
                by_shape.setdefault(nesterov.shape, []).append((p, nesterov))
            for (rows, columns), members in by_shape.items():
                updates = orthogonalised(torch.stack([update for _, update in members]))
                rate = 0.2 * group["lr"] * max(rows, columns) ** 0.5
                for (p, _), update in zip(members, updates):
                    p.sub_(rate * update.view_as(p))
