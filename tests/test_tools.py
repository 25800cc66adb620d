"""Tests the tools with hostile input: make variables, keys and bucket names, and job documents of others."""

import io
import json
import os
import re
import subprocess
import sys
import unittest
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ops"))

from alive import log_line, printable, show
from operate import readable, sources
from program import ROOT, Failed, run

MAKEFILE = (ROOT / "Makefile").read_text()
USER_VARIABLES = re.search(r"^USER_VARIABLES := ((?:.*\\\n)*.*)$", MAKEFILE, re.M)[1].replace("\\", " ").split()
# Sets the title, clears the screen, moves the cursor, forges a line and reverses the text.
HOSTILE = "firmware/\x1b]0;owned\x07\x1b[2J\x9b1A\r\nFORGED \u202egnp.exe\u2028\x7f\x00.bin"


class MakeTest(unittest.TestCase):
    def test_no_recipe_expands_a_variable_of_the_user(self):
        recipes = [line for line in MAKEFILE.splitlines() if line.startswith("\t")]
        self.assertGreater(len(recipes), 40)
        expanded = {name for line in recipes for name in re.findall(r"(?<!\$)\$[({]([^)}]*)", line)}
        self.assertEqual(
            {name for name in expanded for each in USER_VARIABLES if re.search(rf"\b{each}\b", name)}, set()
        )
        # No other variable reaches a recipe as text.
        internal = {"VENV", "AS_STEP", "LOCAL_CLOUD", "@:torture-%=%"}
        self.assertEqual(expanded - internal, set())

    def test_shell_code_in_a_variable_is_neither_run_nor_part_of_a_recipe(self):
        canary = ROOT / "target/canary"
        canary.parent.mkdir(exist_ok=True)
        canary.unlink(missing_ok=True)
        targets = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[-1].split()) | {"demo", "sbom", "deploy", "event"}
        for value in (f"x; touch {canary}", f"$(shell touch {canary})", f"$(touch {canary})", f"`touch {canary}`"):
            variables = [f"{name}={value}" for name in USER_VARIABLES]
            for target in sorted(targets):
                command = ["make", "--dry-run", "--no-print-directory", target, *variables]
                process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
                self.assertNotIn(str(canary), process.stdout, target)
        self.assertFalse(canary.exists())

    def test_consent_counts_only_on_the_command_line(self):
        show = ["make", "--no-print-directory", "--eval", "show: ; @echo $$RELEASE $$EMPTY $$YES", "show"]
        consent = {"RELEASE": "yes", "EMPTY": "yes", "YES": "yes"}
        shell = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        for arguments, environment, expected in (
            ([], consent, ""),
            ([f"{name}={value}" for name, value in consent.items()], {}, "yes yes yes"),
        ):
            process = subprocess.run(
                [*show, *arguments], cwd=ROOT, env=shell | environment, capture_output=True, text=True
            )
            self.assertEqual((process.stdout.strip(), process.stderr), (expected, ""))

    def test_an_unknown_part_of_the_torture_is_reported(self):
        command, environment = [sys.executable, "tests/torture.py"], os.environ | {"PARTS": "fuzz soak\x1b[2J"}
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(process.returncode, 1)
        self.assertIn(r"✗ PARTS has 'soak\x1b[2J', expected some of: torture-faults ", process.stderr)


class OutputTest(unittest.TestCase):
    def assert_plain(self, text):
        self.assertEqual([letter for letter in text if not letter.isprintable() and letter != "\n"], [])
        self.assertFalse(any(line.lstrip().startswith("FORGED") for line in text.splitlines()), text)

    def test_output_cannot_control_the_terminal(self):
        line = {"level": "ERROR", "timestamp": "now", "key": HOSTILE, "bucket": HOSTILE, HOSTILE: HOSTILE}
        with redirect_stdout(io.StringIO()) as shown:
            show(HOSTILE, HOSTILE, *log_line(line))
            for text in readable(json.dumps(line, ensure_ascii=False)) + readable(HOSTILE):
                print(printable(text, "\t"))
        self.assert_plain(shown.getvalue())

    def test_a_failure_cannot_control_the_terminal(self):
        def fail():
            raise Failed(HOSTILE.replace("\n", " "))

        with self.assertRaises(SystemExit) as end:
            run(fail)
        self.assert_plain(end.exception.code)

    def test_letters_of_all_languages_are_shown(self):
        for text in ("größe.bin", "固件.bin", "прошивка", "🚀", "a b"):
            self.assertEqual(printable(text), text)


class DocumentTest(unittest.TestCase):
    def test_any_job_document_is_accepted(self):
        none = (None, [])
        for document in (
            "",
            "[]",
            "null",
            "1",
            '"text"',
            "{}",
            "no JSON",
            '{"afr_ota": []}',
            '{"afr_ota": {"files": 1}}',
        ):
            self.assertEqual(sources(document), none, document)
        for ota in ({"streamname": 7}, {"files": [1, None, {}, {"update_data_url": []}]}, {"streamname": []}):
            self.assertEqual(sources(json.dumps({"afr_ota": ota})), none, ota)
        self.assertEqual(sources(json.dumps({"afr_ota": {"streamname": "s"}})), ("s", []))
        files = [{"update_data_url": "https://s3/b/k"}, {}]
        self.assertEqual(sources(json.dumps({"afr_ota": {"files": files}})), (None, ["https://s3/b/k"]))


if __name__ == "__main__":
    unittest.main()
