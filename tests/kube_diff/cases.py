"""The requests, as data.

cases/GROUP.yaml is a list of steps, which run in order in the namespace kd-GROUP. A step:

    name:     what it is about; with the group's name it is the case's id, "GROUP/name"
    request:  METHOD PATH. A path that does not begin with "/" begins with a resource of RESOURCES, which stands for its
              place in the API: "GET pods/a/status" in group "pods" is GET /api/v1/namespaces/kd-pods/pods/a/status
    body:     sent as JSON
    text:     sent as it is, instead of body
    file:     a JSON file of the repository, instead of body
    type:     Content-Type: one of TYPES or literally; JSON when not given
    accept:   Accept: one of ACCEPTS or literally
    keep:     {variable: pointer}: takes a string of the answer into later steps of the group, each server its own; there,
              "$variable" in request, body and text stands for it. $ns is the namespace
    mask:     {pattern: replacement}: regular expressions, applied to every string of the answer
    ignore:   [pointer pattern]: members that are not compared
    pick:     {pointer: [name]}: of the list at pointer, only the elements of these names are compared
    sort:     [pointer]: lists whose order has no meaning
    until:    {pointer: value}: the request is repeated, for at most 30 s, until the answer is so; "" is its status, null
              means absent
    events:   the request is a watch: so many events are waited for; more that come within a moment are a difference

Instead of `request`, `create` is short for a POST of each of these bodies, whose answers are compared too.
"""
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

RESOURCES = {
    "configmaps": "/api/v1/namespaces/$ns/configmaps",
    "endpoints": "/api/v1/namespaces/$ns/endpoints",
    "events": "/api/v1/namespaces/$ns/events",
    "persistentvolumeclaims": "/api/v1/namespaces/$ns/persistentvolumeclaims",
    "pods": "/api/v1/namespaces/$ns/pods",
    "secrets": "/api/v1/namespaces/$ns/secrets",
    "serviceaccounts": "/api/v1/namespaces/$ns/serviceaccounts",
    "services": "/api/v1/namespaces/$ns/services",
    "namespaces": "/api/v1/namespaces",
    "nodes": "/api/v1/nodes",
    "statefulsets": "/apis/apps/v1/namespaces/$ns/statefulsets",
    "controllerrevisions": "/apis/apps/v1/namespaces/$ns/controllerrevisions",
    "deployments": "/apis/apps/v1/namespaces/$ns/deployments",
    "replicasets": "/apis/apps/v1/namespaces/$ns/replicasets",
    "jobs": "/apis/batch/v1/namespaces/$ns/jobs",
    "endpointslices": "/apis/discovery.k8s.io/v1/namespaces/$ns/endpointslices",
    "roles": "/apis/rbac.authorization.k8s.io/v1/namespaces/$ns/roles",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1/namespaces/$ns/rolebindings",
    "persistentvolumes": "/api/v1/persistentvolumes",
    "storageclasses": "/apis/storage.k8s.io/v1/storageclasses",
    "csidrivers": "/apis/storage.k8s.io/v1/csidrivers",
    "leases": "/apis/coordination.k8s.io/v1/namespaces/$ns/leases",
    "customresourcedefinitions": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "validatingwebhookconfigurations": "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "workspaces": "/apis/kaito.sh/v1beta1/namespaces/$ns/workspaces",
}
TYPES = {
    "json": "application/json",
    "yaml": "application/yaml",
    "merge-patch": "application/merge-patch+json",
    "json-patch": "application/json-patch+json",
    "strategic-patch": "application/strategic-merge-patch+json",
    "apply-patch": "application/apply-patch+yaml",
}
ACCEPTS = {
    "table": "application/json;as=Table;v=v1;g=meta.k8s.io, application/json",
    "table-only": "application/json;as=Table;v=v1;g=meta.k8s.io",
    "partial": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "partial-list": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "discovery": "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList",
    "yaml": "application/yaml",
}
KEYS = {"name", "request", "create", "body", "text", "file", "type", "accept", "keep", "mask", "ignore", "pick", "sort", "until",
        "events"}


class Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: times are strings, and only true and false are booleans."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if not tag.endswith((":timestamp", ":bool"))]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


@dataclass
class Case:
    group: str
    name: str
    method: str
    path: str
    body: bytes | None = None
    type: str | None = None
    accept: str | None = None
    keep: dict = field(default_factory=dict)
    mask: dict = field(default_factory=dict)
    ignore: list = field(default_factory=list)
    pick: dict = field(default_factory=dict)
    sort: list = field(default_factory=list)
    until: dict = field(default_factory=dict)
    events: int | None = None

    @property
    def id(self):
        return f"{self.group}/{self.name}"


def full_path(path):
    if path.startswith("/"):
        return path
    resource, rest = re.match(r"([a-z]+)(.*)", path, re.S).groups()
    return RESOURCES[resource] + rest


def media(name, names):
    return names.get(name, name)


def body_of(step):
    if "text" in step:
        return step["text"].encode()
    if "file" in step:
        return (ROOT / step["file"]).read_bytes()
    return json.dumps(step["body"]).encode() if "body" in step else None


def read_step(group, step):
    unknown = set(step) - KEYS
    if unknown or "name" not in step:
        raise ValueError(f"{group}: step {step}: unknown {sorted(unknown)}, or no name")
    if "create" in step:
        for i, body in enumerate(step["create"]):
            plural = next(p for p in RESOURCES if p in (body["kind"].lower() + "s", body["kind"].lower()))
            yield Case(group, f"{step['name']} {i + 1}", "POST", full_path(plural), json.dumps(body).encode(), TYPES["json"])
        return
    method, path = step["request"].split(" ", 1)
    body = body_of(step)
    kind = media(step.get("type", "json" if body is not None else None), TYPES)
    yield Case(group, step["name"], method, full_path(path), body, kind or None, media(step.get("accept"), ACCEPTS),
               **{k: step[k] for k in ("keep", "mask", "ignore", "pick", "sort", "until", "events") if k in step})


def read_groups():
    """{group: [Case]}, in the order of their names."""
    groups = {}
    for path in sorted(HERE.glob("cases/*.yaml")):
        steps = yaml.load(path.read_text(), Loader)
        groups[path.stem] = [case for step in steps for case in read_step(path.stem, step)]
        names = [case.name for case in groups[path.stem]]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"{path.name}: more than one step is called {sorted(twice)}")
    return groups
