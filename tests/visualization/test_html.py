"""Pages of reports: well formed, escaped, complete in one file."""

import base64
import html.parser

from sact_tf.visualization import html as page_html
from sact_tf.visualization.figures import Picture


class _Outline(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text, self.links = [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "srcset", "href")]
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data


def test_page_is_well_formed_and_escapes_what_it_is_given():
    page = page_html.page(
        "<b>&",
        "lead",
        {
            "A": [
                page_html.paragraph("x < y"),
                page_html.table(("h", "v"), [("a", "<1>")]),
                page_html.numbers([("Accuracy", "90 %", "top-1"), ("n", "1", "")]),
                page_html.folded_text("config", "a: <b>"),
                page_html.picture(Picture(b"l", b"d", b"s"), 'caption "quoted"'),
            ]
        },
    )
    outline = _Outline()
    outline.feed(page)
    assert not outline.open
    assert "b" not in outline.seen
    for text in ("<b>&", "x < y", "<1>", "Accuracy", "a: <b>", 'caption "quoted"'):
        assert text in outline.text
    assert [base64.b64decode(link.removeprefix("data:image/png;base64,")) for link in outline.links]
    assert outline.links == [page_html.data_uri(b"d"), page_html.data_uri(b"l")]


def test_names_that_are_no_unicode_have_a_form_that_can_be_saved():
    page = page_html.page("caf\udce9", "", {"A": [page_html.paragraph("\u732b \udcff.jpg")]})
    assert r"caf\xe9" in page and "\u732b \\xff.jpg" in page
    page.encode("utf-8")
