"""The report and the page of curves as a reader has them: opened from disk in a real Chromium, without a network."""

import contextlib
import re

import pandas as pd
import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from browser import errors, opened, until, url
from reactivation.catalogue import LOGARITHMIC, WORDS
from reactivation.report import pages
from reactivation.report.explore import compact, explore_page
from shared_study import NASTY, STUDY, TABLE

CURVES = (
    "return document.getElementById('plot').data"
    ".filter(trace => trace.showlegend).map(trace => [trace.name, trace.x, trace.y])"
)


@pytest.fixture
def folder(finished_study):
    return finished_study


@pytest.fixture(scope="module")
def browser():
    with opened() as page:
        yield page


@pytest.fixture
def page(browser):
    """The browser, in which nothing may go wrong."""
    browser.get("about:blank")
    errors(browser)
    yield browser
    browser.switch_to.default_content()
    assert errors(browser) == []


def click(page, *words):
    for word in words:
        page.find_element(By.XPATH, f"//nav//a[normalize-space()='{word}']").click()


def press(page, entry, icon):
    """Click an icon of the report's entry: `eye` opens it, `information-circle` shows what is known about it."""
    page.find_element(By.XPATH, f"//tr[td[normalize-space()='{entry}']]//a[@iconname='{icon}']").click()


def enter(page, entry):
    """Open the page that an entry of the report shows. A report that is still being drawn loses a click."""
    for _ in range(30):
        press(page, entry, "eye")
        with contextlib.suppress(TimeoutException):
            until(page, "return document.querySelector('iframe')", seconds=1)
            break
    page.switch_to.frame(page.find_element(By.TAG_NAME, "iframe"))


def test_the_report_shows_every_figure_with_its_caption(folder, page):
    page.get(url(folder / "results/tiny/report.html"))
    click(page, "Figures")
    names = [*STUDY["figures"], "claims"]
    for name in names:
        press(page, name, "eye")
        assert (
            until(page, "const image = document.querySelector('#app div.p-3 > img'); return image?.naturalWidth") > 500
        )
    sources = set()
    for name in names:
        press(page, name, "eye")
        sources.add(page.find_element(By.CSS_SELECTOR, "#app div.p-3 > img").get_attribute("src"))
    assert len(sources) == len(names)
    press(page, "fig4", "information-circle")
    text = page.find_element(By.CSS_SELECTOR, "nav").text
    assert f"What to look for: {NASTY}\nA second paragraph." in text
    assert "fig4.json there says where they come from" in text


def test_the_report_shows_the_rule_graph_and_what_each_rule_took(folder, page):
    page.get(url(folder / "results/tiny/report.html"))
    until(page, "return document.querySelector('#rulegraph canvas, #rulegraph svg')?.clientWidth")
    assert "the study tiny" in page.find_element(By.ID, "app").text
    drawn = page.execute_script("return document.querySelector('script#rulegraph').textContent")
    click(page, "Statistics")
    for chart in ("runtimes", "timeline"):
        until(page, f"return document.querySelector('#{chart} canvas, #{chart} svg')?.clientWidth")
    seconds = pd.DataFrame(page.execute_script("return runtimes_spec.data.values")).groupby("rule")["runtime"].sum()
    for rule in ("dataset", "split", "probe", "train", "ntk", "metrics", "figure", "explore", "resolved", "table"):
        assert f'"{rule}"' in drawn and seconds[rule] > 0


def test_tables_sort_by_number_and_filter_inside_the_report(folder, page):
    page.get(url(folder / "results/tiny/report.html"))
    click(page, "Tables")
    enter(page, "hand")
    rows = (
        "return [...document.querySelectorAll('table.dataTable tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.innerText))"
    )
    column = lambda k: [row[k] for row in page.execute_script(rows)]  # noqa: E731
    until(page, "return document.querySelectorAll('table.dataTable tbody tr').length === 4")
    assert column(1) == ["1235000", "0.0001235", "", "9.877"]
    assert column(2) == ["True", "False", "", "True"]
    assert column(3)[:2] == [line.split(",", 3)[3] for line in TABLE.splitlines()[1:3]]
    heads = page.find_elements(By.CSS_SELECTOR, "table.dataTable thead tr:first-child th")
    for order in (["", "0.0001235", "9.877", "1235000"], ["1235000", "9.877", "0.0001235", ""]):
        heads[1].find_element(By.CSS_SELECTOR, ".dt-column-title").click()
        assert column(1) == order
    page.execute_script("arguments[0].dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))", heads[1])
    assert heads[1].get_attribute("title").startswith("velocity_at / velocity_before")
    filters = page.find_elements(By.CSS_SELECTOR, "table.dataTable thead input")
    filters[0].send_keys("d")
    until(page, "return document.querySelectorAll('table.dataTable tbody tr').length === 1")
    assert column(0) == ["d"]


def test_a_table_of_several_pages_is_searched_and_its_rows_per_page_chosen(tmp_path, page):
    table = pd.DataFrame({"run": [f"run{i:02}" for i in range(30)], "seed": range(30)})
    (tmp_path / "table.html").write_text(pages.table_page("long", table, {}))
    page.get(url(tmp_path / "table.html"))
    count = "return document.querySelectorAll('table.dataTable tbody tr').length === arguments[0]"
    until(page, count, 25)
    Select(page.find_element(By.CSS_SELECTOR, ".dt-length select")).select_by_visible_text("All")
    until(page, count, 30)
    page.find_element(By.CSS_SELECTOR, ".dt-search input").send_keys("run2")
    until(page, count, 10)


def test_the_config_in_the_report_is_the_study_with_its_defaults(folder, page):
    page.get(url(folder / "results/tiny/report.html"))
    click(page, "Config")
    enter(page, "resolved")
    assert (
        until(page, "return document.querySelector('pre')?.textContent")
        == (folder / "results/tiny/config.yaml").read_text()
    )


def choose(page, name, value):
    Select(page.find_element(By.NAME, name)).select_by_value(value)


def means(folder, experiment="widths", metric="spectral_norm", kernel="sum", block="all", **wanted):
    """Epochs, and the mean over seeds of the rows asked for, for each width or rate."""
    paths = sorted((folder / "results/tiny/runs").glob(f"{experiment}-*.csv"))
    table = pd.concat(map(pd.read_csv, paths))
    chosen = {"metric": metric, "kernel": kernel, "block": block, "layer": None} | wanted
    for column, value in chosen.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    axis = "width" if experiment == "widths" else "lr"
    for _, rows in table.groupby(axis):
        mean = rows.groupby("epoch")["value"].mean()
        yield mean.index.tolist(), mean.tolist()


def check(page, expected):
    drawn = page.execute_script(CURVES)
    assert len(drawn) == len(expected)
    for (_, x, y), (epochs, values) in zip(drawn, expected, strict=True):
        assert x == pytest.approx(epochs, abs=1e-6) and y == pytest.approx(values, rel=6e-5)


def test_curves_change_with_every_control_and_are_those_of_the_tables(folder, page):
    page.get(url(folder / "results/tiny/explore.html"))
    check(page, list(means(folder)))
    for controls, wanted in [
        ({"kernel": "trace"}, {"kernel": "trace"}),
        ({"metric": "kernel_distance"}, {"kernel": "trace", "metric": "kernel_distance", "reference": "init"}),
        ({"reference": "previous"}, {"kernel": "trace", "metric": "kernel_distance", "reference": "previous"}),
        ({"metric": "kernel_velocity", "dt": "2"}, {"kernel": "trace", "metric": "kernel_velocity", "dt": 2}),
        ({"metric": "eigenvalues", "index": "1"}, {"kernel": "trace", "metric": "eigenvalues", "index": 1}),
        ({"metric": "test_accuracy"}, {"metric": "test_accuracy", "kernel": None}),
        ({"metric": "alignment", "kernel": "sum", "layer": "conv2"}, {"metric": "alignment", "layer": "conv2"}),
        ({"layer": "whole"}, {"metric": "alignment"}),
    ]:
        for name, value in controls.items():
            choose(page, name, value)
        check(page, list(means(folder, **wanted)))
    page.find_element(By.CSS_SELECTOR, "[name=block][value=task1]").click()
    two = zip(means(folder, metric="alignment"), means(folder, metric="alignment", block="task1"), strict=True)
    check(page, [curve for of_width in two for curve in of_width])
    page.find_element(By.CSS_SELECTOR, "[name=block][value=all]").click()
    choose(page, "axis.width", "4")
    check(page, list(means(folder, metric="alignment", block="task1", width=4)))
    choose(page, "seed", "1")
    check(page, list(means(folder, metric="alignment", block="task1", width=4, seed=1)))
    choose(page, "seed", "all")
    seeds = [curve for s in (0, 1) for curve in means(folder, metric="alignment", block="task1", width=4, seed=s)]
    check(page, seeds)
    choose(page, "x", "progress")
    assert [max(x) for _, x, _ in page.execute_script(CURVES)] == [2, 2]
    choose(page, "y", "log")
    assert page.execute_script("return document.getElementById('plot').layout.yaxis.type") == "log"
    choose(page, "x", "epoch")
    choose(page, "experiment", "rates")
    seeds = [curve for s in (0, 1) for curve in means(folder, "rates", metric="alignment", block="task1", seed=s)]
    check(page, seeds)
    assert [option.text for option in Select(page.find_element(By.NAME, "axis.lr")).options] == ["0.05"]


def test_all_layers_have_colors_in_the_networks_order(folder, page):
    page.get(url(folder / "results/tiny/explore.html") + "#metric=trace&layer=all&axis.width=4")
    names = ["conv1", "conv2", "conv3", "head"]
    check(page, [curve for layer in names for curve in means(folder, metric="trace", layer=layer, width=4)])
    assert [name for name, *_ in page.execute_script(CURVES)] == [f"layer {name}" for name in names]
    assert [option.text for option in Select(page.find_element(By.NAME, "layer")).options] == [
        "whole network",
        "all",
        *names,
    ]


def test_the_address_keeps_the_view_and_colors_tell_its_axis_apart(folder, page):
    address = url(folder / "results/tiny/explore.html")
    page.get(f"{address}#metric=alignment&block=task1,task2&seed=all&axis.width=2&color=block")
    view = "return document.getElementById('plot').data.map(trace => [trace.name, trace.line.color, trace.line.dash])"
    names, colors, dashes = zip(*page.execute_script(view), strict=True)
    assert names == ("seed 0, task 1", "seed 0, task 2", "seed 1, task 1", "seed 1, task 2")
    assert colors[0] == colors[2] != colors[1] == colors[3] and dashes[0] == dashes[1] != dashes[2] == dashes[3]
    choose(page, "color", "seed")
    drawn, kept = page.execute_script(view), page.current_url
    _, colors, dashes = zip(*drawn, strict=True)
    assert colors[0] == colors[1] != colors[2] == colors[3] and dashes[0] == dashes[2] != dashes[1] == dashes[3]
    page.get("about:blank")
    page.get(kept)
    assert page.execute_script(view) == drawn
    page.get(f"{address}#metric=nonsense&seed=7")
    check(page, list(means(folder)))


def test_hovering_says_the_numbers_and_switches_are_marked(folder, page):
    page.get(url(folder / "results/tiny/explore.html") + "#axis.width=4")
    page.execute_script("Plotly.Fx.hover('plot', [{curveNumber: 2, pointNumber: 3}])")
    text = until(page, "return document.querySelector('#plot .hoverlayer .hovertext')?.textContent")
    [(epochs, values)] = means(folder, width=4)
    seeds = [next(means(folder, width=4, seed=seed))[1][3] for seed in (0, 1)]
    for number in (epochs[3], values[3], min(seeds), max(seeds)):
        assert any(abs(float(found) / number - 1) < 1e-4 for found in re.findall(r"[\d.]+(?:e[+-]?\d+)?", text))
    shapes = page.execute_script("return document.getElementById('plot').layout.shapes.map(shape => shape.x0)")
    assert shapes == [2]
    title = "max eigenvalue<br>NTK of the summed logits"
    assert page.execute_script("return document.getElementById('plot').layout.yaxis.title.text") == title


def test_nothing_on_the_page_of_curves_offers_to_upload_it(folder, page):
    page.get(url(folder / "results/tiny/explore.html"))
    buttons = "[...document.querySelectorAll('.modebar-btn')].map(button => button.dataset.title)"
    titles = until(page, f"const titles = {buttons}; return titles.length && titles")
    assert len(titles) == 6 and not [title for title in titles if "hare" in title or "loud" in title]


def test_a_run_that_diverged_is_named_and_names_are_no_markup(folder, tmp_path, page):
    paths = []
    for seed in (0, 1):
        table = pd.read_csv(folder / f"results/tiny/runs/widths-width4-s{seed}.csv").rename(columns={"width": "name"})
        table["name"] = "</script><b onclick=x>&amp;"
        if seed:
            end = table["step"].median()
            last = {"metric": "diverged", "value": end, "step": end}
            table = pd.concat([table[table["step"] < end], table.iloc[:1].assign(**last)])
        paths.append(tmp_path / f"run-s{seed}.csv")
        table.to_csv(paths[-1], index=False)
    (tmp_path / "page.html").write_text(explore_page("tiny", compact(map(str, paths)), WORDS, LOGARITHMIC))
    page.get(url(tmp_path / "page.html"))
    notes = page.find_element(By.ID, "notes").text
    assert f"run-s1 diverged in step {end:.0f}: left out, as other seeds did not." in notes
    check(page, list(means(folder, width=4, seed=0)))
    choose(page, "seed", "1")
    assert "drawn up to there" in page.find_element(By.ID, "notes").text
    [(_, x, _)] = page.execute_script(CURVES)
    assert 0 < len(x) < len(next(means(folder, width=4))[0])
    options = [option.text for option in Select(page.find_element(By.NAME, "axis.name")).options]
    assert options == ["</script><b onclick=x>&amp;"]


def test_where_a_linearised_twin_starts_anew_no_mean_of_two_tasks_is_drawn(tmp_path, page):
    columns = {
        "experiment": "e",
        "seed": 0,
        "name": "twin",
        "similarity": "",
        "kernel": "",
        "layer": "",
        "block": "all",
    }
    columns |= {"reference": "", "dt": "", "index": "", "metric": "test_loss"}
    at = [(1, 0, 0.0, 3.0), (1, 2, 1.0, 1.0), (2, 2, 1.0, 2.0), (2, 4, 2.0, 1.5)]
    rows = [columns | {"task": k, "step": step, "epoch": t, "progress": t, "value": v} for k, step, t, v in at]
    pd.DataFrame(rows).to_csv(tmp_path / "run-s0.csv", index=False)
    (tmp_path / "page.html").write_text(
        explore_page("tiny", compact([str(tmp_path / "run-s0.csv")]), WORDS, LOGARITHMIC)
    )
    page.get(url(tmp_path / "page.html") + "#metric=test_loss")
    [(_, x, y)] = page.execute_script(CURVES)
    assert (x, y) == ([0, 1, None, 1, 2], [3, 1, None, 2, 1.5])


@pytest.mark.parametrize("width", [1280, 380])
def test_the_page_of_curves_fits_wide_and_narrow_windows(folder, page, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.get(url(folder / "results/tiny/explore.html"))
    inside, outside, plot = page.execute_script(
        "return [document.documentElement.clientWidth, document.documentElement.scrollWidth, "
        "document.querySelector('#plot svg').clientWidth]"
    )
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert outside <= inside <= width and plot > 0.85 * width
