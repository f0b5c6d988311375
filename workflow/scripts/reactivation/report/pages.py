"""Pages that open from disk: each is one file that holds the libraries and data that it needs, and fetches nothing."""

from pathlib import Path
from typing import Any

import pandas as pd
from itables.javascript import generate_init_offline_itables_html, to_html_datatable
from itables.options import dt_bundle
from itables.typing import JavascriptFunction
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import YamlLexer

TEMPLATES = Path(__file__).resolve().parents[3] / "report"
# Four digits on the page; sorting and filters take the number itself. An empty cell comes before all numbers.
SHORT = """function (data, type) {
  if (data === null || Number.isNaN(data)) return type === 'sort' ? -Infinity : '';
  return type === 'display' && !Number.isInteger(data) ? String(+data.toPrecision(4)) : data;
}"""
LONG, LONGER = 40, 200  # characters above which a text takes several lines, and wide ones


def table_page(name: str, table: pd.DataFrame, meanings: dict[str, str]) -> str:
    """A page with a table that can be sorted, searched and filtered by column; `meanings`: of columns, where known."""
    whole = {key: values if _numeric(values) else values.astype(object).fillna("") for key, values in table.items()}
    table = pd.DataFrame(whole)  # shows an empty text cell as empty, not as NaN
    numbers = [i for i, column in enumerate(table) if _numeric(table[column])]
    most = [table[column].astype(str).str.len().max() for column in table]
    wrapped = [
        {"targets": [i], "className": "longer" if n > LONGER else "long"} for i, n in enumerate(most) if n > LONG
    ]
    meaning = {column: meanings[column] for column in table if column in meanings}
    shown = to_html_datatable(
        table,
        connected=False,
        table_id="table",
        display_logo_when_loading=False,
        maxBytes=0,
        maxColumns=0,
        pageLength=25,
        lengthMenu=[10, 25, 100, -1],  # all
        layout={"topStart": "search", "topEnd": "pageLength", "bottomStart": "info", "bottomEnd": "paging"},
        ordering={"indicators": False, "handler": True},
        columnControl=[{"target": 0, "content": ["order"]}, {"target": 1, "content": ["search"]}],
        style="width:100%",
        classes="display nowrap compact",
        text_in_header_can_be_selected=False,  # a click sorts
        columnDefs=[
            {"targets": numbers, "render": JavascriptFunction(SHORT)},
            *wrapped,
        ],
    )
    library = generate_init_offline_itables_html(dt_bundle)
    return page("table.html", name=name, rows=len(table), meaning=meaning, library=Markup(library), table=Markup(shown))


def config_page(study: str, text: str, accepted: list[dict[str, Any]]) -> str:
    """A page that shows a config, and which results `verify` accepted, if any."""
    colors = HtmlFormatter(nowrap=False)
    shown = highlight(text, YamlLexer(), colors)
    style = Markup(colors.get_style_defs())
    return page("config.html", study=study, style=style, config=Markup(shown), accepted=accepted)


def _numeric(values: pd.Series) -> bool:
    return is_numeric_dtype(values) and not is_bool_dtype(values)


def page(template: str, **values: Any) -> str:
    """The named template, filled in; values are escaped, also inside a script's data."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    return environment.get_template(template).render(values)
