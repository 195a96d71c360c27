"""The Kubernetes library (kube_live_test) against etcd and the real kube-apiserver, which are started here, killed, halted."""
import base64
import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("KAITO_BUILD", ROOT / "build"))
PROGRAM = BUILD / "tests" / "kube_client" / "kube_live_test"
SERVE = BUILD / "tests" / "kube_diff" / "serve"
KUBE = ROOT / "tests" / "kube" / "kube"
BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager")
INSECURE = ssl._create_unverified_context()
# sanitizers and a loaded machine
PATIENCE = 30


def reason_to_skip():
    if not PROGRAM.exists():
        return f"{PROGRAM} is not built (cmocka is missing)"
    if os.environ.get("KAITO_KUBE_SKIP"):
        return os.environ["KAITO_KUBE_SKIP"]
    folder = Path(subprocess.run([KUBE, "bin"], capture_output=True, text=True, check=True).stdout.strip())
    missing = [name for name in BINARIES if not os.access(folder / name, os.X_OK)]
    if missing:
        return f"{folder} has no {', '.join(missing)} (scripts/setup kube builds them)"
    return None if shutil.which("kubectl") else "kubectl is not in PATH (scripts/setup kubectl brings it)"


reason = reason_to_skip()
pytestmark = pytest.mark.skipif(reason is not None, reason=reason or "")


def port_with_room():
    """The middle one of 19 free ports below those that the kernel hands out."""
    while True:
        port = random.randrange(20010, 32000)
        free = True
        for near in range(port - 9, port + 10):
            with socket.socket() as s:
                free = free and s.connect_ex(("127.0.0.1", near)) != 0
        if free:
            return port


class ControlPlane:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = port_with_room()
        self.env = dict(os.environ, KUBE_DIR=str(self.folder), KUBE_PORT=str(self.port))

    def kube(self, *args):
        return subprocess.run([KUBE, *args], env=self.env, capture_output=True, text=True, check=False)

    def start(self):
        done = self.kube("up", "--api")
        assert done.returncode == 0, done.stderr[-2000:]
        self.kubeconfig = self.folder / "kubeconfig"
        self.token = (self.folder / "token").read_text().strip()
        self.argv = Path(f"/proc/{self.pid()}/cmdline").read_text().split("\0")[:-1]

    def stop(self):
        """Nothing of it is kept, so nothing need end in order."""
        for file in self.folder.glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        self.kube("down", "--purge")

    def pid(self):
        return int((self.folder / "kube-apiserver.pid").read_text())

    def signal(self, number):
        os.kill(self.pid(), number)

    def kill(self):
        self.signal(signal.SIGKILL)
        while self.ready():
            time.sleep(0.01)

    def start_again(self):
        with open(self.folder / "kube-apiserver.log", "ab") as log:
            server = subprocess.Popen(self.argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      start_new_session=True)
        (self.folder / "kube-apiserver.pid").write_text(str(server.pid))
        end = time.monotonic() + 60
        while not self.ready():
            assert time.monotonic() < end, "the API server does not come back"
            time.sleep(0.1)

    def ready(self):
        try:
            return self.request("GET", "/readyz") is not None
        except OSError:
            return False

    def request(self, method, path, body=None):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method,
                                         data=json.dumps(body).encode() if body else None,
                                         headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=10, context=INSECURE).read()

    def namespace(self):
        name = f"py-{random.randrange(10**9)}"
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def create(self, namespace, name):
        self.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}})

    def delete(self, namespace, name):
        self.request("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/{name}")


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    plane = ControlPlane(tmp_path_factory.mktemp("kube"))
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def write_config(file, server, cluster, user):
    file.write_text(json.dumps({"clusters": [{"name": "k", "cluster": {"server": server, **cluster}}],
                                "users": [{"name": "u", "user": user}],
                                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}], "current-context": "c"}))


class Program:
    """kube_live_test in one of its modes; its lines come as they are printed."""

    def __init__(self, kubeconfig, *args):
        self.process = subprocess.Popen([PROGRAM, kubeconfig, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines, self.errors, self.changed = [], [], threading.Condition()
        self.threads = [threading.Thread(target=self.read, args=pair)
                        for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for thread in self.threads:
            thread.start()

    def read(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait(self, *lines, seconds=PATIENCE):
        """Until these lines have been printed, in any order."""
        end = time.monotonic() + seconds
        with self.changed:
            while not all(line in self.lines for line in lines):
                left = end - time.monotonic()
                assert left > 0, f"{lines} not in {self.lines}; stderr: {self.errors}"
                self.changed.wait(left)

    def halted(self):
        return Halted(self.process.pid)

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for thread in self.threads:
            thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


class Halted:
    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def stop_time(program):
    assert program.end() == 0, program.errors
    return int(program.lines[-1].removeprefix("stopped in ").removesuffix(" ms"))


def changes(program):
    return [line for line in program.lines if line[0] in "+~-" and "kube-root-ca" not in line]


def test_calls_words_caches_leases_and_events(plane):
    done = subprocess.run([PROGRAM, plane.kubeconfig], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\nok ") >= 11


@pytest.mark.skipif(not SERVE.exists(), reason=f"{SERVE} is not built")
def test_the_embedded_server_answers_the_same(tmp_path):
    port = port_with_room()
    with subprocess.Popen([SERVE, tmp_path / "data", str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as server:
        try:
            config = tmp_path / "config"
            end = time.monotonic() + PATIENCE
            while not (tmp_path / "data" / "token").exists():
                assert time.monotonic() < end and server.poll() is None, "it does not start"
                time.sleep(0.01)
            write_config(config, f"https://127.0.0.1:{port}", {"insecure-skip-tls-verify": True},
                         {"token": (tmp_path / "data" / "token").read_text().strip()})
            done = subprocess.run([PROGRAM, config], capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        finally:
            server.terminate()


@pytest.mark.slow
def test_an_informer_outlives_the_server(plane):
    namespace = plane.namespace()
    plane.create(namespace, "a")
    with Program(plane.kubeconfig, "follow", namespace) as program:
        program.wait("synced", "+a")
        plane.kill()
        time.sleep(1)
        plane.start_again()
        plane.create(namespace, "b")
        program.wait("+b")
        plane.delete(namespace, "a")
        program.wait("-a")
        assert changes(program) == ["+a", "+b", "-a"]
        assert stop_time(program) < 200


def test_what_happened_meanwhile_is_caught_up_with(plane):
    """The server forgets the versions that it had when it starts again, so the informer must list and compare."""
    namespace = plane.namespace()
    for name in "abc":
        plane.create(namespace, name)
    with Program(plane.kubeconfig, "follow", namespace) as program:
        program.wait("synced", "+a", "+b", "+c")
        with program.halted():
            plane.delete(namespace, "a")
            plane.delete(namespace, "b")
            plane.create(namespace, "b")
            plane.create(namespace, "d")
            plane.kill()
            plane.start_again()
        program.wait("-a", "-b", "+d")
        plane.create(namespace, "e")
        program.wait("+e")
        seen = changes(program)
        assert sorted(seen) == sorted(["+a", "+b", "+c", "-a", "-b", "+b", "+d", "+e"])
        assert seen.index("-b") < len(seen) - 1 - seen[::-1].index("+b")
        assert stop_time(program) < 200


@pytest.mark.slow
def test_it_stops_quickly_while_the_server_hangs_or_is_away(plane):
    namespace = plane.namespace()
    for away in (False, True):
        with Program(plane.kubeconfig, "follow", namespace) as program:
            program.wait("synced")
            if away:
                plane.kill()
                time.sleep(1)
                assert stop_time(program) < 200
                plane.start_again()
            else:
                with Halted(plane.pid()):
                    time.sleep(0.5)
                    assert stop_time(program) < 200


@pytest.mark.slow
def test_a_killed_leader_is_followed(plane):
    namespace = plane.namespace()
    with Program(plane.kubeconfig, "lead", namespace, "one") as one, Program(plane.kubeconfig, "lead", namespace, "two") as two:
        end = time.monotonic() + PATIENCE
        while not one.lines and not two.lines and time.monotonic() < end:
            time.sleep(0.01)
        first, second = (one, two) if one.lines else (two, one)
        first.wait("leads")
        time.sleep(1)
        assert second.lines == []
        first.process.kill()
        start = time.monotonic()
        second.wait("leads")
        assert 1 < time.monotonic() - start < 15
        assert second.end() == 0


@pytest.mark.slow
def test_a_leader_that_cannot_renew_stops_leading(plane):
    namespace = plane.namespace()
    with Program(plane.kubeconfig, "lead", namespace, "one") as one:
        one.wait("leads")
        with Halted(plane.pid()):
            start = time.monotonic()
            one.wait("lost")
            assert time.monotonic() - start < 2.5
        assert one.end() == 0


# ---- credentials ------------------------------------------------------------------------------------------------------


def get(folder, plane, cluster, user, path="/version", host="127.0.0.1"):
    file = folder / "config"
    write_config(file, f"https://{host}:{plane.port}", cluster, user)
    done = subprocess.run([PROGRAM, file, "get", path], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_the_server_is_verified(plane, tmp_path):
    """Its certificate is for localhost and kubernetes.default.svc, among others, but not for 127.0.0.1."""
    user = {"token": plane.token}
    ca = {"certificate-authority": str(plane.folder / "certs" / "apiserver.crt")}
    status, text = get(tmp_path, plane, ca, user, host="localhost")
    assert status == 0 and "gitVersion" in text, text
    status, text = get(tmp_path, plane, ca | {"tls-server-name": "kubernetes.default.svc"}, user)
    assert status == 0, text
    for cluster in (ca, ca | {"tls-server-name": "example.com"}, {}):
        status, text = get(tmp_path, plane, cluster, user)
        assert status == 1 and "the TLS certificate of 127.0.0.1" in text, text
    (tmp_path / "empty.pem").write_text("nothing")
    status, text = get(tmp_path, plane, {"certificate-authority": "empty.pem"}, user, host="localhost")
    assert status == 1 and "TLS" in text, text


def test_tokens_and_plugins(plane, tmp_path):
    insecure = {"insecure-skip-tls-verify": True}
    status, text = get(tmp_path, plane, insecure, {"token": "wrong"}, "/api/v1/nodes")
    assert status == 1 and text == "Unauthorized", text
    status, text = get(tmp_path, plane, insecure, {}, "/api/v1/nodes")
    assert status == 1 and "system:anonymous" in text, text
    (tmp_path / "token").write_text(plane.token + "\n")
    status, text = get(tmp_path, plane, insecure, {"tokenFile": "token"}, "/api/v1/nodes")
    assert status == 0 and "NodeList" in text, text
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": plane.token}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho {shlex.quote(json.dumps(answer))}\n")
    plugin.chmod(0o700)
    user = {"exec": {"apiVersion": answer["apiVersion"], "command": "./plugin", "interactiveMode": "Never"}}
    status, text = get(tmp_path, plane, insecure, user, "/api/v1/nodes")
    assert status == 0 and "NodeList" in text, text


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(not PROGRAM.exists() or not shutil.which("openssl"), reason="openssl is missing")
def test_client_certificates(tmp_path):
    """Against a server that wants one; the API server that is started here knows tokens only."""
    for name in ("ca", "client"):
        openssl(tmp_path, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost")
    port = port_with_room()
    argv = ["openssl", "s_server", "-accept", str(port), "-cert", "ca.crt", "-key", "ca.key", "-CAfile", "client.crt", "-Verify", "1",
            "-verify_return_error", "-www", "-quiet"]
    with subprocess.Popen(argv, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with socket.socket() as s:
                    if s.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert time.monotonic() < end, "s_server does not start"
                time.sleep(0.02)
            cluster = {"certificate-authority": "ca.crt"}
            data = {field + "-data": base64.b64encode((tmp_path / file).read_bytes()).decode()
                    for field, file in (("client-certificate", "client.crt"), ("client-key", "client.key"))}
            for user in ({"client-certificate": "client.crt", "client-key": "client.key"}, data):
                write_config(tmp_path / "config", f"https://localhost:{port}", cluster, user)
                done = subprocess.run([PROGRAM, tmp_path / "config", "get", "/"], capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 0 and re.search("Subject: CN ?= ?client", done.stdout), done.stdout + done.stderr
            for user in ({}, {"client-certificate": "ca.crt", "client-key": "ca.key"}, {"client-certificate": "ca.crt", "client-key": "client.key"}):
                write_config(tmp_path / "config", f"https://localhost:{port}", cluster, user)
                done = subprocess.run([PROGRAM, tmp_path / "config", "get", "/"], capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 1 and "localhost" in done.stdout, done.stdout + done.stderr
        finally:
            server.kill()
