"""Line charts of how a figure grows, by matplotlib; without it there is none."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .charts import COLOURS, draw_each


class Growth(NamedTuple):
    """One diagram: a figure against what grows.

    Attributes:
        title: What is shown, with its unit.
        along: What grows.
        lines: Of each series, its points in order: what it has grown to, and lowest, median and highest.
        log: Whether the figure's scale is logarithmic, too.
    """

    title: str
    along: str
    lines: Mapping[str, Sequence[tuple[float, float, float, float]]]
    log: bool = False


def draw_lines(path: Path, title: str, diagrams: Sequence[Growth]) -> Path | None:
    """Draw diagrams as `draw_each` does."""
    return draw_each(path, title, diagrams, _draw)


def _draw(axis: Any, diagram: Growth) -> None:
    ticks = sorted({point[0] for points in diagram.lines.values() for point in points})
    for number, (name, points) in enumerate(diagram.lines.items()):
        at, lowest, medians, highest = zip(*points, strict=True)
        places = [ticks.index(place) for place in at]
        colour = COLOURS[2 * number % len(COLOURS)]
        axis.fill_between(places, lowest, highest, color=colour, alpha=0.2, linewidth=0)
        axis.plot(places, medians, marker='o', color=colour, label=name)
        for place, median in zip(places, medians, strict=True):
            axis.annotate(f'{median:,.3g}', (place, median), (0, 5), textcoords='offset points', fontsize=7)
    axis.set_xticks(range(len(ticks)), [f'{tick:,g}' for tick in ticks])
    axis.set_xlabel(diagram.along, fontsize=9)
    axis.set_title(diagram.title, fontsize=10)
    axis.spines[['top', 'right']].set_visible(False)
    if diagram.log:
        axis.set_yscale('log')
    else:
        axis.set_ylim(bottom=0)
    axis.margins(y=0.2)
    if len(diagram.lines) > 1:
        axis.legend(fontsize=7, frameon=False)
