"""Tests the folder of `make dist`: deploys from it with the AWS CLI alone, by the commands of its instructions."""

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from cloud import ALLOWED_THING_GROUPS, BUCKET, DEPLOYER, SIGNING_PROFILE, Cloud

import dist
import operate
from program import ROOT, Failed, run
from stack import STACK, architecture, client

ARCHITECTURE = architecture(platform.machine())
# All that the instructions need.
PROGRAMS = ("aws", "sha256sum", "openssl")
DEPLOYMENTS = "deployments"
REPLACED = {
    "arch=x86_64": f"arch={ARCHITECTURE}",
    "my-deployments": DEPLOYMENTS,
    "BucketName=my-firmware": f"BucketName={BUCKET}",
    "SigningProfile=OtaSigning": f"SigningProfile={SIGNING_PROFILE}",
    "AllowedThingGroups=lab": f"AllowedThingGroups={ALLOWED_THING_GROUPS}",
    # MiniStack does not support saved queries.
    "arn:aws:iam::111122223333:role/firmware-ci": f"{DEPLOYER} SavedQueries=false",
}

# The AWS CLI reads AWS_ENDPOINT_URL from version 2.13 on. `cloudformation package` also ignores --endpoint-url.
PLUGIN = """
import os


def awscli_initialize(cli):
    cli.register("session-initialized", use_endpoint)


def use_endpoint(session, **_):
    create = session.create_client

    def create_client(*service, **options):
        options["endpoint_url"] = options.get("endpoint_url") or os.environ["AWS_ENDPOINT_URL"]
        return create(*service, **options)

    session.create_client = create_client
"""


def make_dist():
    subprocess.run([sys.executable, ROOT / "ops/dist.py"], cwd=ROOT, check=True)
    return {path.name: path.read_bytes() for path in dist.DIST.iterdir()}


class Dist(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = make_dist()

    def test_the_folder_is_the_same_each_time_and_has_the_zip_of_make_zip(self):
        self.assertEqual(make_dist(), self.files)
        with operate.archived(ARCHITECTURE) as (path, _):
            self.assertEqual(self.files[f"ota-on-upload-{ARCHITECTURE}.zip"], path.read_bytes())
        for text in (self.files[f"template-{ARCHITECTURE}.yaml"], self.files["README.md"]):
            self.assertNotIn(str(ROOT).encode(), text)

    def test_the_instructions_deploy_a_function_that_releases(self):
        with tempfile.TemporaryDirectory() as scratch, Cloud() as cloud:
            cloud.provision()
            client("s3").create_bucket(Bucket=DEPLOYMENTS)
            folder, programs = Path(scratch, "dist"), Path(scratch, "bin")
            shutil.copytree(dist.DIST, folder)
            programs.mkdir()
            for name in PROGRAMS:
                Path(programs, name).symlink_to(found(name))
            script = self.instructions(folder)
            shell = [shutil.which("bash"), "--norc", "-euo", "pipefail", "-c", script]
            environment = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "NO_PROXY"))}
            environment |= {"PATH": str(programs), "HOME": scratch, "AWS_CONFIG_FILE": str(configuration(scratch))}
            answer = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True)
            self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)

            zipped = self.files[f"ota-on-upload-{ARCHITECTURE}.zip"]
            digest = base64.b64encode(hashlib.sha256(zipped).digest()).decode()
            self.assertEqual(answer.stdout.splitlines()[-2:], [digest, digest])
            (stack,) = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
            cloud.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
            key = "firmware/blinky.bin"
            outcome = cloud.outcome(key, cloud.upload(key, b"image", "ota:thing-group=lab"))
            self.assertEqual(outcome["outcome"], "created", outcome)

    def instructions(self, folder):
        """Returns the commands of the instructions, with the names of the local cloud."""
        script = "\n".join(re.findall("^       (.*)$", Path(folder, "README.md").read_text(), re.M))
        for documented, used in REPLACED.items():
            self.assertIn(documented, script)
            script = script.replace(documented, used)
        return script


def configuration(folder):
    """Returns a configuration of the AWS CLI with which all its clients use AWS_ENDPOINT_URL."""
    Path(folder, "local_endpoint.py").write_text(PLUGIN)
    path = Path(folder, "config")
    path.write_text(f"[plugins]\ncli_legacy_plugin_path = {folder}\nendpoint = local_endpoint\n")
    return path


def found(name):
    """Returns the path of a program outside of the virtual environments, if it is installed."""
    folders = [each for each in os.environ["PATH"].split(os.pathsep) if ".venv" not in each]
    return shutil.which(name, path=os.pathsep.join(["/usr/bin", "/bin", *folders]))


def main():
    if missing := [name for name in PROGRAMS if not found(name)]:
        raise Failed(f"missing: {', '.join(missing)} (Debian: awscli, coreutils, openssl)")
    return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
