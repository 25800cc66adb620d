"""The local cloud: MiniStack, behind a front that adds IoT streams and packages, set up like an account.

    cloud.py serve

starts it, prints its addresses and names as one line of JSON, and stops it when standard input ends.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ops"))

import object_tags
from alive import step
from program import KEPT, ROOT, TARGET, THIS_MACHINE, VENV, Failed, free_port, run, spawn, stop
from stack import STACK, built, client, failures, sam

REGION = "us-east-1"
ACCOUNT = "123456789012"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
BUCKET = "firmware-releases"
SIGNING_PROFILE = "firmware_signing"
CERTIFICATE_ON_DEVICE = "code-signing.pem"
ALLOWED_THING_GROUPS = "lab,lab-*"
ALLOWED_THINGS = "lab-*"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:user/firmware-ci"
THING_GROUP = "lab"
THINGS = ("lab-device-1", "lab-device-2", "lab-device-3")
# The package versions of the sample manifest.
PACKAGE_VERSIONS = ("gateway-app:2.1.0", "gateway-radio:0.9.4")
# Stacks can allow this profile, so that a release fails until the profile exists.
PROFILE_TO_COME = "profile_to_come"


class Cloud:
    """A running local cloud, as a context manager that removes everything at its end.

    `host` is the address of this machine that clients use.
    """

    def __init__(self, host=THIS_MACHINE):
        self.host = host

    def __enter__(self):
        ministack, front = VENV / "ministack/bin/python", TARGET / "debug/iot-streams"
        for program, target in [(ministack, "setup"), (front, "local-cloud")]:
            if not program.exists():
                raise Failed(f"{program} is missing: run `make {target}`")

        self.handlers = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        self.scratch = Path(tempfile.mkdtemp(prefix="local-cloud-"))
        self.log = self.scratch / "ministack.log"
        self.children = []
        isolate()
        try:
            self._start(front, ministack)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def _start(self, front, ministack):
        upstream = f"http://127.0.0.1:{free_port()}"
        process = self._spawn(
            [front, upstream, ACCOUNT, self.host],
            **{"env": os.environ | CREDENTIALS, "stdout": subprocess.PIPE, "text": True},
        )
        with process.stdout:
            address = process.stdout.readline().strip()
        if not address:
            raise Failed(f"the local cloud cannot listen on {self.host}: is that an address of this machine?")
        self.endpoint = f"http://{address}"
        reach(self.endpoint)
        self.broker_port = free_port()
        settings = {
            "GATEWAY_PORT": upstream.rpartition(":")[2],
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "STATE_DIR": str(self.scratch),
            "TMPDIR": str(self.scratch),
            "IOT_MTLS_PORT": str(self.broker_port),
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
            # Functions have only the permissions of their roles.
            "AUTH": "true",
            # Lambda passes LoggingConfig in this variable; MiniStack passes its own environment.
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
        }
        with self.log.open("w") as log:
            # -P: modules of this folder cannot replace modules of MiniStack.
            program = [ministack, "-P", ROOT / "tests/local_cloud/start_ministack.py"]
            process = self._spawn(program, env=os.environ | settings, stdout=log, stderr=log)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{upstream}/_ministack/ready", timeout=5).close()
                return
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        raise Failed(f"MiniStack did not start:\n{self.log.read_text()[-2000:]}")

    def __exit__(self, kind, *_):
        for sign in self.handlers:  # a second Ctrl-C must not interrupt the cleanup
            signal.signal(sign, signal.SIG_IGN)
        for process in reversed(self.children):
            stop(process)
        isolate()
        if kind and issubclass(kind, Exception) and self.log.exists():
            KEPT.mkdir(exist_ok=True)
            kept = shutil.copy(self.log, KEPT / f"{self.scratch.name}.log")
            print(f"MiniStack's log is kept in {kept}", file=sys.stderr)
        shutil.rmtree(self.scratch, ignore_errors=True)
        for sign, handler in self.handlers.items():
            signal.signal(sign, handler)

    def _spawn(self, command, **options):
        process = spawn(command, **options)
        self.children.append(process)
        return process

    def provision(self, tags="", things=THINGS):
        """Creates what a deployment requires of the account: certificate, signing profile, things in groups, packages.

        `things` are in the thing group `lab`. Also creates the allowed targets and the package versions in `tags`,
        which have the form of the x-amz-tagging header.
        """
        things = {*things, *_allowed(tags, "ota:thing", ALLOWED_THINGS)}
        thing_groups = {THING_GROUP, *_allowed(tags, "ota:thing-group", ALLOWED_THING_GROUPS)}
        self.certificate, key = self_signed_certificate()
        arn = client("acm").import_certificate(Certificate=self.certificate, PrivateKey=key)["CertificateArn"]
        client("signer").put_signing_profile(
            profileName=SIGNING_PROFILE,
            platformId="AWSIoTDeviceManagement-SHA256-ECDSA",
            signingMaterial={"certificateArn": arn},
            signingParameters={"certname": CERTIFICATE_ON_DEVICE},
        )
        for thing in things:
            client("iot").create_thing(thingName=thing)
        for group in thing_groups:
            create_thing_group(group, things)
        publish(*PACKAGE_VERSIONS, *" ".join(parse_qs(tags).get("ota:package-version", [])).split())

    def without_stack(self, bucket):
        """Creates the bucket and the OTA role that a stack would have; returns the ARN of the role."""
        s3 = client("s3")
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        return client("iam").create_role(RoleName="ota", AssumeRolePolicyDocument=policy)["Role"]["Arn"]

    def deploy(self, **parameters):
        """Runs `sam deploy` as for production; returns the outputs of the stack."""
        parameters = {
            "BucketName": BUCKET,
            "SigningProfile": SIGNING_PROFILE,
            "DeployerPrincipals": DEPLOYER,
            "AllowedThingGroups": ALLOWED_THING_GROUPS,
            "AllowedThings": ALLOWED_THINGS,
            # MiniStack does not support AWS::Logs::QueryDefinition.
            "SavedQueries": "false",
        } | parameters
        sam("deploy", "--stack-name", STACK, "--no-confirm-changeset", **parameters)
        (stack,) = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return self.outputs

    def with_stack(self, **parameters):
        """Sets up everything from the account to the deployed function, and shows each step."""
        with step("provision the account"):
            self.provision()
        self.build_and_deploy(**parameters)

    def build_and_deploy(self, **parameters):
        with built("sam build"), step("sam deploy"):
            self.deploy(**parameters)

    def upload(self, key, image, tags=""):
        """Puts an image as a firmware team does; returns its version ID."""
        s3 = client("s3")
        return s3.put_object(Bucket=self.outputs["BucketName"], Key=key, Body=image, Tagging=tags)["VersionId"]

    def notification(self, key, version, sample="put.json"):
        """Returns a sample event for one object version."""
        event = json.loads((ROOT / "events" / sample).read_text())
        (record,) = event["Records"]
        record["s3"]["bucket"]["name"] = self.outputs["BucketName"]
        record["s3"]["object"] |= {"key": quote_plus(key, safe="/"), "versionId": version}
        return json.dumps(event)

    def creations(self):
        """Returns the IDs of all that releases create: jobs, streams, object versions outside the upload prefix."""
        iot, s3 = client("iot"), client("s3")
        versions = s3.get_paginator("list_object_versions").paginate(Bucket=self.outputs["BucketName"])
        return (
            {job["jobId"] for job in iot.get_paginator("list_jobs").paginate().search("jobs[]")},
            {stream["streamId"] for stream in iot.get_paginator("list_streams").paginate().search("streams[]")},
            {
                each["VersionId"]
                for each in versions.search("(Versions || `[]`)[]")
                if not each["Key"].startswith("firmware/")
            },
        )

    def failures(self):
        return failures(self.outputs)

    def outcomes(self, key, version):
        """Returns the final log lines of the function about one object version, oldest first."""
        return [line for line in self.all_outcomes() if (line["key"], line["versionId"]) == (key, version)]

    def all_outcomes(self):
        """Returns the final log lines of the function, oldest first."""
        return [line for line in self._json_log() if "outcome" in line]

    def outcome(self, key, version, seconds=60):
        """Waits for the final outcome of an object version: the first that Lambda does not retry."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            outcomes = self.outcomes(key, version)
            final = [line for line in outcomes if line["outcome"] != "failed"] or outcomes[2:]
            if final:
                return final[0]
            time.sleep(0.2)
        log = "\n".join(self.function_log()[-40:])
        raise Failed(f"the function logged no outcome for {key} in {seconds} s; its log:\n{log}")

    def warnings(self, key):
        """Returns the warnings of the function about a key, without those in its outcome."""
        return [
            line["message"]
            for line in self._json_log()
            if line["level"] == "WARN" and line.get("key") == key and "message" in line
        ]

    def _json_log(self):
        return [json.loads(message) for message in self.function_log() if message.startswith("{")]

    def invocations(self):
        """Returns the number of invocations of the function."""
        return sum(message.startswith("START ") for message in self.function_log())

    def function_log(self):
        logs = client("logs").get_paginator("filter_log_events")
        return list(logs.paginate(logGroupName=self.outputs["LogGroupName"]).search("events[].message"))

    def streamed(self, stream_id):
        """Returns the location of a stream's only file, and the bytes that devices get from it."""
        ((_, at, image),) = self.streamed_files(stream_id)
        return at, image

    def streamed_files(self, stream_id):
        """Yields the ID of each file of a stream, its location, and the bytes that devices get from it."""
        stream = client("iot").describe_stream(streamId=stream_id)["streamInfo"]
        for file in stream["files"]:
            at = file["s3Location"]
            image = client("s3").get_object(Bucket=at["bucket"], Key=at["key"], VersionId=at["version"])
            yield file["fileId"], at, image["Body"].read()

    def verify(self, signature, image):
        """Checks a base64 signature over an image as a device does, with the code-signing certificate."""
        key = x509.load_pem_x509_certificate(self.certificate.encode()).public_key()
        try:
            key.verify(base64.b64decode(signature, validate=True), image, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise Failed("the signature in the job document does not fit the streamed bytes") from error


def create_thing_group(name, things):
    """Creates a thing group with things that exist."""
    iot = client("iot")
    iot.create_thing_group(thingGroupName=name)
    for thing in things:
        iot.add_thing_to_thing_group(thingName=thing, thingGroupName=name)


def publish(*names):
    """Creates and publishes package versions, `package:version`. The function rejects other names."""
    iot = client("iot")
    for package, version in [name.split(":") for name in names if re.fullmatch(r"[\w.-]+:[\w.-]+", name, re.ASCII)]:
        with suppress(iot.exceptions.ConflictException):
            iot.create_package(packageName=package)
        with suppress(iot.exceptions.ConflictException):
            iot.create_package_version(packageName=package, versionName=version)
        iot.update_package_version(packageName=package, versionName=version, action="PUBLISH")


def template_url(template):
    """Uploads a template that is too long for a request; returns its URL."""
    s3 = client("s3")
    s3.create_bucket(Bucket="templates")
    s3.put_object(Bucket="templates", Key="template.yaml", Body=template)
    return f"https://s3.{REGION}.amazonaws.com/templates/template.yaml"


def presigned(placeholder):
    """Returns the location of a presigned URL's placeholder, and the bytes that devices get from it."""
    url = urlsplit(unquote(placeholder.removeprefix("${aws:iot:s3-presigned-url-v2:").removesuffix("}")))
    if url.hostname != f"s3.{REGION}.amazonaws.com":
        raise Failed(f"the placeholder {placeholder} does not point at S3")
    bucket, _, key = url.path.removeprefix("/").partition("/")
    version = url.query.removeprefix("versionId=")
    image = client("s3").get_object(Bucket=bucket, Key=key, VersionId=version)
    return {"bucket": bucket, "key": key, "version": version}, image["Body"].read()


def device(document):
    """Returns the facts that a device parses from a job document."""
    program = TARGET / "debug/device"
    answer = subprocess.run([program, "document"], input=document, capture_output=True, text=True)
    if answer.returncode:
        raise Failed(answer.stderr.strip())
    return answer.stdout


def isolate():
    """Hides all real accounts, profiles and credentials from this process and its children."""
    client.cache_clear()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def marked(mark):
    """Returns the command lines of the processes that inherited a mark, `NAME=value`, in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or belongs to another user
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def reach(endpoint):
    """Points this process and its children to a local cloud, and to nothing else."""
    isolate()
    os.environ |= {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "NO_PROXY": f"127.0.0.1,{urlsplit(endpoint).hostname}",
        # Seconds. Without it, `sam deploy` notices the end of a deployment up to 5 s late.
        "SAM_CLI_POLL_DELAY": "0.2",
    }


def tags_of_uploads():
    """Returns TAGS, in the form of the x-amz-tagging header, or else the tags of a release to the lab."""
    tags = os.environ.get("TAGS") or f"ota:thing-group={THING_GROUP}"
    if found := list(object_tags.problems(tags)):
        raise Failed("\n".join(f"TAGS has {problem}" for problem in found))
    return tags


def self_signed_certificate(key=None):
    """Returns a code-signing certificate like that of the AWS documentation for OTA updates, and its key, both PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "firmware signing, local cloud")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)  # digitalSignature, and nothing else
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem).decode(), private.decode()


def _allowed(tags, name, patterns):
    """Returns the allowed names in a tag. The function rejects the others."""
    names = " ".join(parse_qs(tags).get(name, [])).split()
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns.split(","))]


def serve():
    with Cloud() as cloud:
        cloud.provision()
        about = {
            "endpoint": cloud.endpoint,
            "region": REGION,
            "account": ACCOUNT,
            "bucket": BUCKET,
            "signingProfile": SIGNING_PROFILE,
            "thingGroup": THING_GROUP,
            "otaRoleArn": cloud.without_stack(BUCKET),
            "certificatePem": cloud.certificate,
        }
        print(json.dumps(about), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: cloud.py serve")
    run(serve)
