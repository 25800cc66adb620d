"""Reports phrases that this project avoids, and long sentences, in pages, comments and messages.

    test_language.py [PATH...]

reads the files at these paths, or all files. Prints `file:line: problem` for each, and exits with 1 if there are any.
`_typos.toml` has the single words that this project avoids.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = ["*.md", "src", "ops", "tests", "template.yaml", "Makefile", "Cargo.toml", ".cargo", ".ci"]
MAX_WORDS = 25

# What to write instead of each phrase.
ANYWHERE = {
    r"(?:are|be|been|is|was|were) told": "is reported, is logged, is notified",
    r"(?:are|be|been|is|stays?|was|were) taken": "is accepted, is treated as, is in use",
    r"(?:AWS|CloudFormation|IoT|Lambda|S3|Signer) takes?": "accepts, supports, requires",
    r"(?:are|has|have|is) (?:of )?no use": "cannot be used",
    r"of use": "useful, valid",
    r"(?:came|comes?|coming) (?:of|to)": "results in, becomes, is",
    r"(?:be|being) had": "is available",
    r"(?:what|as it|as they) (?:is|are|was|were) (?:given|meant|said)": "the request, the value, as requested",
    r"(?:are|be|been|is|was|were) asked": "is requested, is called",
    r"there (?:are|is) none": "is missing, does not exist",
    r"breaks? off": "is truncated",
}
# Where a sentence, a cell or an item of a list starts.
AT_START = {
    r"Whether": "Returns whether …, or a noun phrase",
    r"(?:That|Those) of": "the noun itself",
    r"The same (?:of|for|as)": "the noun itself",
    r"How long (?:after|before|until)": "the delay, the margin",
}
# Where a comment or a description starts.
AT_START_OF_COMMENTS = {r"What|Who": "a verb or a noun phrase: Returns …, The …"}


def compiled(phrases, form):
    return [(re.compile(form % phrase, re.IGNORECASE), instead) for phrase, instead in phrases.items()]


PHRASES = compiled(ANYWHERE, r"\b(?:%s)\b")
STARTS = compiled(AT_START, r"^(?:%s)\b")
SUMMARIES = compiled(AT_START_OF_COMMENTS, r"^(?:%s)\b")


def paragraphs(lines):
    """Yields the first line number and the text of each paragraph, item and table cell of Markdown; skips code."""
    held, is_fenced, is_code = None, False, False
    for number, line in [*lines, (0, "")]:
        text = line.strip()
        item = re.match(r"(?:[-*>]|\d+\.) +", text)
        if text.startswith("```"):
            is_fenced, text = not is_fenced, ""
        is_code = bool(text) and (is_fenced or (line.startswith("    ") and not item and (is_code or not held)))
        if held and text and not is_code and not item and text[0] not in "|#":
            held = (held[0], f"{held[1]} {text}")
            continue
        if held:
            yield held
        held = None
        if is_code or not text:
            continue
        if text.startswith("|"):
            yield from ((number, cell.strip(" :-")) for cell in re.split(r"(?<!\\)\|", text))
        elif text.startswith("#"):
            yield number, text.strip("# ")
        else:
            held = (number, text[item.end() :] if item else text)


def comment_blocks(comments):
    """Joins comments (line, marker, text) on consecutive lines, and yields the lines of each block."""
    block, previous = [], (-1, "")
    for number, marker, text in comments:
        if block and previous != (number - 1, marker):
            yield block
            block = []
        block.append((number, text.removeprefix(" ")))
        previous = (number, marker)
    if block:
        yield block


RUST = re.compile(
    r"""(?P<marker>//[/!]?)(?P<text>[^\n]*)|r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes)|"(?P<string>(?:[^"\\]|\\.)*)"|'(?:[^'\\\n]|\\[^'\n]+)'""",
    re.DOTALL,
)


def rust(source, has_messages):
    comments, strings = [], []
    tests = re.search(r"^#\[cfg\(test\)\]\nmod \w+ \{", source, re.MULTILINE)
    for found in RUST.finditer(source):
        number = source.count("\n", 0, found.start()) + 1
        if found["marker"]:
            comments.append((number, found["marker"], found["text"]))
        elif has_messages and found["string"] and not (tests and found.start() > tests.start()):
            strings.append((number, re.sub(r"\\\n\s*", "", found["string"])))
    return comments, strings


# Since Python 3.12, the text of an f-string is a token of its own.
STRINGS = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))


def python(source, has_messages):
    comments, strings = [], []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.append((token.start[0], "#", token.string[1:]))
        elif has_messages and token.type in STRINGS:
            strings.append((token.start[0], token.string.strip("frb\"'")))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
            first = node.body[0].lineno
            comments += [(number, f"docstring {first}", line) for number, line in enumerate(text.splitlines(), first)]
    return comments, strings


def hashes(source, has_messages):
    """Returns the comments after `#`, the descriptions of a template, and the texts in double quotes."""
    comments, strings, indent = [], [], None
    for number, line in enumerate(source.splitlines(), 1):
        comment = re.match(r"\s*#(?!!)(.*)", line)
        description = re.match(r"(\s*)\w*Description: (?:[>|]-?$)?(.*)", line)
        if indent is not None and line.startswith(indent):
            comments.append((number, "description", line.strip()))
            continue
        indent = description and description[1] + "  "
        if comment or description:
            comments.append((number, "#" if comment else "description", (comment or description)[comment and 1 or 2]))
        elif has_messages:
            strings += [(number, text) for text in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]
    return comments, strings


READERS = {".rs": rust, ".py": python, ".yaml": hashes, ".toml": hashes, ".sh": hashes, "Makefile": hashes}


def sentences(text):
    """Returns the sentences of a paragraph, without the text of code and the targets of links."""
    text = re.sub(r"(`+).+?\1", "`", text)
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"https?://\S+", "`", text)
    return re.split(r"(?<=[.!?])[\"')*]*\s+(?=[\"'(*`A-Z0-9])", text)


def problems(text, kind):
    """The problems of a paragraph of a page, a comment or a message."""
    for at, sentence in enumerate(sentences(text)):
        plain = sentence.lstrip("\"'(*_ ")
        rules = PHRASES + (STARTS if kind != "message" else []) + (SUMMARIES if kind == "comment" and at == 0 else [])
        for phrase, instead in rules:
            if found := phrase.search(plain):
                yield f"phrase `{found[0]}`: write {instead}"
        words = re.findall(r"[A-Za-zÀ-ÿ][\w’'-]*", plain)
        if kind != "message" and len(words) > MAX_WORDS:
            yield f"sentence of {len(words)} words, at most {MAX_WORDS}: {' '.join(plain.split()[:6])} …"


def findings(name, source):
    """The problems of a file, each with its line."""
    path = Path(name)
    if path.suffix == ".md":
        texts = [(number, text, "page") for number, text in paragraphs(enumerate(source.splitlines(), 1))]
    else:
        has_messages = path.parts[0] in ("src", "ops", "Makefile") and path.name != "tests.rs"
        comments, strings = READERS[path.suffix or name](source, has_messages)
        blocks = comment_blocks(comments)
        texts = [(number, text, "comment") for block in blocks for number, text in paragraphs(block)]
        texts += [(number, text, "message") for number, text in strings if len(text.split()) > 2]
    return [(number, problem) for number, text, kind in sorted(texts) for problem in problems(text, kind)]


def files(paths):
    """Yields the files at these paths that people write, except this file, which quotes the phrases."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in sorted(set(listed) - {"", "tests/test_language.py"}):
        path = ROOT / name
        if path.is_file() and (path.suffix or name) in (".md", *READERS):
            yield name


class LanguageTest(unittest.TestCase):
    def found(self, name, source):
        return [f"{number}: {problem.partition(':')[0]}" for number, problem in findings(name, source)]

    def test_plain_text_passes(self):
        long = "word " * MAX_WORDS
        for name, source in (
            ("a.md", f"# Title\n\n{long}\n\n- {long}\n- {long}\n"),
            ("a.md", f"One `{long}` two.\n\n    code that is told\n\n```\nis told\n```\n"),
            ("a.md", f"| a | {long.strip()} |\n|---|---|\n| {long.strip()} | [a](https://a.b/is.told) |\n"),
            ("src/a.rs", f'/// # Errors\n/// {long}\nlet a = "x"; // Returns whether it fits.\n'),
            ("src/a.rs", f"/// {long.strip()}. 2 more.\n"),
            ("tests/a.py", '"""Reports a result."""\n\nTEXT = "as it was asked"\n'),
        ):
            self.assertEqual(self.found(name, source), [], source)

    def test_phrases_are_reported_with_their_line(self):
        for name, source, expected in (
            ("a.md", "Fine.\n\nThe\nuser is told. Whether it works.\n", ["3: phrase `is told`", "3: phrase `Whether`"]),
            ("a.md", "- One\n- AWS IoT takes it\n", ["2: phrase `IoT takes`"]),
            ("a.md", "| a |\n|---|\n| That of the job |\n", ["3: phrase `That of`"]),
            ("src/a.rs", "fn a() {}\n/// What is\n/// to be had.\n", ["2: phrase `be had`", "2: phrase `What`"]),
            ("src/a.rs", 'let a = "the profile \\\n    is of no use";\n', ["1: phrase `is of no use`"]),
            ("src/a.rs", '#[cfg(test)]\nmod tests {\n    "it comes to this"\n', []),
            (
                "ops/a.py",
                'show("no job comes of it")  # As it was asked\n',
                ["1: phrase `was asked`", "1: phrase `comes of`"],
            ),
            ("tests/a.py", 'def a():\n    """Makes it.\n\n    It is asked.\n    """\n', ["4: phrase `is asked`"]),
            ("template.yaml", "A:\n  Description: >-\n    Whether it\n    is so.\n", ["3: phrase `Whether`"]),
            ("Makefile", 'a:\n\t@echo "what comes to us"\n', ["2: phrase `comes to`"]),
        ):
            self.assertEqual(self.found(name, source), expected, source)

    def test_long_sentences_are_reported(self):
        long = "word " * (MAX_WORDS + 1)
        for name, source in (("a.md", long), ("src/a.rs", f"// {long[:50]}\n// {long[50:]}"), ("a.py", f"# {long}")):
            self.assertEqual(self.found(name, source), [f"1: sentence of {MAX_WORDS + 1} words, at most {MAX_WORDS}"])


if __name__ == "__main__":
    passed = unittest.main(argv=sys.argv[:1], exit=False, verbosity=0).result.wasSuccessful()
    found = [
        f"{name}:{number}: {problem}"
        for name in files(sys.argv[1:] or EVERYTHING)
        for number, problem in findings(name, (ROOT / name).read_text())
    ]
    print("\n".join(found))
    sys.exit(bool(found) or not passed)
