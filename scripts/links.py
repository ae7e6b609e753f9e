"""links.py FILE…: every link and picture of Markdown and HTML files that stays in their folders leads to a file, and what
stands after its # to a heading or an id there. Nothing is fetched."""

import html
import re
import sys
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import unquote

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.M | re.S)


def prose(text):
    """The text without code, which may look like links."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))


def slug(heading):
    """The anchor of a heading, as GitHub and mdBook make it."""
    heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    kept = (c for c in heading if c in "-_ " or unicodedata.category(c)[0] in "LNM")
    return "".join(kept).replace(" ", "-")


@cache
def anchors(path):
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'\b(?:id|name)="([^"]+)"', text)
    if path.suffix == ".md":
        found += [slug(h) for h in re.findall(r"^#+ +(.*?)#* *$", FENCE.sub("", text), re.M)]
        # A second heading of the same words.
        found += [f"{name}-{n}" for name in set(found) for n in range(1, found.count(name))]
    return set(map(html.unescape, found))


def links(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        text = re.sub(r"<script.*?</script>|<!--.*?-->", "", text, flags=re.S)
        return [html.unescape(link) for link in re.findall(r'<[^>]+?\b(?:href|src)="([^"]*)"', text)]
    text = prose(text)
    named = re.findall(r"^\[[^]^]+\]: +(\S+)", text, re.M)
    return named + re.findall(r'\]\((?:<([^>]*)>|([^)\s]+))(?: "[^"]*")?\)', text) + re.findall(r'\bsrc="([^"]*)"', text)


wrong = checked = 0
for path in map(Path, sys.argv[1:]):
    for link in links(path):
        link = "".join(link)
        if re.match(r"[a-z]+:|//", link) or not link:
            continue
        checked += 1
        place, _, anchor = unquote(link).partition("#")
        target = (path.parent / place) if place else path
        if target.is_dir() and path.suffix == ".html":
            target = target / "index.html"
        if not target.exists():
            problem = "there is no such file"
        elif anchor and target.suffix in (".md", ".html") and anchor not in anchors(target.resolve()):
            problem = "the file has no such heading"
        else:
            continue
        wrong += 1
        print(f"{path}: {link}: {problem}")
print(f"{checked} links checked, {wrong} wrong", file=sys.stderr)
sys.exit(wrong > 0)
