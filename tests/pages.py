"""What a test reads of an HTML page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Addresses, alternative texts, headings, captions and all words of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.headings: list[str] = []
        self.captions: list[str] = []
        self.classes: set[str] = set()
        self.words = ""
        self._inside = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "iframe"}
        self._inside = tag
        values = dict(attrs)
        self.addresses += [
            values[name] or "" for name in ("src", "href", "srcset", "data") if name in values
        ]
        self.classes |= set((values.get("class") or "").split())
        if tag == "img":
            self.alts.append(values.get("alt") or "")

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._inside in ("h1", "h2", "h3"):
            self.headings.append(data.strip())
        if self._inside == "figcaption" and data.strip():
            self.captions.append(data)

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inside = ""
