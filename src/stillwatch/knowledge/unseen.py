"""A kind of row that no student trains on, to tell what a student has learnt from what it was shown.

A row moves by the difference of two others: along the ways in which rows do differ, to where none was seen. (Differential
evolution makes its candidates so: Storn and Price 1997.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stillwatch.features.pipeline import Code
from stillwatch.knowledge.transfer import Parents, blank

_SHORTEST, _LONGEST = 0.1, 1.5


def differences(parents: Parents, n: int, rng: np.random.Generator) -> Code:
    """(n,) rows f(a) + reach (f(b) - f(c)); discrete columns and categories take the value of b where b and c differ."""
    a, b, c = (rng.integers(0, len(parents), size=n) for _ in range(3))
    reach = np.exp(rng.uniform(np.log(_SHORTEST), np.log(_LONGEST), size=(n, 1)))
    f = parents.f[a] + reach * (parents.f[b] - parents.f[c])
    turned = np.where(parents.f[b] != parents.f[c], parents.f[b], parents.f[a])
    base, to, of = (parents.code.take(rows) for rows in (a, b, c))
    base = replace(base, category=np.where(to.category != of.category, to.category, base.category))
    return blank(parents, parents.with_f(base, np.where(parents.discrete, turned, f)))
