"""Charts by matplotlib, which comes with the extra `bench`; without it there is none."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Diagram = TypeVar('Diagram')

COLOURS = ('#4c72b0', '#86a5d6', '#c44e52', '#e39b9d', '#55a868', '#8c8c8c')


class Panel(NamedTuple):
    """One diagram of a chart: groups of bars.

    Attributes:
        title: What is shown, with its unit.
        bars: The values, by group and then by series; a group may lack a series.
        limit: A line that is not to be crossed.
        log: Whether the scale is logarithmic.
    """

    title: str
    bars: Mapping[str, Mapping[str, float]]
    limit: float | None = None
    log: bool = False


def draw(path: Path, title: str, panels: Sequence[Panel]) -> Path | None:
    """Draw panels as `draw_each` does."""
    return draw_each(path, title, panels, _draw_panel)


def draw_each(
    path: Path, title: str, diagrams: Sequence[Diagram], draw_one: Callable[[Any, Diagram], None]
) -> Path | None:
    """Draw diagrams side by side, two in a row, into a PNG file.

    Args:
        path: The file.
        title: Stands above all.
        diagrams: What is drawn.
        draw_one: Draws one of them on matplotlib's axes.

    Returns:
        The path; None, and a line says so, where there is no matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        print('No chart: matplotlib is not installed (pip install -e ".[bench]").')
        return None
    mpl.use('agg')
    from matplotlib import pyplot as plt

    rows, columns = (len(diagrams) + 1) // 2, min(2, len(diagrams))
    figure, axes = plt.subplots(rows, columns, figsize=(6.5 * columns, 3.6 * rows), squeeze=False)
    for axis, diagram in zip(axes.flat, diagrams, strict=False):
        draw_one(axis, diagram)
    for axis in axes.flat[len(diagrams) :]:
        axis.axis('off')
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _draw_panel(axis: Any, panel: Panel) -> None:
    groups = list(panel.bars)
    series = list(dict.fromkeys(name for bars in panel.bars.values() for name in bars))
    width = 0.8 / len(series)
    for number, name in enumerate(series):
        heights = [panel.bars[group].get(name, 0.0) for group in groups]
        places = [index + (number - (len(series) - 1) / 2) * width for index in range(len(groups))]
        drawn = axis.bar(places, heights, width, label=name, color=COLOURS[number % len(COLOURS)])
        axis.bar_label(drawn, fmt='{:,.3g}' if max(heights) < 100 else '{:,.0f}', fontsize=7, padding=1)
    if panel.limit is not None:
        axis.axhline(panel.limit, color='black', linestyle='--', linewidth=1)
    if panel.log:
        axis.set_yscale('log')
    axis.margins(y=0.25)
    axis.set_title(panel.title, fontsize=10)
    axis.set_xticks(range(len(groups)), groups)
    axis.spines[['top', 'right']].set_visible(False)
    if len(series) > 1:
        axis.legend(fontsize=7, frameon=False, loc='upper center', ncols=len(series))
