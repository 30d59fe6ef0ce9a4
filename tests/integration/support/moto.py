"""Motos without their start-up time: moto is loaded and warmed up once, then forked for each server.

Each line on standard input is a port; a server with an empty account of its own listens there soon,
and its process id is the line that answers. All servers end with this process, and this process with
its standard input."""

import ctypes
import os
import signal
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from werkzeug.serving import run_simple
from werkzeug.test import Client

from moto.ec2.models.amis import Ami
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def warm_up(app):
    """Loads what the first calls would load; none of them changes anything."""
    calls = [("ec2", "2016-11-15", "DescribeImages"), ("sts", "2011-06-15", "GetCallerIdentity")]
    for region in ["us-east-1", "eu-west-1"]:
        for service, version, action in calls:
            scope = f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/{region}/{service}/aws4_request"
            data = {"Action": action, "Version": version}
            Client(app).post("/", data=data, headers={"Authorization": scope})


def made_of_a_volume(init):
    """An AMI that is made of an instance has a volume as its root, which moto does not say."""

    def wrapped(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if self.instance_id:
            self.root_device_type = "ebs"

    return wrapped


def signs_digests(sign, of_hash):
    """KMS signs what is a digest already as it is; moto would make a digest of it."""

    def wrapped(self, message, signing_algorithm):
        digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[signing_algorithm[-3:]]()
        if len(message) != digest.digest_size:
            return sign(self, message, signing_algorithm)
        return self.private_key.sign(message, *of_hash(utils.Prehashed(digest)))

    return wrapped


def serve(app, port):
    ctypes.CDLL(None).prctl(KILL_WITH_PARENT, signal.SIGKILL)
    os.close(0)
    run_simple("127.0.0.1", port, app, threaded=True)


def main():
    Ami.__init__ = made_of_a_volume(Ami.__init__)
    ECDSAPrivateKey.sign = signs_digests(ECDSAPrivateKey.sign, lambda digest: [ec.ECDSA(digest)])
    RSAPrivateKey.sign = signs_digests(RSAPrivateKey.sign, lambda digest: [padding.PKCS1v15(), digest])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    app = DomainDispatcherApplication(create_backend_app)
    app.debug = True
    warm_up(app)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            serve(app, int(line))
        print(pid, flush=True)


main()
