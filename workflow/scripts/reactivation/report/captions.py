"""Free text in the report, which is written in reStructuredText."""

import re


def plain(text: str) -> str:
    """`text` as reStructuredText, paragraph by paragraph, escaped so that no character of it is markup."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip()))
    return "\n\n".join(re.sub(r"([^A-Za-z0-9\s])", r"\\\1", paragraph) for paragraph in paragraphs)
