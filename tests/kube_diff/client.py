"""Sends the requests of a group to one server."""
import http.client
import json
import re
import socket
import time
from dataclasses import dataclass

from .servers import INSECURE

PATIENCE = 30          # seconds that `until` may take
QUIET = 10             # seconds in which an event that is expected has to come
EXTRA = 0.15           # seconds in which events that were not expected are waited for


@dataclass
class Answer:
    status: int
    headers: list      # (name, value)
    body: object       # JSON, or text; of a watch the list of its events

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


def pointer_get(value, pointer, default=None):
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(part) if isinstance(value, list) else part]
        except (KeyError, IndexError, TypeError, ValueError):
            return default
    return value


class Client:
    def __init__(self, address):
        self.address = address
        self.connection = None

    def connect(self, timeout):
        connection = http.client.HTTPSConnection("127.0.0.1", self.address.port, timeout=timeout, context=INSECURE)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def begin(self, connection, method, path, body, headers):
        headers = {"Authorization": f"Bearer {self.address.token}", "User-Agent": "kube-diff/1.0", **headers}
        connection.request(method, path, body, headers)
        return connection.getresponse()

    def send(self, method, path, body=None, headers=None):
        """One request on the connection that is kept; a new one when the server has closed it."""
        for again in (True, False):
            try:
                if not self.connection:
                    self.connection = self.connect(30)
                response = self.begin(self.connection, method, path, body, headers or {})
                return Answer(response.status, response.getheaders(), decode(response.read()))
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if not again:
                    raise

    def watch(self, method, path, headers, events):
        """The first events, and those that follow at once; an answer that is no stream as it is."""
        connection = self.connect(QUIET)
        try:
            response = self.begin(connection, method, path, None, headers)
            if response.status != 200:
                return Answer(response.status, response.getheaders(), decode(response.read()))
            got = []
            try:
                while True:
                    if len(got) >= events:
                        connection.sock.settimeout(EXTRA)
                    line = response.readline()
                    if not line:
                        break
                    got.append(json.loads(line))
            except TimeoutError:
                pass
            while len(got) > events and got[-1]["type"] == "BOOKMARK":
                got.pop()  # those that nobody waits for come when they like
            return Answer(response.status, response.getheaders(), got)
        finally:
            connection.close()

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def decode(data):
    """JSON, JSON lines, or text."""
    text = data.decode(errors="replace")
    if "}\n{" in text:
        return [json.loads(line) for line in text.splitlines()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def fill_in(text, variables):
    """$name → its value; what is no variable stays."""
    return re.sub(r"\$(\w+)", lambda m: variables.get(m.group(1), m.group()), text)


def wanted(case, answer):
    for pointer, value in case.until.items():
        got = answer.status if pointer == "" else pointer_get(answer.body, pointer)
        if got != value:
            return False
    return True


def run_case(client, case, variables):
    headers = {}
    if case.type:
        headers["Content-Type"] = case.type
    if case.accept:
        headers["Accept"] = case.accept
    path = fill_in(case.path, variables)
    body = fill_in(case.body.decode("utf-8", "surrogateescape"), variables).encode("utf-8", "surrogateescape") if case.body else case.body
    if case.events is not None:
        answer = client.watch(case.method, path, headers, case.events)
    else:
        end = time.monotonic() + PATIENCE
        answer = client.send(case.method, path, body, headers)
        while not wanted(case, answer) and time.monotonic() < end:
            time.sleep(0.02)
            answer = client.send(case.method, path, body, headers)
    for name, pointer in case.keep.items():
        variables[name] = str(pointer_get(answer.body, pointer, ""))
    return answer, path, body


def run_group(address, group, cases):
    """[(Answer, path, body) or the exception that prevented it], one per case."""
    client, variables, results = Client(address), {"ns": f"kd-{group}"}, []
    try:
        client.send("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": variables["ns"]}}),
                    {"Content-Type": "application/json"})
        client.send("POST", f"/api/v1/namespaces/{variables['ns']}/serviceaccounts", json.dumps({"metadata": {"name": "default"}}),
                    {"Content-Type": "application/json"})
        for case in cases:
            try:
                results.append(run_case(client, case, variables))
            except (OSError, http.client.HTTPException, ValueError) as error:
                client.close()
                results.append(error)
    finally:
        client.close()
    return results
