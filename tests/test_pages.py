"""Checks the links, the paths and the make targets in all pages, and that every page in docs/ can be found."""

import re
import unittest

from test_language import ROOT, files

MAX_LINES_OF_README = 150
PATHS = re.compile(r"(?:\.cargo|docs|events|ops|requirements|src|tests)/[\w./-]*\w/?")


def without_code(text):
    return re.sub(r"(`+)[^`].*?\1", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def code(text):
    """Returns the code in the lines and blocks of a page."""
    return re.findall(r"`([^`\n]+)`|^ {4,}(.*)", text, re.M)


def anchors(text):
    """Returns the anchors of a page's headings, as GitHub makes them."""
    found = []
    for heading in re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w -]", "", title).replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return found


def links(page, text):
    """Yields the file and the anchor of each relative link of a page."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def broken_links(pages):
    """Yields a problem for each relative link whose file or anchor does not exist."""
    for page, text in pages.items():
        for path, anchor in links(page, text):
            if not path.exists():
                yield f"{page.relative_to(ROOT)}: {path.relative_to(ROOT)} does not exist"
            elif anchor and anchor not in anchors(pages.get(path, "")):
                yield f"{page.relative_to(ROOT)}: {path.relative_to(ROOT)} has no anchor {anchor}"


class PagesTest(unittest.TestCase):
    maxDiff = None
    pages = {ROOT / name: (ROOT / name).read_text() for name in files(["*.md"])}

    def test_links_lead_to_files_and_anchors_that_exist(self):
        self.assertEqual(list(broken_links(self.pages)), [])

    def test_every_page_in_docs_is_linked_from_another_page(self):
        linked = {path for page, text in self.pages.items() for path, _ in links(page, text) if path != page}
        self.assertEqual({page for page in self.pages if page.is_relative_to(ROOT / "docs")} - linked, set())

    def test_the_readme_is_short(self):
        self.assertLessEqual(len(self.pages[ROOT / "README.md"].splitlines()), MAX_LINES_OF_README)

    def test_paths_exist(self):
        for page, text in self.pages.items():
            named = {span for span, _ in code(text) if PATHS.fullmatch(span)}
            self.assertEqual({path for path in named if not (ROOT / path).exists()}, set(), page)

    def test_make_targets_exist(self):
        targets = set(
            re.findall(r"[\w-]+", " ".join(re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)))
        )
        for page, text in self.pages.items():
            lines = [span or line for span, line in code(text)]
            named = {target for line in lines for target in re.findall(r"(?:^|\$ )make ([a-z][a-z-]+)", line)}
            self.assertEqual(named - targets, set(), page)

    def test_broken_links_are_reported(self):
        one, other = ROOT / "README.md", ROOT / "LICENSE"
        pages = {
            one: "# A `b`, c\n# A b c\n[a](#a-b-c) [b](#a-b-c-1) [c](#d) [d](none.md) [e](LICENSE#part) `[f](f.md)`",
            other: "## Part\n\n```\n# Comment\n```\n[g](README.md#comment) [h](https://example.com/#x)",
        }
        problems = ["README.md: README.md has no anchor d", "README.md: none.md does not exist"]
        self.assertEqual(list(broken_links(pages)), [*problems, "LICENSE: README.md has no anchor comment"])


if __name__ == "__main__":
    unittest.main()
