"""Free text as reStructuredText."""

from reactivation.report.captions import plain


def test_text_in_captions_is_no_markup():
    from docutils.core import publish_parts

    html = publish_parts(plain("a *b*\n  1. c\n\n.. raw:: html\n\n   <b>"), writer="html")["body"]
    assert html == "<p>a *b* 1. c</p>\n<p>.. raw:: html</p>\n<p>&lt;b&gt;</p>\n"
