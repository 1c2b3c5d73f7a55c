"""PDSCA written to be read: one parameter, one line of the algorithm at a time."""

import torch


class ReferencePDSCA:
    """Plain twin of :class:`skdam.PDSCA`, for one group of parameters."""

    def __init__(
        self, params, loss, *, lr, inner_lr, betas, weight_decay, epoch_decay, clip_value,
        variant="alternating", inner_steps=1, adaptive=False, beta2=1e-3, eps=1e-8,
        averaging=None,
    ):  # fmt: skip
        self.w = list(params)
        self.loss = loss
        self.eta0, self.eta1 = inner_lr, lr
        self.beta0, self.beta1, self.beta2 = *betas, beta2
        self.lambda0, self.lambda1 = epoch_decay, weight_decay
        self.clip_value, self.eps = clip_value, eps
        self.variant, self.k, self.adaptive = variant, inner_steps, adaptive
        self.t = 0
        self.reference = {p: p.detach().clone() for p in self.v}
        self.stage = {p: [] for p in self.v}
        self.u, self.z, self.kept = {}, {}, {}
        self.m, self.s, self.n = {}, {}, {}
        self.averaging, self.average = averaging, {}

    @property
    def v(self):
        return [*self.w, self.loss.a, self.loss.b]

    @property
    def phase(self):
        return "outer" if self.k == 0 or (self.t // self.k) % 2 == 1 else "inner"

    @torch.no_grad()
    def step(self):
        if self.phase == "inner":
            for p in self.v if self.variant == "lookahead" else self.w:
                self.inner_step(p)
        else:
            for p in self.v:
                p.copy_(self.kept.pop(p, p))
                if p.grad is not None:
                    self.outer_step(p)
            alpha, margin = self.loss.alpha, self.loss.outer.margin
            ascent = 2 * (margin + self.loss.b - self.loss.a - alpha)
            alpha.copy_(torch.clamp(alpha + min(self.eta1, 0.5) * ascent, min=0))
        self.t += 1
        if self.averaging is not None:
            old = min(self.averaging, 1 - 1 / (1 + self.t / 5))
            for p in self.w:
                self.average[p] = old * self.average.get(p, p) + (1 - old) * p

    def inner_step(self, p):
        gradient = torch.zeros_like(p)
        if p.grad is not None and p is not self.loss.a and p is not self.loss.b:
            gradient = p.grad.clamp(-self.clip_value, self.clip_value)
        if self.variant == "lookahead":
            self.kept[p] = p.clone()
            point = p - self.eta0 * gradient
        elif p.grad is None:
            return
        elif self.adaptive:
            point = self.after_adaptive_step(p, gradient, self.eta0)
        else:
            point = p - self.eta0 * (gradient + self.decay(p))
        self.u[p] = (1 - self.beta0) * self.u.get(p, point) + self.beta0 * point
        p.copy_(self.u[p])

    def outer_step(self, p):
        gradient = p.grad.clamp(-self.clip_value, self.clip_value)
        if self.adaptive:
            p.copy_(self.after_adaptive_step(p, gradient, self.eta1))
        else:
            decay = self.decay(p)
            if self.variant == "alternating":
                gradient, decay = gradient + decay, 0
            self.z[p] = (1 - self.beta1) * self.z.get(p, gradient) + self.beta1 * gradient
            p.copy_(p - self.eta1 * (self.z[p] + decay))
        self.stage[p].append(p.clone())

    def after_adaptive_step(self, p, gradient, eta):
        self.n[p] = self.n.get(p, 0) + 1
        self.m[p] = (1 - self.beta1) * self.m.get(p, 0) + self.beta1 * gradient
        self.s[p] = (1 - self.beta2) * self.s.get(p, 0) + self.beta2 * gradient**2
        m = self.m[p] / (1 - (1 - self.beta1) ** self.n[p])
        s = self.s[p] / (1 - (1 - self.beta2) ** self.n[p])
        return p - eta * (m / (s.sqrt() + self.eps) + self.decay(p))

    def decay(self, p):
        return self.lambda0 * (p - self.reference[p]) + self.lambda1 * p

    def restart_stage(self, factor):
        self.eta0, self.eta1 = self.eta0 * factor, self.eta1 * factor
        for p in self.v:
            self.reference[p] = (
                torch.stack(self.stage[p]).mean(0) if self.stage[p] else self.reference[p]
            )
            self.stage[p] = []
