"""`make dist`: a folder with which an operator deploys the stack by the AWS CLI alone.

The folder has files for each architecture whose Rust target is installed: the zip of `make zip`, a template for
it, and the list of components. It also has instructions and checksums.
"""

import hashlib
import platform
import re
import shutil
from pathlib import Path

from alive import rows, show, step
from operate import archived
from program import ROOT, VENV, Failed, output_of, run
from stack import TARGETS, architecture

DIST = ROOT / "dist"
INSTRUCTIONS = ROOT / "docs/operator/dist.md"


def main():
    # This machine's function is built last, so that it stays in .aws-sam for other commands.
    this_machine = architecture(platform.machine())
    architectures = sorted(filter(is_installed, TARGETS), key=lambda name: name == this_machine)
    if this_machine not in architectures:
        raise Failed(f"the Rust target of {this_machine} is missing")
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    for name in architectures:
        with archived(name) as (path, _):
            shutil.copyfile(path, DIST / f"ota-on-upload-{name}.zip")
        (DIST / f"template-{name}.yaml").write_text(template(name))
        with step(f"list the components, for {name}"):
            output_of("env", f"ARCHITECTURE={name}", VENV / "sbom/bin/python", ROOT / "tests/sbom.py")
        shutil.copy(ROOT / f"target/ota-on-upload-{name}.cdx.json", DIST)
    shutil.copyfile(INSTRUCTIONS, DIST / "README.md")
    files = sorted(DIST.iterdir())
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (DIST / "SHA256SUMS").write_text(sums)
    show(f"{DIST.relative_to(ROOT)}/", *rows({path.name: f"{path.stat().st_size:,} bytes" for path in DIST.iterdir()}))
    for name in sorted(set(TARGETS) - set(architectures)):
        print(f"\nWithout {name}: its Rust target is not installed (rustup target add {TARGETS[name]}).")


def is_installed(name):
    """Returns whether the standard library for an architecture is installed."""
    return Path(output_of("rustc", "--print", "target-libdir", "--target", TARGETS[name]).strip()).is_dir()


def template(name):
    """Returns the template for the zip of one architecture."""
    text = (ROOT / "template.yaml").read_text()
    for before, after in (
        (r"^      CodeUri: \.$", f"      CodeUri: ota-on-upload-{name}.zip"),
        (r"^      BuildMethod: rust-cargolambda\n      BuildProperties:\n        Binary: bootstrap\n", ""),
        (
            r"^    Default: x86_64\n    AllowedValues: \[x86_64, arm64\]$",
            f"    Default: {name}\n    AllowedValues: [{name}]",
        ),
    ):
        text, count = re.subn(before, after, text, flags=re.M)
        if count != 1:
            raise Failed(f"template.yaml has {count} times what `make dist` replaces: {before}")
    return text


if __name__ == "__main__":
    run(main)
