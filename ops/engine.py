"""The Docker engine and the image with which SAM runs the function."""

import os
import shutil
from ipaddress import ip_network

from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException
from samcli.commands.exceptions import UserException
from samcli.local.docker.lambda_image import LambdaImage, Runtime
from samcli.local.docker.utils import get_validated_container_client

from alive import step
from program import Failed
from stack import architecture


def start():
    """Returns a client of the engine that SAM will use, and pulls the image of Lambda's runtime if it is missing."""
    instead = "Without Docker, `make invoke-cargo` does the same."
    try:
        client = get_validated_container_client()
        client.ping()
    except (UserException, DockerException, RequestException) as error:
        if not shutil.which("docker"):
            why = "Docker is not installed"
        elif may_not_use_docker():
            why = "Docker is installed, but this user may not use it: join the group `docker`"
        else:
            why = "Docker is installed, but its engine does not answer: start it"
        raise Failed(f"{why}. {instead}") from error
    image = base_image(client.info()["Architecture"])
    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            with step(f"docker pull {image}"):
                client.images.pull(image)
        except (DockerException, RequestException) as error:
            raise Failed(f"the image {image} cannot be pulled: {error}. {instead}") from error
    return client


def may_not_use_docker():
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    return os.path.exists(path) and not os.access(path, os.W_OK)


def base_image(machine):
    """Returns the name of the image in which SAM runs the function."""
    tag = Runtime.get_image_name_tag("provided.al2023", architecture(machine))
    return f"{LambdaImage._INVOKE_REPO_PREFIX}/{tag}"


def bridge(client):
    """Returns this machine's address for containers. A name would not work: S3 clients put the bucket before it."""
    try:
        (network, *_) = client.networks.get("bridge").attrs["IPAM"]["Config"]
        # A newly installed engine reports no gateway: it is the first address.
        return network.get("Gateway") or str(next(ip_network(network["Subnet"]).hosts()))
    except (DockerException, KeyError, TypeError, ValueError) as error:
        raise Failed("Docker has no network `bridge`, which containers need to reach the local cloud") from error
