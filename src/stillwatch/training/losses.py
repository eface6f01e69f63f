"""Losses of distillation, one function each.

All take a batch, compute in float32 whatever the precision of the networks, and return a scalar, the mean over the rows.
The teacher's side is a target: it is detached here, so that no gradient can reach a teacher by any of them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stillwatch.errors import InputError

_LEAST_NORM = 1e-8


def softened_kl(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Divergence of the softened classes of a student from those of its teacher.

    T^2 KL(softmax(teacher / T) || softmax(student / T)). The factor keeps the size of the gradient alike for every T.

    Parameters
    ----------
    student, teacher
        (n, k) logits of two or more classes.
    temperature
        T > 0; the higher, the more the unlikely classes count.

    Source: Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2. The teacher's entropy, which is constant, is subtracted,
    so that a perfect student stands at 0.
    """
    _same_shape(student, teacher)
    if student.ndim != 2 or student.shape[1] < 2:
        raise InputError(
            f"softened_kl needs logits (n, classes) of two or more classes, got {tuple(student.shape)}. "
            "For one logit a row use softened_bernoulli."
        )
    ours = functional.log_softmax(student.float() / temperature, dim=1)
    theirs = functional.log_softmax(teacher.detach().float() / temperature, dim=1)
    return temperature**2 * functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def softened_bernoulli(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """`softened_kl` for one logit a row, the log-odds of an anomaly.

    The same value as `softened_kl` of the logits (0, z), computed without ever taking the logarithm of a rounded 0.

    Parameters
    ----------
    student, teacher
        (n,) or (n, 1) logits.
    temperature
        T > 0.

    Source: Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2, for a Bernoulli variable.
    """
    _same_shape(student, teacher)
    ours = student.float() / temperature
    theirs = teacher.detach().float() / temperature
    yes = torch.sigmoid(theirs) * (functional.logsigmoid(theirs) - functional.logsigmoid(ours))
    no = torch.sigmoid(-theirs) * (functional.logsigmoid(-theirs) - functional.logsigmoid(-ours))
    return temperature**2 * (yes + no).mean()


def score_regression(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance of scores: squared where they are near, absolute where they are far.

    Parameters
    ----------
    student, teacher
        (n,) scores on one scale; soften a heavy-tailed teacher first (`knowledge.soften`).

    Source: Huber 1964, threshold 1.
    """
    _same_shape(student, teacher)
    return functional.smooth_l1_loss(student.float(), teacher.detach().float())


def score_ranking(student: Tensor, teacher: Tensor) -> Tensor:
    """How often, and how badly, pairs of rows stand in another order than the teacher's.

    The mean of log(1 + exp(s_j - s_i)) over all pairs in which the teacher scores i above j; pairs that it ties are left out.
    Only the order counts, so the scales may differ. 0 where the teacher ties all rows.

    Parameters
    ----------
    student, teacher
        (n,) scores; n^2 pairs are held in memory.

    Source: Burges et al. 2005, RankNet, eq. 3 with target 1.
    """
    _same_shape(student, teacher)
    s, t = student.float(), teacher.detach().float()
    above = t[:, None] > t[None, :]
    losses = functional.softplus(s[None, :] - s[:, None])
    return (losses * above).sum() / above.sum().clamp(min=1)


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the squared distance of features.

    Parameters
    ----------
    student, teacher
        (n, ...) features of one shape; project the student's first where its width differs.

    Source: Romero et al. 2015, FitNets, arXiv:1412.6550, eq. 3; the mean over a row's features instead of their sum, so that
    the weight of a hint does not depend on their number.
    """
    return squared_map(student, teacher, channels=1).mean() / 2


def cosine(student: Tensor, teacher: Tensor, *, channels: int = 1) -> Tensor:
    """One less the cosine between features, the mean over rows and positions.

    Parameters
    ----------
    student, teacher
        (n, channels, positions...) features of one shape.
    channels
        dimension along which a feature lies; the others are positions.

    Source: Deng, Li 2022, arXiv:2201.10703, eq. 1; half the squared distance of normalised features, as in Wang et al. 2021
    (STFPM), arXiv:2103.04257, eq. 1, is the same.
    """
    return cosine_map(student, teacher, channels=channels).mean()


def squared_map(student: Tensor, teacher: Tensor, *, channels: int = 1) -> Tensor:
    """(n, positions...) mean squared difference along the channels; see `hint`."""
    _same_shape(student, teacher)
    return (student.float() - teacher.detach().float()).square().mean(dim=channels)


def cosine_map(student: Tensor, teacher: Tensor, *, channels: int = 1) -> Tensor:
    """(n, positions...) one less the cosine along the channels, in [0, 2]; see `cosine`."""
    _same_shape(student, teacher)
    a, b = student.float(), teacher.detach().float()
    # Written out: every operator here is one that a graph may hold.
    lengths = (a.square().sum(dim=channels) + _LEAST_NORM) * (b.square().sum(dim=channels) + _LEAST_NORM)
    return 1 - (a * b).sum(dim=channels) / lengths.sqrt()


def class_balanced(logits: Tensor, labels: Tensor, counts: Tensor, *, beta: float = 0.999) -> Tensor:
    """Cross-entropy in which a class counts by its effective number of rows.

    Class c with n_c training rows has the weight (1 - beta) / (1 - beta^n_c); the weights are scaled to sum to the number of
    classes. beta = 0: plain cross-entropy; beta towards 1: the inverse of the frequency.

    Parameters
    ----------
    logits
        (n, k) of k classes, or (n,) or (n, 1): one logit, the log-odds of class 1.
    labels
        (n,) classes, 0 to k - 1.
    counts
        (k,) training rows of each class, 1 or more (2 classes for one logit).
    beta
        in [0, 1).

    Source: Cui et al. 2019, arXiv:1901.05555, eq. 10 and 11. The mean is over rows, not over weights, as in the paper.
    """
    weight = (1 - beta) / (1 - beta ** counts.cpu().double())
    weight = (weight * len(weight) / weight.sum()).float().to(logits.device)
    return (weight[labels] * _cross_entropy(logits, labels)).mean()


def focal(logits: Tensor, labels: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Cross-entropy that cares less about rows which are already right.

    The mean of -(1 - p)^gamma log p, p being the probability of the true class. gamma = 0: plain cross-entropy.

    Parameters
    ----------
    logits
        (n, k) of k classes, or (n,) or (n, 1): one logit, the log-odds of class 1.
    labels
        (n,) classes, 0 to k - 1.
    gamma
        0 or more.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 4.
    """
    entropy = _cross_entropy(logits, labels)
    return ((1 - torch.exp(-entropy)) ** gamma * entropy).mean()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) -log of the probability of the true class."""
    z = logits.float()
    if z.ndim == 2 and z.shape[1] > 1:
        return functional.cross_entropy(z, labels, reduction="none")
    return functional.softplus(torch.where(labels == 1, -1.0, 1.0) * z.reshape(-1))


def _same_shape(student: Tensor, teacher: Tensor) -> None:
    # Broadcasting (n,) against (n, 1) would silently compare every row with every other.
    ours, theirs = (tuple(map(int, side.shape)) for side in (student, teacher))
    if ours != theirs:
        raise InputError(f"student gives the shape {ours}, teacher {theirs}; expected the same.")
