"""Checks that the source has every message of the function in docs/operator/troubleshooting.md, without its values."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/operator/troubleshooting.md").read_text()
OWN = ("Rejected releases", "Failed releases", "Invalid settings", "Warnings and skipped uploads")
AWS = "Messages of AWS and of build tools"
SOURCE = "\n".join(
    path.read_text().split("#[cfg(test)]\nmod ")[0]
    for path in sorted((ROOT / "src").rglob("*.rs"))
    if path.name != "tests.rs"
)
# Joins lines like the compiler, and removes quotes that do not belong to a text.
SOURCE = re.sub(r"""\\\n\s*|'\\?"'|^ *//.*""", "", SOURCE, flags=re.M)
CONSTANTS = dict(re.findall(r'const (\w+): &str = "([^"]*)";', SOURCE))
TEXTS = [
    re.sub(r"\{(\w*)[^}]*\}", lambda field: CONSTANTS.get(field.group(1), "…"), text)
    for text in re.findall(r'"((?:[^"\\]|\\.)*)"', SOURCE)
]


def entries(section):
    """Returns the groups of messages in a section, each with the start of its explanation."""
    (text,) = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return re.findall(r"((?:^    .+\n)+)\n(\S.+)", text, re.M)


def fragments(text):
    """Returns the parts of a text between its values, and between the texts that it is made of."""
    parts = re.split(r"`[^`]*`|…|: |; |, expected |, ", text)
    return [part.strip(" ,;()") for part in parts if re.search("[a-z]{3}", part)]


def is_in_source(text):
    return all(any(part in source for source in TEXTS) for part in fragments(text))


class Troubleshooting(unittest.TestCase):
    def test_every_message_of_the_function_is_in_its_source(self):
        groups = [texts for section in OWN for texts, _ in entries(section)]
        texts = [line.strip() for group in groups for line in group.splitlines()]
        self.assertGreater(len(texts), 70)
        for text in texts:
            with self.subTest(text):
                self.assertTrue(fragments(text))
                self.assertTrue(is_in_source(text))

    def test_there_are_at_least_twenty_entries(self):
        own, aws = [entry for section in OWN for entry in entries(section)], entries(AWS)
        self.assertGreaterEqual(len(own) + len(aws), 20)
        self.assertGreater(len(aws), 5)

    def test_a_message_that_is_not_in_the_source_is_reported(self):
        for text in (
            "looking up the traget `…`",
            "the signing profile `…` is of use: it is …",
            "conflict: … was replaced",
        ):
            self.assertFalse(is_in_source(text), text)


if __name__ == "__main__":
    unittest.main()
