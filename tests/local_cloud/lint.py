"""Runs checkov on template.yaml as AWS SAM transforms it for CloudFormation."""

import json
import subprocess
import sys
import tempfile

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

from cloud import isolate

from program import ROOT, VENV

OPTIONS = ("--framework", "cloudformation", "--compact", "--quiet", "--skip-download")


class NoManagedPolicies:
    """An empty list of managed policies: the template names none, so AWS is not called for the list."""

    def load(self):
        return {}


def transformed():
    """Returns the template as AWS SAM transforms it for CloudFormation."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    template["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://where-sam-deploy/puts-it"
    return transform(template, {}, NoManagedPolicies())


def main():
    isolate()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(transformed(), file)
        file.flush()
        return subprocess.run([VENV / "lint/bin/checkov", "--file", file.name, *OPTIONS]).returncode


if __name__ == "__main__":
    sys.exit(main())
