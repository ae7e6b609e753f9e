"""mdBook's preprocessor: the pages of docs/ are written for GitHub; this is what the book has differently.

- A link out of docs/ leads to the file in the repository; a folder's README.md is its index.
- Mathematics in GitHub's marks, $`…`$ and ```math, gets MathJax's.
"""

import json
import posixpath
import re
import sys

REPOSITORY = "https://github.com/tokensieve/tokensieve/blob/main/"
LINK = re.compile(r"\]\(([^):\s#]+)(#[^)\s]*)?\)")


def page(text, path):
    def link(match):
        place, anchor = match[1], match[2] or ""
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(path), place))
        if not target.startswith("docs/"):
            return f"]({REPOSITORY}{target}{anchor})"
        return f"]({re.sub('README.md$', 'index.md', place)}{anchor})"

    text = LINK.sub(link, text)
    # A backslash stands before what Markdown would read as its own.
    escaped = lambda formula: re.sub(r"([\\_*{}\[\]<>])", r"\\\1", formula)
    text = re.sub(r"^```math\n(.*?)^```$", lambda m: f"\\\\[{escaped(m[1])}\\\\]", text, flags=re.M | re.S)
    return re.sub(r"\$`(.+?)`\$", lambda m: f"\\\\({escaped(m[1])}\\\\)", text, flags=re.S)


def walk(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            chapter = item["Chapter"]
            if chapter.get("path"):
                chapter["content"] = page(chapter["content"], chapter["path"])
            walk(chapter["sub_items"])


if sys.argv[1:2] == ["supports"]:
    sys.exit(0)
_, book = json.load(sys.stdin.buffer)
walk(book.get("items", book.get("sections", [])))
json.dump(book, sys.stdout)
