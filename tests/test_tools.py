"""Tests the tools with wrong and hostile input: make variables, keys and bucket names, and job documents of others."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ops"))

import object_tags
import usage
import watched
from alive import log_line, printable, show
from operate import readable, sources
from program import ROOT, Failed, Rejected, run

MAKEFILE = (ROOT / "Makefile").read_text()
# Without the lists of test programs, which only `make test` starts.
TARGETS = " ".join(re.findall(r"^\.PHONY: ([^$\n]*)$", MAKEFILE, re.M)).split()
USES = {target: variables for rows in usage.sections().values() for target, variables, _ in rows}
USER_VARIABLES = sorted({name for variables in USES.values() for name in variables})
# The environment of a user without credentials, region and variables of make.
SHELL = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("MAKE", "MFLAGS", "AWS_")) and name not in USER_VARIABLES
} | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
# Sets the title, clears the screen, moves the cursor, forges a line and reverses the text.
HOSTILE = "firmware/\x1b]0;owned\x07\x1b[2J\x9b1A\r\nFORGED \u202egnp.exe\u2028\x7f\x00.bin"


def make(*arguments, **environment):
    """Runs make, without the recipes of targets except for `help` and `need`; returns its exit code and its output."""
    command = ["make", "--no-print-directory", *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=SHELL | environment, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


class MakeTest(unittest.TestCase):
    def test_help_has_at_most_25_lines_of_100_columns(self):
        code, output = make("help")
        self.assertEqual(code, 0, output)
        self.assertLessEqual(len(output.splitlines()), 25)
        self.assertEqual([line for line in output.splitlines() if len(line) > 100], [])
        self.assertIn("make help-all", output)
        self.assertEqual(make()[1], output)

    def test_help_all_explains_every_target_variable_and_exit_code(self):
        code, output = make("help-all")
        self.assertEqual(code, 0, output)
        self.assertEqual([line for line in output.splitlines() if len(line) > 100], [])
        self.assertEqual(re.findall(r"^  make (\S+) ", output, re.M), list(USES))
        self.assertEqual(sorted(USES), sorted(TARGETS))
        self.assertEqual(list(usage.VARIABLES), USER_VARIABLES)
        for name in USER_VARIABLES:
            self.assertRegex(output, rf"\n  {name} +\S+")
        for code in ("0", "1", "3", "130"):
            self.assertRegex(output, rf"\n  {code} +\w+")

    def test_an_unknown_variable_is_refused_with_the_nearest_one(self):
        for arguments, name, near in (
            (["destroy", "STAK=exist"], "STAK", "STACK"),
            (["STAK=exist", "destroy"], "STAK", "STACK"),
            (["-n", "destroy", "STAK=exist"], "STAK", "STACK"),
            (["-i", "-k", "destroy", "STAK=exist"], "STAK", "STACK"),
            (["-n", "destroy", "STACKS = exist"], "STACKS", "STACK"),
            (["-n", "destroy", "stack:=exist"], "stack", "STACK"),
            (["-n", "destroy", "YESS+=yes"], "YESS", "YES"),
            (["-n", "demo", "TAG=ota:thing-group=lab"], "TAG", "TAGS"),
            (["-n", "demo", "FIRMWARE_PATH=x"], "FIRMWARE_PATH", "FIRMWARE"),
            (["-n", "sbom", "ARCH=arm64"], "ARCH", "ARCHITECTURE"),
            (["-n", "deploy", "PARAMETER=a=b"], "PARAMETER", "PARAMETERS"),
            (["-n", "invoke-cargo", "ENVVARS=a"], "ENVVARS", "ENV_VARS"),
            (["-n", "invoke", "env-vars=a"], "env-vars", "ENV_VARS"),
            (["-n", "torture", "PART=fuzz"], "PART", "PARTS"),
            (["-n", "redrive", "PATIENC=1"], "PATIENC", "PATIENCE"),
            (["-n", "zip", "logs", "SINC=1h"], "SINC", "SINCE"),
            (["-n", "STAK=exist"], "STAK", "STACK"),
        ):
            code, output = make(*arguments)
            self.assertEqual(code, 2, output)
            self.assertEqual(output.splitlines()[0], f"✗ unknown variable `{name}`: did you mean `{near}`?")
            self.assertRegex(output, r"^.*\nMakefile:\d+: \*\*\* nothing was run\.  Stop\.\n$")

    def test_an_environment_variable_on_the_command_line_is_refused_with_the_right_command(self):
        for name in ("AWS_PROFILE", "AWS_REGION", "CARGO_TARGET_DIR", "SHELL", "V", "ünknown"):
            code, output = make("deploy", f"{name}=x y")
            self.assertEqual(code, 2, output)
            self.assertIn(f"✗ unknown variable `{name}`; make help-all lists all variables.", output)
            self.assertIn(f"write it before the command: {name}=… make deploy\n", output)

    def test_a_target_refuses_each_variable_that_it_does_not_use(self):
        for target, used in USES.items():
            if others := sorted(set(USER_VARIABLES) - set(used)):
                code, output = make("-n", target, *(f"{name}=x" for name in [*others, *used]))
                self.assertEqual(code, 2, target)
                refused = [line for line in output.splitlines() if line.startswith("✗ ")]
                self.assertEqual(len(refused), len(others), output)
                for name in others:
                    self.assertIn(f"✗ `{target}` does not use `{name}`", output)
                for name in used:
                    self.assertIn(f"\n  {name:<13} {usage.VARIABLES[name]}\n", output)

    def test_a_variable_may_belong_to_any_of_several_targets(self):
        self.assertEqual(make("-n", "logs", "zip", "STACK=a b", "PARAMETERS=A='b c'", "KEY=$x")[0], 0)
        self.assertEqual(make("-n", "test", "zip", "PARAMETERS=Architecture=arm64")[0], 0)
        code, output = make("-n", "zip", "fmt", "STACK=x")
        self.assertEqual(code, 2)
        self.assertIn("✗ `zip` and `fmt` do not use `STACK`, only:\n  PARAMETERS ", output)

    def test_an_unknown_target_is_refused_with_the_nearest_one(self):
        for arguments, expected in (
            (["dmeo", "KEEP=yes"], "✗ unknown target `dmeo`: did you mean `make demo`?"),
            (["-n", "logs", "A B=1"], "✗ unknown target `A`; make help-all lists all\n✗ unknown target `B=1`"),
            (["src"], "✗ unknown target `src`; make help-all lists all"),
        ):
            code, output = make(*arguments)
            self.assertEqual(code, 2, output)
            self.assertTrue(output.startswith(expected), output)

    def test_shell_code_in_the_name_of_a_variable_or_target_is_not_run(self):
        canary = ROOT / "target/canary"
        canary.parent.mkdir(exist_ok=True)
        canary.unlink(missing_ok=True)
        for code in (
            "`touch$IFS{0}`",
            "$(touch$IFS{0})",
            "$(shell touch$IFS{0})",
            "';touch$IFS{0};'",
            '";touch$IFS{0};"',
        ):
            code = code.replace("$IFS", "${IFS}").replace("{0}", str(canary))
            for arguments in (["-n", f"A{code}=x", "fmt"], ["-n", f"A{code}:=x", "fmt"], ["STAK=x", f"no-{code}"]):
                self.assertEqual(make(*arguments)[0], 2, arguments)
        self.assertFalse(canary.exists())

    def test_everything_that_is_missing_is_reported_at_once(self):
        def need(*tools, goals=("need",), **variables):
            with tempfile.TemporaryDirectory() as folder:
                for tool in ("bash", "make", "sed", "cut", "sort", *tools):
                    # A version manager may have a script for python3, which needs more tools.
                    program = os.path.realpath(sys.executable) if tool == "python3" else shutil.which(tool)
                    Path(folder, tool).symlink_to(program)
                settings = [f"{name}={value}" for name, value in variables.items()]
                code, output = make(*goals, *settings, PATH=folder)
            return code, [line for line in output.splitlines() if line.startswith("✗ ")]

        code, lines = need()
        missing = [*(f"✗ {tool} is missing" for tool in ("git", "cargo", "cc", "python3")), "✗ Rust "]
        self.assertEqual(code, 2)
        for line, expected in zip(lines, missing, strict=True):
            self.assertTrue(line.startswith(expected), lines)
        code, lines = need("git", "cargo", "rustc", "python3")
        self.assertEqual((code, lines), (2, ["✗ cc is missing"]))
        self.assertEqual(need("git", "cargo", "rustc", "python3", "cc"), (0, []))
        for goals, parts, expected in (
            (("fuzz",), "", ["✗ cc is missing", "✗ c++ is missing"]),
            (("need", "torture"), "", ["✗ cc is missing", "✗ c++ is missing"]),
            (("torture",), "torture-soak fuzz", ["✗ cc is missing", "✗ c++ is missing"]),
            (("torture",), "torture-soak", ["✗ cc is missing"]),
        ):
            found = need("git", "cargo", "rustc", "python3", goals=goals, **({"PARTS": parts} if parts else {}))
            self.assertEqual(found, (2, expected), (goals, parts))

    def test_no_recipe_expands_a_variable_of_the_user(self):
        recipes = [line for line in MAKEFILE.splitlines() if line.startswith("\t")]
        self.assertGreater(len(recipes), 40)
        expanded = {name for line in recipes for name in re.findall(r"(?<!\$)\$[({]([^)}]*)", line)}
        self.assertEqual(
            {name for name in expanded for each in USER_VARIABLES if re.search(rf"\b{each}\b", name)}, set()
        )
        # No other variable reaches a recipe as text.
        internal = {"MAKE", "VENV", "AS_STEP", "PROGRAM", "PYTHON", "TOOLS", "LOCAL_CLOUD", "@F", "@:torture-%=%"}
        self.assertEqual(expanded - internal, set())

    def test_shell_code_in_a_variable_is_neither_run_nor_part_of_a_recipe(self):
        canary = ROOT / "target/canary"
        canary.parent.mkdir(exist_ok=True)
        canary.unlink(missing_ok=True)
        for value in (f"x; touch {canary}", f"$(shell touch {canary})", f"$(touch {canary})", f"`touch {canary}`"):
            for target, used in USES.items():
                command = ["make", "--dry-run", "--no-print-directory", target, *(f"{name}={value}" for name in used)]
                process = subprocess.run(command, cwd=ROOT, env=SHELL, capture_output=True, text=True)
                self.assertNotIn(str(canary), process.stdout, target)
                self.assertEqual(process.returncode, 0, process.stderr)
        self.assertFalse(canary.exists())

    def test_consent_counts_only_on_the_command_line(self):
        show = ["make", "--no-print-directory", "--eval", "USES.show := RELEASE EMPTY YES"]
        show += ["--eval", "show: ; @echo $$RELEASE $$EMPTY $$YES", "show"]
        consent = {"RELEASE": "yes", "EMPTY": "yes", "YES": "yes"}
        shell = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        no_effect = "".join(f"! {name} in the environment has no effect: write it after make\n" for name in consent)
        for arguments, environment, expected in (
            ([], consent, f"{no_effect}\n"),
            ([f"{name}={value}" for name, value in consent.items()], {}, "yes yes yes\n"),
        ):
            process = subprocess.run(
                [*show, *arguments], cwd=ROOT, env=shell | environment, capture_output=True, text=True
            )
            self.assertEqual((process.stdout, process.stderr), (expected, ""))

    def test_an_unknown_part_of_the_torture_is_reported(self):
        command, environment = [sys.executable, "tests/torture.py"], os.environ | {"PARTS": "fuzz soak\x1b[2J"}
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(process.returncode, 1)
        self.assertIn(r"✗ PARTS has 'soak\x1b[2J', expected some of: torture-faults ", process.stderr)

    def test_a_mistake_in_the_variables_of_the_torture_is_no_failed_test(self):
        for variables, expected in (
            ({"PARTS": "soak"}, "Did you mean `torture-soak`?"),
            ({"PARTS": "fuz kil"}, "Did you mean `fuzz torture-kill`?"),
            ({"PARTS": "torture-busrt"}, "Did you mean `torture-burst`?"),
            ({"RUNS": "many"}, "RUNS is 'many', expected a number from 1"),
            ({"SOAK": "5"}, "SOAK is '5', expected a number from 100"),
            ({"BURST": "0"}, "BURST is '0', expected a number from 1"),
            ({"SEED": "-1"}, "SEED is '-1', expected a number from 0"),
        ):
            command = [sys.executable, "tests/torture.py"]
            process = subprocess.run(command, cwd=ROOT, env=SHELL | variables, capture_output=True, text=True)
            self.assertEqual((process.returncode, process.stdout), (1, ""))
            self.assertIn(expected, process.stderr)


class InputTest(unittest.TestCase):
    def fail(self, program, **environment):
        """Runs a program that reports a problem; returns the lines that begin with ✗."""
        command = [sys.executable, ROOT / "ops/launch.py", *program]
        process = subprocess.run(command, cwd=ROOT, env=SHELL | environment, capture_output=True, text=True, input="")
        self.assertEqual(process.returncode, 1, process.stdout + process.stderr)
        self.assertNotIn("Traceback", process.stderr)
        lines = process.stderr.splitlines()
        self.assertTrue(lines and lines[0].startswith("✗ "), process.stderr)
        return lines

    def test_a_mistake_is_reported_in_one_line(self):
        deep = ROOT / "target/deep.json"
        deep.parent.mkdir(exist_ok=True)
        deep.write_text("[" * 100_000)
        self.addCleanup(deep.unlink)
        demo, zip_, logs = ["ops/demo.py"], ["ops/operate.py", "zip"], ["ops/operate.py", "logs"]
        cargo, attach, destroy = ["ops/replay.py", "cargo"], ["ops/attach.py"], ["ops/operate.py", "destroy"]
        for program, environment, expected in (
            (demo, {"TAGS": "&".join(f"ota:{at}=x" for at in range(11))}, "TAGS has 11 tags, expected at most 10"),
            (demo, {"TAGS": "ota:start=now&ota:start=1h"}, "TAGS has the tag `ota:start` 2 times"),
            (demo, {"TAGS": f"ota:thing-group={'x' * 257}"}, "TAGS has 257 characters in the value of the tag"),
            (demo, {"TAGS": f"{'k' * 129}=x"}, "TAGS has 129 characters in the key of the tag"),
            (demo, {"TAGS": "ota:thing-group=lab%3B"}, "TAGS has ';' in the value of the tag `ota:thing-group`"),
            (demo, {"TAGS": "=x"}, "TAGS has 0 characters in the key of the tag"),
            (demo, {"DEVICES": "0"}, "DEVICES is `0`, expected a number from 1 to 100"),
            (demo, {"DEVICES": "101"}, "DEVICES is `101`, expected a number from 1 to 100"),
            (demo, {"DEVICES": "²"}, "DEVICES is `²`, expected a number from 1 to 100"),
            (demo, {"FAULT": "flop"}, "FAULT is `flop`, expected `flip`, or nothing for no fault"),
            (demo, {"TAGS": "AWS:x=x"}, "S3 allows no keys that begin with `aws:`"),
            (demo, {"KEY": "x" * 1020}, "the key of the upload has 1029 bytes, expected 1 to 1024 bytes"),
            (cargo, {"EVENT": "put", "TAGS": "ota:thing-group=\udcff"}, "expected UTF-8 instead of"),
            (cargo, {"EVENT": deep}, "cannot be read: maximum recursion depth exceeded"),
            (cargo, {"EVENT": "put", "ENV_VARS": deep}, "RecursionError('maximum recursion depth exceeded"),
            (logs, {"AWS_ENDPOINT_URL": "bad", "AWS_REGION": "us-east-1"}, "an environment variable of AWS is invalid"),
            (demo, {"KEY": "firmware/"}, "the key of the upload is empty"),
            (demo, {"KEY": "\udcff.bin"}, "expected UTF-8 instead of 'firmware/\\udcff.bin'"),
            (demo, {"FIRMWARE": "docs"}, "cannot read FIRMWARE"),
            (demo, {"DEVICES": "101"}, "DEVICES is `101`, expected a number from 1 to 100"),
            (demo, {"FAULT": "flop"}, "FAULT is `flop`, expected `flip`"),
            (cargo, {"EVENT": "put", "MODE": "local-cloud", "TAGS": "a=1&a=2"}, "TAGS has the tag `a` 2 times"),
            (cargo, {"EVENT": "pt"}, "did you mean EVENT=events/put.json?"),
            (cargo, {"EVENT": "events/manifst.json"}, "did you mean EVENT=events/manifest.json?"),
            (cargo, {"EVENT": "docs"}, "the event docs cannot be read"),
            (cargo, {"EVENT": "put", "MANIFEST": "x.ota.json"}, "which names no ….ota.json: use events/manifest.json"),
            (cargo, {"EVENT": "manifest", "MANIFEST": "docs"}, "the manifest docs cannot be read"),
            (cargo, {"EVENT": "put", "MODE": "account", "RELEASE": "no"}, "RELEASE is `no`, expected `yes`"),
            (zip_, {"PARAMETERS": "BucketName='x"}, "PARAMETERS has an open quote"),
            (zip_, {"PARAMETERS": "docs"}, "the file in PARAMETERS cannot be read"),
            (zip_, {"PARAMETERS": "target/debug/bootstrap"}, "the file in PARAMETERS cannot be read"),
            (zip_, {"PARAMETERS": "Architecture=mips"}, "Architecture is `mips`, expected x86_64 or arm64"),
            (zip_, {"PARAMETERS": "architecture=arm64"}, "did you mean `Architecture`?"),
            (logs, {"SINCE": "9" * 30 + "d"}, "expected minutes, hours or days"),
            (logs, {"SINCE": "99999d", "FOLLOW": "true"}, "FOLLOW is `true`, expected `yes`"),
            (attach, {"YES": "y"}, "YES is `y`, expected `yes`"),
            (destroy, {"YES": "true"}, "YES is `true`, expected `yes`"),
            (destroy, {"EMPTY": "1"}, "EMPTY is `1`, expected `yes`"),
            (["ops/operate.py", "redrive"], {"PATIENCE": "long"}, "PATIENCE is `long`, expected seconds"),
            (["ops/replay.py", "event"], {"KEY": "firmware/a.bin"}, "BUCKET or KEY is missing"),
        ):
            with self.subTest(expected):
                (line,) = self.fail(program, **environment)
                self.assertIn(expected, line)

    def test_problems_of_tags_are_reported_at_once(self):
        lines = self.fail(["ops/demo.py"], TAGS="a=1&a=2&b=%3B")
        self.assertEqual(lines, ["✗ TAGS has the tag `a` 2 times, expected each key once", lines[1]])
        self.assertIn("TAGS has ';' in the value of the tag `b`", lines[1])

    def test_a_missing_account_is_reported_with_the_remedy(self):
        programs = [["ops/operate.py", each] for each in ("deploy", "logs", "redrive", "destroy")]
        programs += [["ops/attach.py"], ["ops/replay.py", "event"], ["ops/replay.py", "cargo"]]
        required = "SigningProfile=a DeployerPrincipals=b AllowedThingGroups=c BucketName=d"
        variables = {"PARAMETERS": required, "BUCKET": "a", "KEY": "b", "EVENT": "put", "MODE": "account"}
        for program in programs:
            for environment, expected in (
                ({}, "no Region is set: put AWS_REGION=… before the command"),
                ({"AWS_REGION": "us-east-1"}, "no complete credentials are set: put AWS_PROFILE=… before the command"),
                ({"AWS_REGION": "us-east-1", "AWS_PROFILE": "nobody"}, "(nobody) could not be found"),
            ):
                with self.subTest((program, expected)):
                    # S3 has a global endpoint.
                    if environment or program[-1] != "event":
                        (line,) = self.fail(program, **variables, **environment)
                        self.assertIn(expected, line)

    def test_each_sample_event_has_a_use(self):
        command = [sys.executable, ROOT / "ops/replay.py", "cargo"]
        listed = subprocess.run(command, cwd=ROOT, env=SHELL, capture_output=True, text=True).stdout
        uses = dict(re.findall(r"^ +EVENT=(events/\S+\.json) +(\S.*)$", listed, re.M))
        samples = {f"events/{file.name}" for file in (ROOT / "events").glob("*.json")}
        self.assertEqual(set(uses), {name for name in samples if not name.endswith(".result.json")})

    def test_limits_of_s3_on_tags(self):
        for header in ("", "a=", "a=b&c=d", f"{'k' * 128}={'v' * 256}", "a+b=%2B%20-=._:/@", "größe=固件", "&a=b&"):
            self.assertEqual(list(object_tags.problems(header)), [], header)
        for header in ("=a", "a=b&a=c", "a=%26", "a=%0A", f"a={'🚀' * 129}", "a&a", "aws:a=b", "a=%00", "a=*"):
            self.assertEqual(len(list(object_tags.problems(header))), 1 + header.count("🚀") // 129, header)


class LogsTest(unittest.TestCase):
    LINE = {"timestamp": "2026-11-24T01:39:23.455301Z", "level": "INFO", "bucket": "b", "key": "firmware/a.bin"}

    def lines(self, line, key=None):
        return readable(json.dumps(self.LINE | line), key)

    def test_the_outcome_of_an_upload_is_one_line(self):
        for line, expected in (
            ({"outcome": "created", "jobId": "AFR_OTA-a", "inspectMs": 3}, "created   firmware/a.bin  AFR_OTA-a"),
            ({"outcome": "rejected", "reasons": "one; two"}, "rejected  firmware/a.bin  one; two"),
            ({"outcome": "skipped", "reason": "no-tags"}, "skipped   firmware/a.bin  no-tags"),
            ({"outcome": "failed", "reasons": "CreateJob: 500"}, "failed    firmware/a.bin  CreateJob: 500"),
            ({"outcome": "skipped", "reason": "other-event", "key": None}, "skipped   other-event"),
        ):
            self.assertEqual(self.lines(line), [f"2026-11-24T01:39:23Z  {expected}"])

    def test_metrics_and_repeated_failures_are_omitted(self):
        self.assertEqual(self.lines({"_aws": {}, "Created": 1}), [])
        repeated = 'Diagnostic { error_type: "ReleaseFailed", error_message: "`firmware/a.bin`: CreateJob: 500" }'
        self.assertEqual(self.lines({"message": repeated, "level": "ERROR"}), [])
        self.assertEqual(readable("START RequestId: 1"), [])

    def test_only_lines_of_the_key_are_shown(self):
        self.assertEqual(len(self.lines({"outcome": "created"}, "a.bin")), 1)
        self.assertEqual(len(self.lines({"outcome": "created"}, "firmware/a.bin")), 1)
        self.assertEqual(self.lines({"outcome": "created"}, "other.bin"), [])
        self.assertEqual(self.lines({"level": "WARN", "message": "as AWS throttles", "key": None}, "a.bin"), [])
        self.assertEqual(readable("a panic", "a.bin"), [])


class WatchTest(unittest.TestCase):
    ERROR = ["error[E0425]: cannot find value `x` in this scope\n", " --> src/main.rs:9:5\n", "\n"]
    FAILED = 'error: could not compile `ota-on-upload` (bin "bootstrap") due to 1 previous error\n'

    def builds(self, folder, *lines):
        with unittest.mock.patch.multiple(watched, KEPT=Path(folder), WATCHED=Path(folder, "watch.json")):
            builds = watched.Builds({"port": 1})
            shown = [line for line in lines if builds.read(line)]
            return shown, json.loads(watched.WATCHED.read_text())["build"]

    def test_the_state_of_the_build_is_read_from_the_output(self):
        compiling, finished = (
            "   Compiling ota-on-upload v0.1.0\n",
            "\x1b[1m\x1b[92m    Finished\x1b[0m `dev` profile\n",
        )
        with tempfile.TemporaryDirectory() as folder:
            for lines, is_done, errors in (
                ([], None, None),
                (["INFO starting Runtime server\n"], None, None),
                ([compiling], False, None),
                ([compiling, finished], True, None),
                ([compiling, finished, "a line of the log\n", compiling], False, None),
                ([compiling, *self.ERROR, self.FAILED], True, "".join([*self.ERROR, self.FAILED])),
                ([compiling, *self.ERROR, self.FAILED, compiling, finished], True, None),
                ([compiling, *self.ERROR, self.FAILED, finished], True, None),
                (["error: failed to parse manifest at `Cargo.toml`\n"], True, "error: failed to parse manifest at"),
            ):
                _, build = self.builds(folder, *lines)
                self.assertEqual(build.get("is_done"), is_done, lines)
                self.assertTrue((build.get("errors") or "").startswith(errors or ""), build)
                self.assertEqual(bool(build.get("errors")), bool(errors), build)

    def test_a_change_during_a_build_starts_the_build_again(self):
        compiling = "   Compiling ota-on-upload v0.1.0\n"
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch("time.time", side_effect=[1, 2]):
            _, build = self.builds(folder, compiling, "   Compiling serde v1.0.0\n", compiling)
        self.assertEqual(build, {"since": 2, "is_done": False})

    def test_a_warning_of_the_runtime_is_not_shown(self):
        warning = "AWS_LAMBDA_MAX_CONCURRENCY is set to '1', but the concurrency-tokio feature is not enabled\n"
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.builds(folder, "one\n", warning, "two\n")[0], ["one\n", "two\n"])


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

        with redirect_stderr(io.StringIO()) as shown, self.assertRaises(SystemExit) as end:
            run(fail)
        self.assertEqual(end.exception.code, 1)
        self.assert_plain(shown.getvalue())

    def test_ctrl_c_during_a_fork_ends_a_program(self):
        code = (
            "import os, signal, program\n"
            "os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
            "program.run(lambda: os.fork() and os.wait())"
        )
        environment = SHELL | {"PYTHONPATH": str(ROOT / "ops")}
        ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        self.assertEqual((ended.returncode, ended.stderr), (130, ""))

    def test_a_rejection_has_an_exit_code_of_its_own(self):
        def reject():
            raise Rejected("the release is rejected")

        with redirect_stderr(io.StringIO()) as shown, self.assertRaises(SystemExit) as end:
            run(reject)
        self.assertEqual((end.exception.code, shown.getvalue()), (3, "✗ the release is rejected\n"))

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
