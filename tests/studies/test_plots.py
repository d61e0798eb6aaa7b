"""What figures share: bands, legends and ticks say what the data say."""

import numpy as np
import pytest
import xarray

import jaxinv as ji
from jaxinv.studies import plots


def test_a_line_is_broken_before_the_first_point_that_is_not_below():
    data = xarray.DataArray([[1.0, 2.0, np.nan, 4.0], [3.0, 2.0, np.nan, 4.0]], {"x": [1, 2, 3, 4]}, ("seed", "x"))
    for broken_at, expected in ((2, [1, np.nan, 2, 4]), (2.5, [1, 2, np.nan, 4]), (9, [1, 2, 4, np.nan])):
        _, axes = plots.panels(2, 2, [["a"]])
        plots.bands(axes["a"], data, x="x", broken_at=broken_at)
        (line,) = axes["a"].lines
        np.testing.assert_array_equal(line.get_xdata(), expected)
        np.testing.assert_array_equal(np.isnan(line.get_ydata()), np.isnan(expected))


def test_points_are_dots_unless_the_style_names_another_marker():
    data = xarray.DataArray([1.0, 2.0], {"x": [1, 2]}, ("x",))
    _, axes = plots.panels(2, 2, [["a"]])
    for style, marker, expected in (("-", 0, "None"), ("-", 3, "o"), ("s--", 3, "s")):
        plots.bands(axes["a"], data, x="x", style=style, marker=marker)
        assert axes["a"].lines[-1].get_marker() == expected
    assert axes["a"].lines[-1].get_markersize() == 3


def test_plain_ticks_are_written_out():
    figure, axes = plots.panels(2, 2, [["a"]])
    axes["a"].set(yscale="log", ylim=(0.25, 12))
    plots.plain_ticks(axes["a"].yaxis)
    figure.canvas.draw()
    labels = [text.get_text() for text in axes["a"].get_yticklabels()]
    assert [label for label in labels if 0.25 <= float(label) <= 12] == ["0.3", "0.5", "1", "2", "3", "5", "10"]


def test_each_tick_says_how_many_seeds_diverged_there():
    diverged = xarray.DataArray([[False, True, True], [False, False, False]], {"width": [8, 16]}, ("width", "seed"))
    _, axes = plots.panels(2, 2, [["a"]])
    for x, words, expected in (
        (None, "{} of {}\ndiverged", ["8\n2 of 3\ndiverged", "16"]),
        ("ratio", "{}/{}", ["0.5\n2/3", "1"]),
    ):
        plots.ticks_with_diverged(axes["a"], diverged.assign_coords(ratio=diverged["width"] / 16), x, words)
        assert [label.get_text() for label in axes["a"].get_xticklabels()] == expected
    np.testing.assert_array_equal(axes["a"].get_xticks(), [0.5, 1])


def test_a_legend_of_nothing_is_empty():
    _, axes = plots.panels(2, 2, [["a"]])
    plots.legend(axes["a"])
    assert not axes["a"].get_legend().get_texts()
    axes["a"].plot([1], [1], label="seen")
    plots.legend(axes["a"], "upper right", ncols=2)
    assert [text.get_text() for text in axes["a"].get_legend().get_texts()] == ["seen"]


def test_a_band_without_an_axis_of_colours_takes_its_shade_against_any_coordinate():
    data = xarray.DataArray([[1.0, 3.0], [2.0, np.inf]], {"width": [8, 16]}, ("width", "seed"))
    _, axes = plots.panels(2, 2, [["a"]])
    plots.bands(axes["a"], data.assign_coords(ratio=data["width"] / 16), x="ratio", shade="#414487", label="steps")
    (line,) = axes["a"].lines
    assert (line.get_color(), line.get_label()) == ("#414487", "steps")
    np.testing.assert_array_equal(line.get_xdata(), [0.5, 1])
    np.testing.assert_array_equal(line.get_ydata(), [2, 2])  # what is not finite is left out


def test_dots_are_runs_with_finite_numbers():
    gamma = xarray.DataArray([0.1, 0.2], {"gamma": [0.1, 0.2]}, ("gamma",))
    errors = xarray.DataArray([[1.0, np.nan], [3.0, 4.0]], {"gamma": [0.1, 0.2]}, ("seed", "gamma"))
    _, axes = plots.panels(2, 2, [["a"]])
    plots.dots(axes["a"], gamma, errors, colour="k", marker="s", label="runs")
    (line,) = axes["a"].lines
    assert sorted(zip(line.get_xdata(), line.get_ydata(), strict=True)) == [(0.1, 1), (0.1, 3), (0.2, 4)]
    assert (line.get_marker(), line.get_linestyle(), line.get_label()) == ("s", "None", "runs")


def test_a_band_lies_between_quantiles():
    data = xarray.DataArray(np.arange(9.0).reshape(9, 1), {"x": [1]}, ("seed", "x"))
    for span, ends in (((0.0, 1.0), (0, 8)), ((0.25, 0.75), (2, 6))):
        _, axes = plots.panels(2, 2, [["a"]])
        plots.bands(axes["a"], data, x="x", span=span)
        (band,) = axes["a"].collections
        rows = band.get_paths()[0].vertices[:, 1]
        assert (rows.min(), rows.max()) == ends
        assert axes["a"].lines[0].get_ydata().tolist() == [4]


def test_a_legend_explains_styles():
    _, axes = plots.panels(2, 2, [["a"]])
    plots.explain(axes["a"], {"--": "predicted", "o": "guessed", ".": "measured", "": "words"}, ncols=2)
    assert [text.get_text() for text in axes["a"].get_legend().get_texts()] == [
        "predicted",
        "guessed",
        "measured",
        "words",
    ]
    dashed, open_marker, dot, nothing = axes["a"].lines
    assert (dashed.get_linestyle(), open_marker.get_markerfacecolor(), nothing.get_linestyle()) == (
        "--",
        "white",
        "None",
    )
    assert dot.get_markerfacecolor() == dot.get_color()


def test_words_stand_above_their_points():
    _, axes = plots.panels(2, 2, [["a"]])
    plots.words_above(axes["a"], xarray.DataArray([1, 3]), ["two", ""], 1, "k")
    assert [(text.get_text(), text.xy[0]) for text in axes["a"].texts] == [("two", 1), ("", 3)]


def test_colours_come_from_the_map_that_is_asked_for():
    usual, other = (plots.colours_of("width", [1, 2], name) for name in ("viridis", "cividis"))
    assert not np.allclose(usual[1], other[1])
    np.testing.assert_array_equal(usual[1], plots.colours_of("width", [1, 2])[1])


def test_curves_of_several_lengths_are_drawn_each_by_its_own_steps():
    steps = xarray.DataArray([[[np.nan] * 3, [0, 1, 10]], [[0, 100, 1000]] * 2], dims=("width", "seed", "record"))
    data = (steps + 1).assign_coords(width=[1, 2], step=steps)
    _, axes = plots.panels(3, 2, "a")
    plots.bands(axes["a"], data, x="step", colour="width")
    assert [line.get_xdata().tolist() for line in axes["a"].lines] == [[0.5, 1, 10], [0.5, 100, 1000]]
    with pytest.raises(ji.ArgumentError, match="runs in one band must have the same steps"):
        plots.bands(axes["a"], data, x="step")
