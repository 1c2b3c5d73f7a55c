"""Draw ``_static/composition.png``: the idea of compositional training, on a toy with two weights.

Run it with ``python docs/figures/composition.py``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

BEST_FOR_L = np.array([1.2, 1.7])
BEST_FOR_F = np.array([2.1, 0.3])
CURVATURE = np.array([1.0, 1.6])
WIDTH = 2.9
START = np.array([-2.0, -0.9])
BLUE, ORANGE, GREY = "#1f6fb4", "#d9601a", "#666666"


def auc_loss(w):
    """Return F: flat far from its minimum, like a ranking loss of random weights."""
    square = ((w - BEST_FOR_F) ** 2).sum(-1)
    return 1 - np.exp(-square / WIDTH)


def auc_gradient(w):
    """Return the gradient of F."""
    return 2 / WIDTH * (w - BEST_FOR_F) * (1 - auc_loss(w))[..., None]


def inner_gradient(w):
    """Return the gradient of L, a bowl."""
    return CURVATURE * (w - BEST_FOR_L)


def path(step, n_steps):
    """Return the points that a step leads through."""
    points = [START]
    for _ in range(n_steps):
        points.append(step(points[-1]))
    return np.array(points)


def background(ax):
    """Draw levels of F, and those of L as thin lines."""
    x, y = np.meshgrid(np.linspace(-2.7, 3.5, 300), np.linspace(-1.9, 2.9, 300))
    grid = np.stack([x, y], -1)
    ax.contourf(x, y, auc_loss(grid), levels=14, cmap="Blues_r", alpha=0.65)
    bowl = (CURVATURE * (grid - BEST_FOR_L) ** 2).sum(-1) / 2
    ax.contour(x, y, bowl, levels=np.array([0.2, 1, 2.5, 5, 9, 14]), colors=GREY, linewidths=0.6)
    ax.set(xticks=[], yticks=[], xlim=(-2.7, 3.5), ylim=(-1.9, 2.9))


def arrow(ax, start, end, colour, **options):
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0} | options
    ax.annotate("", end, start, arrowprops=style)


figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")

background(left)
w = np.array([-1.6, 0.2])
u = w - 0.75 * inner_gradient(w)
move = -1.9 * auc_gradient(u)
arrow(left, w, u, GREY)
arrow(left, u, u + move, BLUE)
arrow(left, w, w + move, ORANGE)
arrow(left, u, w, GREY, arrowstyle="-", linestyle=":", lw=0)
for point, name, offset in ((w, "w", (-12, 6)), (u, "u", (-4, 9))):
    left.plot(*point, "o", color="black", ms=6)
    left.annotate(name, point, offset, textcoords="offset points", style="italic", size=13)
left.annotate(
    "1  inner step: cross-entropy\n    shows the way", (-2.5, 1.35), size=9, color="#333333"
)
name = "2  gradient of the\n    AUC loss at u"
left.annotate(name, u + move, (6, -6), textcoords="offset points", size=9, color=BLUE)
left.annotate("3  moves w", w + move, (4, -10), textcoords="offset points", size=9, color=ORANGE)
left.set_title("One step")

background(right)
scratch = path(lambda w: w - 0.35 * auc_gradient(w), 60)
entropy = path(lambda w: w - 0.12 * inner_gradient(w), 60)
outer = path(lambda w: w - 0.35 * auc_gradient(w - 0.5 * inner_gradient(w)), 60)
inner = outer - 0.5 * inner_gradient(outer)
for points, colour, label in (
    (scratch, BLUE, "AUC loss from scratch: stays on the plateau"),
    (entropy, GREY, "cross-entropy: another optimum"),
    (inner, ORANGE, "compositional, the point u"),
):
    right.plot(*points.T, "-", color=colour, lw=2, label=label)
    right.plot(*points[-1], "o", color=colour, ms=7)
right.plot(*START, "s", color="black", ms=5)
right.annotate("start", START, (-8, -16), textcoords="offset points", size=9)
right.plot(*BEST_FOR_F, "*", color="black", ms=11)
right.annotate("best ranking", BEST_FOR_F, (6, -14), textcoords="offset points", size=9)
right.legend(loc="upper left", fontsize=8, framealpha=0.9)
right.set_title("Sixty steps")
figure.savefig(Path(__file__).parents[1] / "_static" / "composition.png", dpi=150)
