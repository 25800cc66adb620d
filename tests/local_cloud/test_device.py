"""Tests updates of devices: rustot installs the images of releases, and refuses those that it cannot verify."""

import base64
import hashlib
import json
import signal
import time
import unittest
from contextlib import ExitStack

import boto3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from cloud import Cloud, self_signed_certificate
from fleet import Device, download, flip_bytes, serve_streams

from program import ROOT, VENV, Failed, output_of, run

THING = "lab-device-1"
# An execution that a device refuses stays queued, and would be its next job in other tests.
THING_OF_MANIFEST = "lab-device-3"
OWN_CERTIFICATE = "/certs/own.pem"
THING_OF_TIME_OUT = "lab-device-2"
IMAGE = hashlib.shake_256(b"device").digest(300_001)
SLOW_IMAGE = IMAGE * 80
KEYS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
}


def tagging(tags):
    return {"TagSet": [{"Key": tag, "Value": value} for tag, value in tags.items()]}


def delete(job_id):
    iot.delete_job(jobId=job_id, force=True)


class DeviceTest(unittest.TestCase):
    def release(self, key, image=IMAGE, tags=f"ota:thing={THING}"):
        """Uploads an image; returns the outcome."""
        return self.created(cloud.outcome(key, cloud.upload(key, image, tags)))

    def created(self, outcome):
        """Returns the outcome of a release. The next test must not get its job."""
        self.assertEqual(outcome["outcome"], "created", outcome)
        self.addCleanup(delete, outcome["jobId"])
        return outcome

    def release_signed(self, key, image, private_key, signed=None):
        """Releases an image with a signature that was made elsewhere, over the bytes `signed`, which may be others."""
        is_rsa = isinstance(private_key, rsa.RSAPrivateKey)
        how = [padding.PKCS1v15(), hashes.SHA256()] if is_rsa else [ec.ECDSA(hashes.SHA256())]
        signature = base64.b64encode(private_key.sign(signed or image, *how)).decode()
        version = cloud.upload(key, image)
        self.assertEqual(cloud.outcome(key, version)["outcome"], "skipped")
        algorithm = "SHA256withRSA" if is_rsa else "SHA256withECDSA"
        content = {"versionId": version, "signature": signature, "signatureAlgorithm": algorithm}
        cloud.upload(f"{key}.sig", json.dumps(content))
        tags = {"ota:thing": THING, "ota:signature": ".sig", "ota:certificate": OWN_CERTIFICATE}
        bucket = cloud.outputs["BucketName"]
        boto3.client("s3").put_object_tagging(Bucket=bucket, Key=key, VersionId=version, Tagging=tagging(tags))
        event = cloud.notification(key, version, "tagged-later.json")
        answer = boto3.client("lambda").invoke(FunctionName=cloud.outputs["FunctionName"], Payload=event)
        (released,) = json.load(answer["Payload"])["releases"]
        return self.created(released)

    def install(self, outcome, certificates=None):
        """Runs a device until it has finished the job; returns its result, and the device."""
        device = Device(cloud, THING, certificates)
        with device:
            result = device.start().result()
        self.assertEqual(self.status(outcome), result["status"])
        self.assertEqual(iot.describe_job(jobId=outcome["jobId"])["job"]["status"], "COMPLETED")
        return result, device

    def status(self, outcome, thing=THING):
        return iot.describe_job_execution(jobId=outcome["jobId"], thingName=thing)["execution"]["status"]

    def check_installed(self, outcome, image, path, **options):
        result, device = self.install(outcome, **options)
        self.assertEqual(result["status"], "SUCCEEDED", result)
        self.assertEqual((result["bytes"], result["blocks"]), (len(image), -(-len(image) // 4096)))
        self.assertEqual(device.installed(path), image)
        return result

    def check_refused(self, outcome, problem, **options):
        result, device = self.install(outcome, **options)
        self.assertEqual((result["status"], result["verified"], result["version"]), ("FAILED", None, "1.0.0"))
        self.assertIn(problem, result["problem"])
        details = iot.describe_job_execution(jobId=outcome["jobId"], thingName=THING)["execution"]["statusDetails"]
        self.assertEqual(details["detailsMap"]["self_test"], "pal err")
        self.assertFalse(list(device.folder.glob("*.bin")), "the device installed an image")


class Mqtt(DeviceTest):
    def test_the_uploaded_image_is_installed_after_a_restart(self):
        outcome = self.release("firmware/blinky.bin")
        result = self.check_installed(outcome, IMAGE, "blinky.bin")
        self.assertEqual((result["verified"], result["version"]), ("ECDSA P-256", "1.0.1"))
        details = iot.describe_job_execution(jobId=outcome["jobId"], thingName=THING)["execution"]["statusDetails"]
        self.assertEqual(details["detailsMap"], {"updated_by": "1.0.0", "self_test": "accepted", "progress": "74/74"})

    def test_images_of_less_than_a_block_and_of_whole_blocks_are_installed(self):
        for size in (1, 4095, 4096, 31 * 4096, 31 * 4096 + 1):
            with self.subTest(size):
                self.check_installed(self.release(f"firmware/{size}.bin", IMAGE[:size]), IMAGE[:size], f"{size}.bin")

    def test_images_of_4_and_24_mb_are_installed(self):
        for megabytes in (4, 24):
            with self.subTest(megabytes):
                image = hashlib.shake_256(bytes([megabytes])).digest(megabytes * 1024 * 1024)
                outcome = self.release(f"firmware/{megabytes} MB.bin", image)
                self.check_installed(outcome, image, f"{megabytes}_MB.bin")

    def test_images_with_keys_of_every_kind_are_installed(self):
        names = ("two words", "a+b", "100%", "%2B+%20", "Gerät für Köln", "📦 v1", "a=b&c", "sub dir/x")
        for number, name in enumerate(names):
            with self.subTest(name):
                image = IMAGE[number:9000]
                outcome = self.release(f"firmware/{name}.bin", image)
                (file,) = json.loads(iot.get_job_document(jobId=outcome["jobId"])["document"])["afr_ota"]["files"]
                self.check_installed(outcome, image, file["filepath"])

    def test_signatures_of_every_key_are_verified(self):
        for name, generate in KEYS.items():
            with self.subTest(name):
                key = generate()
                certificates = {OWN_CERTIFICATE: self_signed_certificate(key)[0]}
                outcome = self.release_signed(f"firmware/{name}.bin", IMAGE, key)
                result = self.check_installed(outcome, IMAGE, f"{name}.bin", certificates=certificates)
                self.assertIn(name.partition("-")[0] if name.startswith("RSA") else name, result["verified"])

    def test_a_changed_byte_is_refused(self):
        flip_bytes(cloud, flipped=True)
        self.addCleanup(flip_bytes, cloud, flipped=False)
        self.check_refused(self.release("firmware/flipped.bin"), "the signature does not verify")

    def test_a_wrong_signature_is_refused(self):
        for name, generate in KEYS.items():
            with self.subTest(name):
                key = generate()
                outcome = self.release_signed(f"firmware/wrong {name}.bin", IMAGE, key, signed=IMAGE[1:])
                certificates = {OWN_CERTIFICATE: self_signed_certificate(key)[0]}
                self.check_refused(outcome, "the signature does not verify", certificates=certificates)

    def test_a_wrong_or_missing_certificate_is_refused(self):
        for kind, other in KEYS.items():
            with self.subTest(kind):
                outcome = self.release_signed(f"firmware/other {kind}.bin", IMAGE, KEYS["P-256"]())
                certificates = {OWN_CERTIFICATE: self_signed_certificate(other())[0]}
                self.check_refused(outcome, "the signature does not verify", certificates=certificates)
        outcome = self.release_signed("firmware/no certificate.bin", IMAGE, KEYS["P-256"]())
        self.check_refused(outcome, f"the board has no certificate {OWN_CERTIFICATE}")

    def test_a_device_that_loses_power_starts_again(self):
        image = SLOW_IMAGE
        outcome = self.release("firmware/power.bin", image)
        with Device(cloud, THING) as device:
            device.start().event("received")
            device.stop()
            self.assertEqual(self.status(outcome), "IN_PROGRESS")
            result = device.start().result()
        self.assertEqual((result["status"], result["bytes"]), ("SUCCEEDED", len(image)))
        self.assertEqual(device.installed("power.bin"), image)

    def test_a_device_whose_execution_ends_early_installs_the_next_job(self):
        outcome = self.release("firmware/slow.bin", SLOW_IMAGE)
        with Device(cloud, THING) as device:
            device.start().event("received")
            iot.cancel_job_execution(jobId=outcome["jobId"], thingName=THING, force=True)
            with self.assertRaisesRegex(Failed, "AWS IoT rejects an update"):
                device.result()
            again = self.release("firmware/retry.bin")
            result = device.start().result()
        self.assertEqual((self.status(outcome), self.status(again)), ("CANCELED", "SUCCEEDED"))
        self.assertEqual((result["bytes"], device.installed("retry.bin")), (len(IMAGE), IMAGE))

    def test_a_device_connects_only_as_its_own_thing(self):
        with Device(cloud, THING) as device:
            device.thing = THING_OF_MANIFEST
            self.assertNotEqual(device.start().process.wait(30), 0)
            self.assertIn("Connection closed", device.errors())

    def test_a_manifest_of_several_files_is_refused(self):
        versions = {key: cloud.upload(key, IMAGE) for key in ("firmware/set/a.bin", "firmware/set/b.bin")}
        manifest = {"files": [{"key": key, "versionId": version} for key, version in versions.items()]}
        tags = f"ota:thing={THING_OF_MANIFEST}"
        outcome = self.release("firmware/set/1.0.ota.json", json.dumps(manifest), tags)
        with Device(cloud, THING_OF_MANIFEST) as device:
            device.start().event("refused")
            with self.assertRaisesRegex(Failed, "the parser of rustot refuses the job"):
                device.result()
        self.assertEqual(self.status(outcome, THING_OF_MANIFEST), "QUEUED")


class Witness(DeviceTest):
    """The AWS IoT Device SDK as a second device."""

    def witness(self):
        """Runs the second device; returns the lines of its output, and its folder."""
        folder = Device(cloud, THING).folder
        python = VENV / "device/bin/python"
        command = [python, ROOT / "tests/local_cloud/witness.py", THING, str(cloud.broker_port), folder]
        return [json.loads(line) for line in output_of(*command).splitlines()], folder

    def test_the_sdk_of_aws_gets_the_job_and_the_image_in_json(self):
        outcome = self.release("firmware/witness.bin")
        (document, description, rejected), folder = self.witness()
        (file,) = document["afr_ota"]["files"]
        image = (folder / "image").read_bytes()
        self.assertEqual(image, IMAGE)
        cloud.verify(file["sig-sha256-ecdsa"], image)
        files = [{"f": 0, "z": len(IMAGE)}]
        members = {"c": "witness", "s": 1, "d": description["d"], "r": files}
        self.assertEqual((description, rejected), (members, "BlockSizeOutOfBounds"))
        self.assertEqual(self.status(outcome), "SUCCEEDED")

    def test_a_role_that_cannot_read_the_image_serves_no_blocks(self):
        outcome = self.release("firmware/no rights.bin")
        deny = {"Effect": "Deny", "Action": "s3:GetObjectVersion", "Resource": "*"}
        policy = {"PolicyName": "deny", "RoleName": cloud.outputs["OtaRoleArn"].rpartition("/")[2]}
        document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
        boto3.client("iam").put_role_policy(**policy, PolicyDocument=document)
        self.addCleanup(boto3.client("iam").delete_role_policy, **policy)
        result, _ = self.install(outcome)
        self.assertEqual((result["status"], result["blocks"]), ("FAILED", 0))


class Http(DeviceTest):
    def test_the_image_is_downloaded_by_a_presigned_url(self):
        for name in ("http.bin", "Gerät+ &=%.bin"):
            with self.subTest(name):
                outcome = self.release(f"firmware/{name}", tags=f"ota:thing={THING}&ota:protocols=http")
                result = download(cloud, THING)
                self.assertEqual((result["status"], result["image"]), ("SUCCEEDED", IMAGE))
                self.assertIn("versionId=", result["url"])
                self.assertEqual(self.status(outcome), "SUCCEEDED")

    def test_devices_choose_between_mqtt_and_http(self):
        tags = f"ota:thing={THING}&ota:protocols=mqtt+http"
        self.check_installed(self.release("firmware/either.bin", tags=tags), IMAGE, "either.bin")
        self.release("firmware/either 2.bin", tags=tags)
        self.assertEqual(download(cloud, THING)["status"], "SUCCEEDED")


class Waiting(DeviceTest):
    def test_a_device_that_times_out_starts_again_with_the_next_job(self):
        # The device has one minute, in which other tests ran. AWS IoT would retry with another execution.
        # The local cloud does not, so the next job is another release of the image.
        outcome, device = stalled
        with device:
            self.assertEqual(self.created(outcome)["outcome"], "created")
            deadline = time.monotonic() + 90
            while self.status(outcome, THING_OF_TIME_OUT) == "IN_PROGRESS" and time.monotonic() < deadline:
                time.sleep(1)
            self.assertEqual(self.status(outcome, THING_OF_TIME_OUT), "TIMED_OUT")
            self.assertEqual(iot.describe_job(jobId=outcome["jobId"])["job"]["status"], "COMPLETED")
            device.process.send_signal(signal.SIGCONT)
            with self.assertRaisesRegex(Failed, "AWS IoT rejects an update|Connection closed"):
                device.result(60)
            self.assertIsNotNone(device.process.poll())
            self.assertFalse(list(device.folder.glob("*.bin")), "the device installed an image after its time-out")
            again = self.release("firmware/again.bin", SLOW_IMAGE, f"ota:thing={THING_OF_TIME_OUT}")
            result = device.start().result()
        self.assertEqual((self.status(again, THING_OF_TIME_OUT), result["bytes"]), ("SUCCEEDED", len(SLOW_IMAGE)))
        self.assertEqual(device.installed("again.bin"), SLOW_IMAGE)


def stall():
    """Starts a release with a time-out of a minute, whose device stops in the download; returns outcome and device."""
    tags = f"ota:thing={THING_OF_TIME_OUT}&ota:start=now&ota:timeout=1m&ota:retries=0"
    outcome = cloud.outcome("firmware/stalled.bin", cloud.upload("firmware/stalled.bin", SLOW_IMAGE, tags))
    with ExitStack() as stack:
        device = stack.enter_context(Device(cloud, THING_OF_TIME_OUT).start())
        device.event("received")
        device.process.send_signal(signal.SIGSTOP)
        stack.pop_all()
    return outcome, device


def main():
    global cloud, iot, stalled
    with Cloud() as cloud:
        iot = boto3.client("iot")
        cloud.with_stack(AllowUnverified="true")
        serve_streams(cloud)
        stalled = stall()
        with stalled[1]:
            return not unittest.main(verbosity=2, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    run(main)
