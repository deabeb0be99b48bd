"""Data Docs as static pages: no script, no network, nothing that a value of the data could add.

The library's pages load scripts and style sheets from five hosts and print values without escaping them. Values arrive
here escaped (frames.py); what is left of the page is its text, its tables and its inner links, under a policy that lets
nothing else in. A page is bounded.
"""

from __future__ import annotations

import base64
import hashlib
import html
from html.parser import HTMLParser

LONGEST = 1 << 20
_TAGS = frozenset(("a", "b", "br", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
                   "small", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"))
_VOID = frozenset(("br", "hr"))
_DROPPED = frozenset(("script", "style", "nav", "head", "title", "button", "label", "footer"))  # with what is in them
# Headings of the library over what is not here. Values of the data stand in tables, which keep all of their text.
_EMPTY = frozenset(("Actions", "Validation Filter:", "Table of Contents", "Data asset: None"))
_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{border:1px solid #8886;padding:.3rem .6rem;text-align:left;
vertical-align:top;overflow-wrap:anywhere}h5{font-size:1.15rem;margin:1.6rem 0 .2rem}
.bad{color:#c0392b;font-weight:600}.good{color:#1e8449;font-weight:600}
"""


def static_page(page: str, title: str) -> str:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    body = "".join(reader.parts)
    if len(body) > LONGEST:
        body = f"<p>The page is too long to be kept ({len(body):,} characters); the gate tells what is broken.</p>"
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
            '<p><a href="../report.html">Report of the version</a></p>\n'
            f"{body}\n</body></html>\n")


class _Reader(HTMLParser):
    """Keeps plain tags, ids, inner links and text, which it escapes anew."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._open: list[str] = []
        self._dropped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self._dropped.append(tag)
        elif not self._dropped and tag == "i":
            self._status(dict(attrs).get("class") or "")
        elif not self._dropped and tag in _TAGS:
            self.parts.append(f"<{tag}{_kept(attrs)}>")
            if tag not in _VOID:
                self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            if tag == self._dropped[-1]:
                self._dropped.pop()
        elif tag in self._open:
            while self._open.pop() != tag:
                continue
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            text = " ".join(data.split())
            if text in _EMPTY and "table" not in self._open:
                return
            before, after = (" " if end.isspace() else "" for end in (data[:1], data[-1:]))
            self.parts.append(f"{before}{html.escape(text)}{after}" if text else before)

    def _status(self, css: str) -> None:
        """The library tells success by an icon of a font that is not here."""
        for mark, name, word in (("fa-check", "good", "passed"), ("fa-times", "bad", "failed"),
                                 ("fa-exclamation", "bad", "error")):
            if mark in css:
                self.parts.append(f'<span class="{name}">{word}</span> ')
                return


def _kept(attrs: list[tuple[str, str | None]]) -> str:
    return "".join(f' {name}="{html.escape(value)}"' for name, value in attrs if value and (
        name in ("id", "colspan", "rowspan") or (name == "href" and value.startswith("#"))))
