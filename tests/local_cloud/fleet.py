"""Devices on the local cloud: things with a certificate and a policy of their own, each with a process of rustot."""

import json
import shutil
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress

from cloud import ACCOUNT, CERTIFICATE_ON_DEVICE, REGION

from program import TARGET, Failed, spawn, stop
from stack import client

THING = "${iot:Connection.Thing.ThingName}"
FILE_DELIVERY = "file-delivery"
# No release on the local cloud takes longer.
PATIENCE = 300


def policy(client_id, *topics):
    """Returns an AWS IoT policy for a client and its topics."""
    arn = f"arn:aws:iot:{REGION}:{ACCOUNT}"
    allowed = {
        "iot:Connect": [f"{arn}:client/{client_id}"],
        "iot:Subscribe": [f"{arn}:topicfilter/{topic}" for topic in topics],
        "iot:Receive": [f"{arn}:topic/{topic}" for topic in topics],
        "iot:Publish": [f"{arn}:topic/{topic}" for topic in topics],
    }
    statements = [{"Effect": "Allow", "Action": action, "Resource": where} for action, where in allowed.items()]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


# The policy that AWS documents for OTA updates, limited to the device's own topics.
DEVICE_POLICY = policy(THING, f"$aws/things/{THING}/jobs/*", f"$aws/things/{THING}/streams/*")


def certificate(policy_name, document, thing=None):
    """Creates a certificate with a policy, for a thing if there is one; returns certificate and private key."""
    iot = client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    with suppress(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_policy(policyName=policy_name, policyDocument=document)
    iot.attach_policy(policyName=policy_name, target=made["certificateArn"])
    if thing:
        iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
    return made["certificatePem"], made["keyPair"]["PrivateKey"]


def authority(cloud):
    """Returns the certificate of the authority that devices trust, in PEM."""
    with urllib.request.urlopen(f"{cloud.endpoint}/_ministack/iot/ca.pem", timeout=30) as answer:
        return answer.read().decode()


def serve_streams(cloud):
    """Connects the file delivery of the front to the broker."""
    document = policy(FILE_DELIVERY, "$aws/things/*/streams/*")
    pem, key = certificate(FILE_DELIVERY, document)
    post(cloud, "_broker", {"port": cloud.broker_port, "ca": authority(cloud), "certificate": pem, "key": key})


def flip_bytes(cloud, *, flipped):
    """Makes file delivery change one byte of each file, or stops that."""
    post(cloud, "_broker/flip", flipped)


def post(cloud, path, body):
    request = urllib.request.Request(f"{cloud.endpoint}/{path}", json.dumps(body).encode(), method="POST")
    urllib.request.urlopen(request, timeout=30).close()


def download(cloud, thing):
    """Installs an update by HTTP, as a device: gets the next job, downloads and verifies the image, and reports."""
    jobs = client("iot-jobs-data")
    execution = jobs.start_next_pending_job_execution(thingName=thing)["execution"]
    (file,) = json.loads(execution["jobDocument"])["afr_ota"]["files"]
    with urllib.request.urlopen(file["update_data_url"], timeout=60) as answer:
        image = answer.read()
    try:
        cloud.verify(file["sig-sha256-ecdsa"], image)
        status, signature = "SUCCEEDED", "signature ✓"
    except Failed as problem:
        status, signature = "FAILED", f"✗ {problem}"
    jobs.update_job_execution(thingName=thing, jobId=execution["jobId"], status=status)
    return {"url": file["update_data_url"], "status": status, "image": image, "signature": signature}


class Device:
    """A new device with the files of its board, as a context manager that stops it."""

    def __init__(self, cloud, thing, signing_certificates=None):
        self.cloud, self.thing = cloud, thing
        self.folder = cloud.scratch / "devices" / thing
        self.process, self.events = None, []
        shutil.rmtree(self.folder, ignore_errors=True)
        pem, key = certificate(f"device-{thing}", DEVICE_POLICY, thing)
        files = {"ca.pem": authority(cloud), "certificate.pem": pem, "private-key.pem": key}
        for name, text in (files | (signing_certificates or {CERTIFICATE_ON_DEVICE: cloud.certificate})).items():
            path = self.folder / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Boots the device. It waits for a job, and ends with it."""
        self.stop()
        self.events = []
        command = [TARGET / "debug/device", "run", self.thing, str(self.cloud.broker_port), self.folder]
        errors = self.folder / "errors.log"
        with errors.open("w") as log:
            self.process = spawn(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def stop(self):
        if self.process:
            stop(self.process)
            self.reader.join()
            self.process.stdout.close()
            self.process = None

    def blocks(self):
        """Returns the number of blocks that the device has reported so far."""
        return max((event.get("blocks", 0) for event in list(self.events)), default=0)

    def event(self, name, seconds=PATIENCE):
        """Waits for an event; returns it. Fails if the device ends without it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            is_over = self.process.poll() is not None
            if is_over:
                self.reader.join()
            if found := [each for each in self.events if each["event"] == name]:
                return found[0]
            if is_over:
                break
            time.sleep(0.05)
        raise Failed(f"{self.thing} has no event `{name}`: {self.events[-3:]} {self.errors()}")

    def result(self, seconds=PATIENCE):
        """Waits for the end of the job execution; returns the facts of the download and the verification."""
        result = self.event("finished", seconds)
        self.process.wait(30)
        return result

    def errors(self):
        return (self.folder / "errors.log").read_text()

    def installed(self, path):
        """Returns the bytes of an image on the board."""
        return (self.folder / path.lstrip("/")).read_bytes()

    def has_installed(self, path):
        """Returns whether the board has an image."""
        return (self.folder / path.lstrip("/")).exists()
