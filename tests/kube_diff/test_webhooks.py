"""Validating webhooks: both servers call them alike, and our webhook server works with both.

The first part has a webhook that records what it is sent and answers as its path says. The second runs ours, with the objects
that the chart installs; the Service is an alias of this machine, so that the real server needs no network of pods.
"""
import base64
import http.server
import json
import re
import signal
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from . import servers
from .client import Client

if servers.reason_to_skip():
    pytest.skip(servers.reason_to_skip(), allow_module_level=True)

PROGRAM = servers.BUILD / "tests" / "kube_diff" / "webhook"
CONFIGS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
NS = "hooks"
CORE = f"/api/v1/namespaces/{NS}"
WORKSPACES = f"/apis/kaito.sh/v1beta1/namespaces/{NS}/workspaces"
ALPHA = f"/apis/kaito.sh/v1alpha1/namespaces/{NS}/workspaces"
SETS = f"/apis/kaito.sh/v1beta1/namespaces/{NS}/inferencesets"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE = 30
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"


def send(address, method, path, body=None, content_type="application/json"):
    client = Client(address)
    try:
        return client.send(method, path, None if body is None else json.dumps(body), {"Content-Type": content_type})
    finally:
        client.close()


def workspace(name, version="v1beta1", **more):
    return {"apiVersion": f"kaito.sh/{version}", "kind": "Workspace", "metadata": {"name": name},
            "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": name}}},
            "inference": {"preset": {"name": "phi-4"}}} | more


def rule(**more):
    return {"apiGroups": ["kaito.sh"], "apiVersions": ["v1beta1"], "resources": ["workspaces"], "operations": ["*"]} | more


def configuration(name, client_config, **more):
    webhook = {"name": name, "clientConfig": client_config, "rules": [rule()], "sideEffects": "None", "timeoutSeconds": 2,
               "admissionReviewVersions": ["v1"]} | more
    return {"metadata": {"name": name}, "webhooks": [webhook]}


# ---- a webhook that does what it is told ------------------------------------------------------------------------------------


DENIALS = {
    "/deny": {"status": {"code": 400, "reason": "BadRequest", "message": "validation failed: x"}, "warnings": ["mind this"]},
    "/bare": {},
    "/reason": {"status": {"reason": "Nope", "code": 418, "details": {"causes": [{"message": "m"}]}}},
    "/message": {"status": {"message": "no", "code": 200, "status": "Success"}},
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append({"path": self.path, "review": review})
        path = self.path.split("?")[0]
        answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                  "response": {"uid": review["request"]["uid"], "allowed": path not in DENIALS} | DENIALS.get(path, {})}
        status = 200
        if path == "/warn":
            answer["response"]["warnings"] = ['careful "x"', "and more"]
        elif path == "/uid":
            answer["response"]["uid"] = "x"
        elif path == "/absent":
            del answer["response"]
        elif path == "/version":
            answer["apiVersion"] = "admission.k8s.io/v2"
        elif path.startswith("/status"):
            status = int(path[7:])
        elif path == "/slow":
            time.sleep(4)
        text = json.dumps(answer).encode() if status == 200 else b"some text\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        try:
            self.wfile.write(text)
        except OSError:
            pass


class Recorder:
    """One for each server, so that what they send is not mixed up."""

    def __init__(self, folder):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.seen = []
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self):
        seen, self.server.seen = self.server.seen, []
        return seen


class Pair:
    """Both servers, each with its webhook."""

    def __init__(self, addresses, folder):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "2", "-keyout", folder / "hook.key", "-out", folder / "hook.crt", "-subj", "/CN=hook", "-addext",
                        f"subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:hook.{NS}.svc"], check=True, capture_output=True)
        self.bundle = base64.b64encode((folder / "hook.crt").read_bytes()).decode()
        self.sides = [(address, Recorder(folder)) for address in addresses]

    def install(self, client_config, **more):
        """client_config: of (port, bundle)"""
        for address, recorder in self.sides:
            send(address, "DELETE", f"{CONFIGS}/test.example.com")
            answer = send(address, "POST", CONFIGS,
                          configuration("test.example.com", client_config(recorder.port, self.bundle), **more))
            assert answer.status == 201, answer
        time.sleep(1.3)  # the real server hears of it by a watch

    def ask(self, *request):
        with ThreadPoolExecutor(2) as pool:
            return tuple(pool.map(lambda side: self.ask_one(side, request), self.sides))

    def ask_one(self, side, request):
        address, recorder = side
        recorder.take()
        answer = send(address, *request)
        text = json.dumps({"status": answer.status, "body": plain(answer.body), "warnings": answer.header("Warning"),
                           "calls": plain(recorder.take())}, indent=1, sort_keys=True)
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>", text)
        return re.sub(rf"\b{recorder.port}\b", "<port>", text)


def plain(value):
    """Without what differs from server to server: times, versions, managedFields."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    dropped = ("creationTimestamp", "deletionTimestamp", "resourceVersion", "managedFields", "extra")
    return {k: plain(v) for k, v in value.items() if k not in dropped}


@pytest.fixture(scope="module")
def pair(addresses, tmp_path_factory):
    pair = Pair(addresses, tmp_path_factory.mktemp("hook"))
    for address in addresses:
        send(address, "POST", "/api/v1/namespaces", {"metadata": {"name": NS, "labels": {"team": "a"}}})
        crd = json.loads((servers.ROOT / "data" / "crds" / "inferencesets.kaito.sh.json").read_text())
        assert send(address, "POST", CRDS, crd).status in (201, 409)
        end = time.monotonic() + PATIENCE
        while send(address, "GET", SETS).status != 200:
            assert time.monotonic() < end, "InferenceSets are not served"
            time.sleep(0.1)
        send(address, "POST", f"{CORE}/services", {"metadata": {"name": "plain"}, "spec": {"ports": [{"port": 444}]}})
    yield pair
    for address, _ in pair.sides:
        send(address, "DELETE", f"{CONFIGS}/test.example.com")
        send(address, "DELETE", WORKSPACES)
        send(address, "DELETE", f"{CRDS}/inferencesets.kaito.sh")


def at(path):
    return lambda port, bundle: {"url": f"https://127.0.0.1:{port}{path}", "caBundle": bundle}


def service(name, **more):
    return lambda port, bundle: {"service": {"name": name, "namespace": NS, **more}, "caBundle": bundle}


def patched(value, name="a", path=WORKSPACES):
    return ("PATCH", f"{path}/{name}", {"metadata": {"annotations": {"x": value}}}, MERGE)


# (what the webhook is like, requests)
STEPS = [
    ("what is sent", dict(client_config=at("/ok")), [
        ("POST", WORKSPACES, workspace("a")),
        ("POST", WORKSPACES, workspace("a")),
        ("POST", WORKSPACES + "?dryRun=All&fieldManager=me&fieldValidation=Strict", workspace("dry")),
        ("POST", WORKSPACES, workspace("bad", resource={})),
        ("POST", ALPHA, workspace("b", "v1alpha1")),
        ("PUT", f"{WORKSPACES}/a", workspace("a")),
        patched("1"),
        patched("1"),
        ("PATCH", f"{WORKSPACES}/a?dryRun=All&fieldManager=me", [{"op": "add", "path": "/metadata/labels", "value": {"k": "v"}}],
         JSON_PATCH),
        ("PATCH", f"{WORKSPACES}/a/status", {"status": {"state": "Ready"}}, MERGE),
        patched("1", "b", ALPHA),
        patched("1", "missing"),
        ("DELETE", f"{WORKSPACES}/a", {"preconditions": {"uid": "other"}}),
        ("DELETE", f"{WORKSPACES}/a?dryRun=All"),
        ("DELETE", f"{WORKSPACES}/b", {"propagationPolicy": "Background", "gracePeriodSeconds": 0}),
        ("DELETE", f"{WORKSPACES}/b"),
    ]),
    ("subresources", dict(client_config=at("/ok"), rules=[rule(resources=["*/status"])]), [
        ("PATCH", f"{WORKSPACES}/a/status", {"status": {"state": "NotReady"}}, MERGE), patched("2")]),
    ("scale", dict(client_config=at("/ok"), rules=[rule(resources=["inferencesets/scale"], apiVersions=["*"])]), [
        ("POST", SETS, {"apiVersion": "kaito.sh/v1beta1", "kind": "InferenceSet", "metadata": {"name": "set"}, "spec": {
            "replicas": 1, "labelSelector": {"matchLabels": {"a": "b"}},
            "template": {"resource": {"instanceType": "x"}, "inference": {"preset": {"name": "phi-4"}}}}}),
        ("PATCH", f"{SETS}/set/scale", {"spec": {"replicas": 2}}, MERGE)]),
    ("exact versions", dict(client_config=at("/deny"), matchPolicy="Exact"), [
        ("POST", ALPHA, workspace("exact", "v1alpha1")), ("POST", WORKSPACES, workspace("exact2"))]),
    ("operations", dict(client_config=at("/deny"), rules=[rule(operations=["UPDATE", "DELETE"])]), [
        ("POST", WORKSPACES, workspace("made")), patched("3"), ("DELETE", f"{WORKSPACES}/a")]),
    ("namespaced scope", dict(client_config=at("/deny"), rules=[rule(apiGroups=["*"], apiVersions=["*"], resources=["*"],
                                                                    operations=["CREATE"], scope="Namespaced")]), [
        ("POST", f"{CORE}/configmaps", {"metadata": {"name": "scoped"}}),
        ("POST", "/api/v1/namespaces?dryRun=All", {"metadata": {"name": "scoped"}}),
        ("POST", CONFIGS + "?dryRun=All", configuration("o.example.com", {"url": "https://x"}))]),
    ("cluster scope", dict(client_config=at("/deny"), rules=[rule(apiGroups=["*"], apiVersions=["*"], resources=["*"],
                                                                 operations=["CREATE"], scope="Cluster")]), [
        ("POST", f"{CORE}/configmaps?dryRun=All", {"metadata": {"name": "scoped"}}),
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "scoped"}}),
        ("POST", CONFIGS + "?dryRun=All", configuration("o.example.com", {"url": "https://x"}))]),
    ("objects by label", dict(client_config=at("/ok"), objectSelector={"matchLabels": {"m": "1"}},
                              rules=[rule(apiGroups=[""], apiVersions=["v1"], resources=["configmaps"])]), [
        ("POST", f"{CORE}/configmaps", {"metadata": {"name": "with", "labels": {"m": "1"}}, "data": {"a": "b"}}),
        ("POST", f"{CORE}/configmaps", {"metadata": {"name": "without"}}),
        ("PATCH", f"{CORE}/configmaps/with", {"metadata": {"labels": None}}, MERGE),
        ("PATCH", f"{CORE}/configmaps/with", {"data": {"a": "c"}}, MERGE)]),
    ("namespaces by label", dict(client_config=at("/deny"), namespaceSelector={"matchLabels": {"team": "a"}},
                                 rules=[rule(apiGroups=[""], apiVersions=["v1"], resources=["*"], operations=["CREATE"])]), [
        ("POST", f"{CORE}/configmaps", {"metadata": {"name": "selected"}}),
        ("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", {"metadata": {"name": "selected"}}),
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "itself", "labels": {"team": "a"}}}),
        ("POST", "/api/v1/namespaces?dryRun=All", {"metadata": {"name": "itself"}})]),
    ("a service that is absent", dict(client_config=service("absent")), [("POST", WORKSPACES, workspace("s"))]),
    ("a service without the port", dict(client_config=service("plain")), [("POST", WORKSPACES, workspace("s"))]),
    ("nobody listens", dict(client_config=lambda port, bundle: {"url": "https://127.0.0.1:1/x"}), [
        ("POST", WORKSPACES, workspace("s"))]),
    ("an unknown CA", dict(client_config=lambda port, bundle: {"url": f"https://127.0.0.1:{port}/ok"}), [
        ("POST", WORKSPACES, workspace("s"))]),
] + [
    (f"answer {path}", dict(client_config=at(path)), [("POST", WORKSPACES + "?dryRun=All", workspace("answered"))])
    for path in (*DENIALS, "/warn", "/uid", "/absent", "/version", "/slow",
                 *(f"/status{code}" for code in (302, 400, 401, 403, 404, 405, 418, 429, 500, 502, 503)))
] + [
    (f"ignored {path}", dict(client_config=at(path), failurePolicy="Ignore"), [
        ("POST", WORKSPACES + "?dryRun=All", workspace("answered"))])
    for path in ("/uid", "/status500", "/slow", "/deny")
]


@pytest.mark.slow
@pytest.mark.parametrize("name, webhook, requests", STEPS, ids=[step[0] for step in STEPS])
def test_both_call_alike(pair, name, webhook, requests):
    pair.install(**webhook)
    for request in requests:
        ours, real = pair.ask(*request)
        assert ours == real, request


# ---- our webhook server ------------------------------------------------------------------------------------------------------


HOOK = "validation.workspace.kaito.sh"
SECRET = f"{CORE}/secrets/workspace-webhook-cert"


class Webhook:
    """The webhook server as the chart installs it: Secret, configuration, Service."""

    def __init__(self, address, folder):
        self.address, self.folder, self.process = address, folder, None
        self.port = servers.port_with_room()
        kubeconfig = {"apiVersion": "v1", "kind": "Config", "current-context": "c",
                      "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{address.port}",
                                                             "insecure-skip-tls-verify": True}}],
                      "users": [{"name": "u", "user": {"token": address.token}}],
                      "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}
        (folder / "kubeconfig").write_text(json.dumps(kubeconfig))

    def install(self):
        send(self.address, "DELETE", f"{CONFIGS}/test.example.com")
        for body, path in (
                ({"metadata": {"name": NS}}, "/api/v1/namespaces"),
                ({"metadata": {"name": "workspace-webhook-cert"}, "data": {"server-key.pem": "", "server-cert.pem": "",
                                                                         "ca-cert.pem": ""}}, f"{CORE}/secrets"),
                ({"metadata": {"name": "workspace"}, "spec": {"type": "ExternalName", "externalName": "localhost"}},
                 f"{CORE}/services"),
                (configuration(HOOK, {"service": {"name": "workspace", "namespace": NS, "port": self.port}}, timeoutSeconds=10,
                               rules=[rule(apiVersions=["v1alpha1", "v1beta1"], operations=["CREATE", "UPDATE"])]), CONFIGS)):
            answer = send(self.address, "POST", path, body)
            assert answer.status in (201, 409), answer

    def remove(self):
        self.stop()
        for path in (f"{CONFIGS}/{HOOK}", SECRET, f"{CORE}/services/workspace"):
            send(self.address, "DELETE", path)
        send(self.address, "DELETE", WORKSPACES)

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([PROGRAM, self.folder / "kubeconfig", str(self.port), "workspace", NS],
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout.readline() == "ready\n", (self.folder / "log").read_text()
        time.sleep(1)  # the API server hears of the configuration by a watch

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0

    def bundle(self):
        config = send(self.address, "GET", f"{CONFIGS}/{HOOK}").body
        return base64.b64decode(config["webhooks"][0]["clientConfig"].get("caBundle", "")).decode()

    def served(self):
        return ssl.get_server_certificate(("127.0.0.1", self.port))

    def wait(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)


@pytest.fixture(params=["ours", "real"])
def webhook(request, addresses, tmp_path):
    webhook = Webhook(addresses[request.param == "real"], tmp_path)
    webhook.install()
    yield webhook
    webhook.remove()


def message(answer):
    return answer.status, answer.body.get("message"), answer.body.get("reason")


@pytest.mark.slow
def test_it_denies_and_admits(webhook):
    webhook.start()
    denied = f'admission webhook "{HOOK}" denied the request: validation failed: '
    answer = send(webhook.address, "POST", WORKSPACES, workspace("w", inference={"preset": {"name": "no such model"}}))
    assert answer.status == 400 and answer.body["reason"] == "BadRequest", answer
    assert answer.body["message"].startswith(denied) and "no such model" in answer.body["message"], answer
    assert send(webhook.address, "POST", WORKSPACES, workspace("w")).status == 201
    resource = {"resource": {"instanceType": "Standard_NC6s_v3"}}
    answer = send(webhook.address, "PATCH", f"{WORKSPACES}/w", resource, MERGE)
    assert answer.status == 400 and answer.body["message"].startswith(denied), answer
    assert send(webhook.address, *patched("1", "w")).status == 200
    assert send(webhook.address, "DELETE", f"{WORKSPACES}/w").status == 200


@pytest.mark.slow
def test_without_it_the_policy_decides(webhook):
    webhook.start()
    webhook.stop()
    answer = send(webhook.address, "POST", WORKSPACES, workspace("w"))
    assert answer.status == 500 and "connection refused" in answer.body["message"], answer
    assert answer.body["message"].startswith(
        f'Internal error occurred: failed calling webhook "{HOOK}": failed to call webhook: Post '
        f'"https://workspace.{NS}.svc:{webhook.port}/validate/workspace.kaito.sh?timeout=10s": dial tcp '), answer
    patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    assert send(webhook.address, "PATCH", f"{CONFIGS}/{HOOK}", patch, JSON_PATCH).status == 200
    time.sleep(1)
    assert send(webhook.address, "POST", WORKSPACES, workspace("w")).status == 201


@pytest.mark.slow
def test_certificates_change_while_it_serves(webhook):
    webhook.start()
    old, first = webhook.bundle(), webhook.served()
    version = send(webhook.address, "GET", SECRET).body["metadata"]["resourceVersion"]
    assert send(webhook.address, "POST", WORKSPACES, workspace("w")).status == 201
    stop, failures, asked = threading.Event(), [], []

    def keep_asking():
        while not stop.is_set():
            answer = send(webhook.address, *patched(str(len(asked)), "w"))
            asked.append(answer.status)
            if answer.status != 200:
                failures.append(answer)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        webhook.process.send_signal(signal.SIGUSR1)
        webhook.wait(lambda: webhook.bundle() not in ("", old))
        assert webhook.bundle().endswith(old) and webhook.served() == first  # both are trusted, the old one is shown
        time.sleep(2)
        webhook.process.send_signal(signal.SIGUSR2)
        webhook.wait(lambda: webhook.served() != first)
        time.sleep(1)
    finally:
        stop.set()
        thread.join()
    assert not failures and len(asked) > 10, failures[:3]
    secret = send(webhook.address, "GET", SECRET).body
    assert secret["metadata"]["resourceVersion"] != version
    assert base64.b64decode(secret["data"]["server-cert.pem"]).decode().strip() == webhook.served().strip()


@pytest.mark.slow
def test_what_is_right_is_not_written(webhook):
    webhook.start()
    objects = (SECRET, f"{CONFIGS}/{HOOK}")
    before = [send(webhook.address, "GET", path).body["metadata"]["resourceVersion"] for path in objects]
    webhook.stop()
    webhook.start()
    assert [send(webhook.address, "GET", path).body["metadata"]["resourceVersion"] for path in objects] == before
    config = send(webhook.address, "GET", f"{CONFIGS}/{HOOK}").body
    assert config["metadata"]["ownerReferences"][0]["name"] == NS
    del config["webhooks"][0]["clientConfig"]["caBundle"]  # as an upgrade of the chart does it
    assert send(webhook.address, "PUT", f"{CONFIGS}/{HOOK}", config).status == 200
    webhook.wait(webhook.bundle)
    time.sleep(1)
    assert send(webhook.address, "POST", WORKSPACES + "?dryRun=All", workspace("w")).status == 201


@pytest.mark.slow
def test_old_tls_is_refused(webhook):
    webhook.start()
    for version, works in (("-tls1_3", True), ("-tls1_2", False)):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{webhook.port}", version], input="",
                              capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode == 0) == works, done.stderr
