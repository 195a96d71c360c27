"""Where things are and which ports are used. All of it can be set from outside; README.md lists the variables."""
import os
import random
import socket

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCENARIOS = os.path.join(HERE, 'scenarios')
SETUP = os.path.join(HERE, 'setup')
CRDS = os.path.join(HERE, 'crds')  # of kinds that the operator only looks at; its own are in DATA


def _path(variable, default):
    return os.path.abspath(os.environ.get(variable) or default)


DATA = _path('GOLDEN_DATA', os.path.join(HERE, '..', '..', 'data'))
KUBE_TOOL = _path('GOLDEN_KUBE', os.path.join(HERE, '..', 'kube', 'kube'))
ACCEPTED = _path('GOLDEN_ACCEPTED', os.path.join(HERE, 'accepted.json'))
BUILD = _path('KAITO_BUILD', os.path.join(HERE, '..', '..', 'build'))
RUN = _path('GOLDEN_RUN', '.golden')
KUBE_DIR = _path('KUBE_DIR', os.path.join(RUN, 'kube'))
EMBEDDED = os.environ.get('GOLDEN_SERVER') == 'embedded'
CLUSTER_BIN = _path('GOLDEN_CLUSTER_BIN', os.path.join(BUILD, 'tests', 'golden', 'golden_cluster'))
OWN_KUBECONFIG = os.path.join(KUBE_DIR, 'kubeconfig')
KUBECONFIG = OWN_KUBECONFIG if EMBEDDED else _path('KUBECONFIG', OWN_KUBECONFIG)
WORKSPACE_BIN = os.environ.get('GOLDEN_WORKSPACE_BIN', '')
RAGENGINE_BIN = os.environ.get('GOLDEN_RAGENGINE_BIN', '')

# Ports on this machine, counted from GOLDEN_PORT so that several harnesses can run side by side.
_FIRST_PORT = int(os.environ.get('GOLDEN_PORT', '18080'))
WORKSPACE_METRICS_PORT = _FIRST_PORT
WORKSPACE_HEALTH_PORT = _FIRST_PORT + 1
WORKSPACE_WEBHOOK_PORT = _FIRST_PORT + 2
RAGENGINE_METRICS_PORT = _FIRST_PORT + 10
RAGENGINE_HEALTH_PORT = _FIRST_PORT + 11
RAGENGINE_WEBHOOK_PORT = _FIRST_PORT + 12
KUBELET_PORT = _FIRST_PORT + 20


def resolve_scenarios(folder):
    """Accept a folder of scenarios, or a folder that has one called scenarios."""
    inner = os.path.join(folder, 'scenarios')
    return os.path.abspath(inner if os.path.isdir(inner) else folder)


def run_file(*parts):
    """Return the path of a file of this run; its folder is made."""
    path = os.path.join(RUN, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def free_ports(count):
    """Return the first of count ports in a row that nothing listens on, below those that the kernel hands out."""
    while True:
        first = random.randrange(20000, 32000)
        for port in range(first, first + count):
            with socket.socket() as probe:
                if probe.connect_ex(('127.0.0.1', port)) == 0:
                    break
        else:
            return first
