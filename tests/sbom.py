"""Writes a CycloneDX document of the function's components, checked against the schema and against `cargo tree`.

The environment variable ARCHITECTURE is `x86_64` (the default) or `arm64`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]
TOOL, VERSION = ROOT / ".cargo-tools/bin/cargo-cyclonedx", "0.5.9"


def output_of(*command, **environment):
    environment = os.environ | environment
    process = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if process.returncode:
        sys.exit(f"✗ {' '.join(map(str, command[:3]))} … failed: see its message above")
    return process.stdout


def install():
    if not TOOL.exists() or VERSION not in output_of(TOOL, "cyclonedx", "--version"):
        where = ("--root", ROOT / ".cargo-tools", "--version", VERSION)
        output_of("cargo", "install", "--quiet", "--locked", *where, "cargo-cyclonedx")


def linked(target):
    """Returns name and version of each crate in the function, without those that only build or test it."""
    tree = ("cargo", "tree", "--locked", "--target", target, "--edges", "normal,no-proc-macro", "--prefix", "none")
    lines = output_of(*tree, "--format", "{p}").splitlines()
    return {(name, version.removeprefix("v")) for name, version in (line.split()[:2] for line in lines if line)}


def describe(target):
    """Returns the document of cargo-cyclonedx, without crates of tests and without paths of this machine."""
    written = ROOT / "bootstrap_bin.cdx.json"
    options = ("--format", "json", "--spec-version", "1.5", "--describe", "binaries", "--no-build-deps", "--quiet")
    try:
        epoch = output_of("git", "log", "-1", "--format=%ct").strip()
        output_of(TOOL, "cyclonedx", *options, "--target", target, SOURCE_DATE_EPOCH=epoch)
        document = json.loads(written.read_text().replace(f"path+file://{ROOT}#", ""))
    finally:
        # cargo-cyclonedx describes all binaries of the workspace.
        for each in (*ROOT.glob("*_bin.cdx.json"), *ROOT.glob("tests/**/*_bin.cdx.json")):
            each.unlink()
    crates = linked(target)
    kept = [each for each in document["components"] if (each["name"], each["version"]) in crates]
    names = {each["bom-ref"] for each in [*kept, document["metadata"]["component"]]}
    document["components"] = kept
    document["dependencies"] = [
        each | {"dependsOn": [name for name in each.get("dependsOn", []) if name in names]}
        for each in document["dependencies"]
        if each["ref"] in names
    ]
    return document, crates


def main():
    machines = {"x86_64": "x86_64", "arm64": "aarch64"}
    architecture = os.environ.get("ARCHITECTURE") or "x86_64"
    if architecture not in machines:
        sys.exit(f"✗ ARCHITECTURE is {architecture!a}, expected x86_64 or arm64")
    machine = machines[architecture]
    install()
    document, crates = describe(f"{machine}-unknown-linux-gnu")
    text = json.dumps(document, indent=2) + "\n"
    if wrong := JsonStrictValidator(SchemaVersion.V1_5).validate_str(text):
        sys.exit(f"✗ the document violates the schema of CycloneDX 1.5: {wrong}")
    own = document["metadata"]["component"]
    named = {(each["name"], each["version"]) for each in document["components"]} | {("ota-on-upload", own["version"])}
    if named != crates:
        sys.exit(f"✗ the document and `cargo tree` differ in {sorted(named ^ crates)}")
    if str(ROOT) in text:
        sys.exit(f"✗ the document contains the path {ROOT}")
    path = ROOT / f"target/ota-on-upload-{architecture}.cdx.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    print(f"✓ {path.relative_to(ROOT)} names {len(crates)} crates, and is valid CycloneDX 1.5")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
