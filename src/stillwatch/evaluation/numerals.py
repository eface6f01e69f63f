"""How a figure is written, once for the page, the card and the terminal."""

from __future__ import annotations

from collections.abc import Callable

from stillwatch.evaluation.quality import Interval


def decimal(value: float | None) -> str:
    """Write a figure between -1 and 1; never round up to a perfect 1.

    Examples
    --------
    >>> decimal(0.98521), decimal(0.99996), decimal(1.0), decimal(None)
    ('0.985', '0.999+', '1.000', '–')
    """
    if value is None:
        return "–"
    if 0.9995 <= value < 1:
        return "0.999+"
    return f"{value:.3f}".replace("-", "−")


def signed(value: float | None) -> str:
    """Write a difference with its sign.

    Examples
    --------
    >>> signed(0.0042), signed(-0.0173), signed(-0.0001)
    ('+0.004', '−0.017', '0.000')
    """
    if value is None:
        return "–"
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")


def percent(value: float | None) -> str:
    """Write a share as a percentage with as many digits as it needs.

    Examples
    --------
    >>> percent(0.01), percent(0.8812), percent(0.00052), percent(0.0), percent(1.0), percent(0.99), percent(0.99999)
    ('1 %', '88 %', '0.052 %', '0 %', '100 %', '99 %', '99.99 %')
    """
    if value is None:
        return "–"
    p = value * 100
    if 99 <= p < 100:
        return f"{min(p, 99.99):.2f}".removesuffix(".00") + " %"
    return f"{p:.2g} %" if abs(p) < 99.5 else f"{p:.0f} %"


def span(interval: Interval, write: Callable[[float | None], str] = decimal) -> str:
    """Write the ends of an interval."""
    return f"{write(interval.low)} to {write(interval.high)}"


def figures(value: float) -> str:
    """Write a large number with two or three digits that matter.

    Examples
    --------
    >>> figures(81.8), figures(1_440_000), figures(2_340), figures(1.23), figures(0)
    ('82', '1.44 million', '2,340', '1.2', '0')
    """
    if value >= 1e6:
        return f"{value / 1e6:.3g} million" if value < 1e9 else f"{value / 1e9:.3g} billion"
    if value >= 1000:
        return f"{round(value, -1 if value < 10_000 else -2):,.0f}"
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def duration(us: float | None) -> str:
    """Write microseconds in the unit that suits them.

    Examples
    --------
    >>> duration(10.9), duration(914.2), duration(58_900), duration(2_500_000)
    ('11 µs', '914 µs', '59 ms', '2.5 s')
    """
    if us is None:
        return "–"
    for limit, divisor, unit in ((999.5, 1, "µs"), (999_500, 1e3, "ms")):
        if us < limit:
            value = us / divisor
            return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"
    return seconds(us / 1e6)


def score(value: float) -> str:
    """Write a score or threshold so that a column of them lines up.

    Examples
    --------
    >>> score(2.21), score(-0.5), score(123456.7)
    ('2.210', '−0.500', '1.235e+05')
    """
    text = f"{value:.3f}" if 0.001 <= abs(value) < 10_000 or value == 0 else f"{value:.4g}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def seconds(value: float) -> str:
    """Write seconds for people.

    Examples
    --------
    >>> seconds(0.042), seconds(2.5), seconds(75), seconds(7300)
    ('0.04 s', '2.5 s', '1 min 15 s', '2 h 1 min')
    """
    if value < 59.5:
        return f"{value:.2f} s" if value < 0.95 else f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int | None) -> str:
    """Write bytes in decimal units.

    Examples
    --------
    >>> size(640), size(214_300), size(3_210_000)
    ('640 bytes', '214 kB', '3.2 MB')
    """
    if count is None:
        return "–"
    if count < 1000:
        return f"{count} bytes"
    if count < 999_500:
        return f"{count / 1e3:.0f} kB" if count >= 9_950 else f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB"
