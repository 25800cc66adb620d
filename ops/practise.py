"""`make cloud`: a local cloud with the deployed stack, on which to practise the commands of the documentation.

The environment variable TAGS has tags whose targets and package versions are created, as for `make demo`.
"""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/local_cloud"))

from cloud import (
    ALLOWED_THING_GROUPS,
    CREDENTIALS,
    REGION,
    THING_GROUP,
    THINGS,
    Cloud,
    create_thing_group,
    tags_of_uploads,
)

from alive import rows, show, step
from program import KEPT, ROOT, TARGET, Failed, run, spawn, stop
from stack import STACK, built, client

FLEET = "fleet"
FLEET_THINGS = [f"fleet-device-{number:02}" for number in range(1, 11)]
ENVIRONMENT = KEPT / "environment.sh"
LIMITATIONS = (
    "A job starts at once, whatever its schedule. Failed executions are not retried.",
    "Devices are only names. You report for them, with `aws iot-jobs-data`.",
    "E-mails are not sent. Log queries are not saved. Tags that are added after the upload raise no event.",
)


def main():
    with kept() as keep, ExitStack() as stack:
        with everything_built():
            cloud = stack.enter_context(Cloud())
            with step("create certificate, signing profile, thing groups and things"):
                cloud.provision(tags_of_uploads())
                for thing in FLEET_THINGS:
                    client("iot").create_thing(thingName=thing)
                create_thing_group(FLEET, FLEET_THINGS)
            with step("sam deploy"):
                cloud.deploy(AllowedThingGroups=f"{ALLOWED_THING_GROUPS},{FLEET}")
        keep(cloud)


@contextmanager
def everything_built():
    """Builds the local cloud during `sam build`, whose last steps leave a core idle."""
    command = ["cargo", "build", "--locked", "--package", "local-cloud"]
    local_cloud = spawn(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        with built("build the function, with sam build"):
            with step("build the local cloud"):
                output, _ = local_cloud.communicate()
                if local_cloud.returncode:
                    raise Failed(f"{' '.join(command)} failed:\n{output}")
            yield
    finally:
        stop(local_cloud)


@contextmanager
def kept():
    """Yields a function that keeps a local cloud until Ctrl-C. Fails if another is already kept."""
    KEPT.mkdir(exist_ok=True)
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file, state = ENVIRONMENT.relative_to(ROOT), "running" if ENVIRONMENT.exists() else "starting"
            raise Failed(f"a local cloud is already {state}: source {file}, or end it with Ctrl-C") from None
        try:
            yield keep
        finally:
            ENVIRONMENT.unlink(missing_ok=True)


def keep(cloud):
    """Describes a local cloud with its stack, and waits for Ctrl-C."""
    ENVIRONMENT.write_text(environment(cloud))
    bucket = cloud.outputs["BucketName"]
    show("Local cloud", *rows({"stack": STACK, "bucket": bucket} | thing_groups()))
    show(
        "In another terminal, in this folder",
        f". {ENVIRONMENT.relative_to(ROOT)}",
        "make ota    # builds the program `ota`, in about three minutes",
        f"ota upload README.md --key firmware/blinky-1.1.0.bin --to {THING_GROUP} --start now --wait",
        f"aws s3api put-object --bucket {bucket} --key firmware/blinky-1.2.0.bin --body README.md \\",
        f"    --tagging 'ota:thing-group={THING_GROUP}&ota:start=now'",
        "make logs",
        "aws iot list-jobs --query 'jobs[].[jobId, status]' --output text",
        "ota watch blinky-1.1.0.bin    # and ota devices, ota cancel, ota delete",
        f"aws iot-jobs-data update-job-execution --job-id AFR_OTA-… --thing-name {THINGS[0]} --status SUCCEEDED",
    )
    show("What MiniStack lacks", *LIMITATIONS)
    print("\nCtrl-C deletes this cloud and everything in it.", flush=True)
    while True:
        signal.pause()


def thing_groups():
    """Returns the things of each thing group."""
    iot = client("iot")
    groups = iot.get_paginator("list_thing_groups").paginate().search("thingGroups[].groupName")
    things = iot.get_paginator("list_things_in_thing_group")
    return {name: ", ".join(sorted(things.paginate(thingGroupName=name).search("things[]"))) for name in groups}


def environment(cloud):
    """Returns the shell commands that point the AWS CLI and `make` to a local cloud, and to nothing else."""
    variables = CREDENTIALS | {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_PAGER": "",
        "NO_PROXY": os.environ["NO_PROXY"],
        "SAM_CLI_POLL_DELAY": os.environ["SAM_CLI_POLL_DELAY"],
    }
    return (
        "# Source this file: the AWS CLI and `make` then use the local cloud, until the end of the shell.\n"
        "unset $(env | sed -n 's/^\\(AWS_[A-Z0-9_]*\\)=.*/\\1/p')\n"
        + "".join(f"export {name}={value}\n" for name, value in variables.items())
        + f'export PATH="{TARGET / "ota"}:$PATH"\n'
        + "# The AWS CLI reads AWS_ENDPOINT_URL from version 2.13 on.\n"
        + 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }\n'
    )


if __name__ == "__main__":
    run(main)
