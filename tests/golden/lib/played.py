"""The played parts of a cluster: node provisioner (NodeClaims, static NodePools), kubelet, volume provisioner.

A Gate for each namespace says how far they may go, so that a scenario decides when each stage happens.
"""
import datetime
import json
import os
import ssl
import subprocess
import threading
import time
import traceback
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kubeapi
import settings

with open(os.path.join(settings.DATA, 'skus.json')) as _file:
    SKUS = {sku['name']: sku for sku in json.load(_file)}

STATE_ANNOTATION = 'golden.test/state'
TERMINATION_FINALIZER = 'karpenter.sh/termination'
NAMESPACE_LABELS = (
    'kaito.sh/workspacenamespace',
    'kaito.sh/ragenginenamespace',
    'karpenter.kaito.sh/workspace-namespace',
)
CLAIM_CONDITIONS = ('Launched', 'Registered', 'Initialized', 'Ready')
BENCHMARK_LOG = (
    b'2026-01-01 KAITO_BENCHMARK_CONFIG v1 {"duration_sec": 60, "input_tokens": 1024, "output_tokens": 256,'
    b' "max_concurrency": 64}\n'
    b'2026-01-01 KAITO_BENCHMARK_RESULT v1 {"vllm_total_tpm": 123456.5, "ttft_avg_ms": 100.0, "tpot_avg_ms": 20.0}\n'
)


class Gate:
    """What the played parts do in one namespace; scenarios set these attributes by name."""

    def __init__(self, changes=None):
        self.claims = 'none'  # NodeClaims: none | awaiting | failed | ready
        self.pools = False  # whether static NodePools get NodeClaims
        self.nodes_ready = True
        self.accel_label = True  # whether the provisioner labels GPU nodes accelerator=nvidia
        self.gpu_plugin = True  # whether nodes have nvidia.com/gpu capacity
        self.pods = None  # None | ready | crashloop | oom | imagepull | evicted
        self.jobs = None  # None | succeeded | failed
        self.pvc = True  # whether claims of volumes are bound
        self.term = True  # whether NodeClaims may finish their termination
        self.benchlog = True  # whether container logs carry a benchmark result
        for name, value in (changes or {}).items():
            setattr(self, name, value)


GATES = {}  # namespace -> Gate


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')


def condition(kind, status='True', reason=None, message=''):
    return {
        'type': kind,
        'status': status,
        'reason': reason or kind,
        'message': message,
        'lastTransitionTime': now(),
    }


def owner_namespaces(obj):
    """Return the namespaces of the Workspace or RAGEngine that a cluster-scoped object was made for."""
    labels = obj['metadata'].get('labels', {})
    return [labels.get(label) for label in NAMESPACE_LABELS]


def gpu_count(instance_type):
    if instance_type in SKUS:
        return SKUS[instance_type]['gpuCount']
    return 0 if instance_type.startswith(('Standard_D', 'm5')) else 1


def node_object(name, labels, instance_type, taints=(), gpus=None, gpu_plugin=True, ready=True):
    """Return a Node with the capacity of its instance type, or with gpus GPUs."""
    count = gpu_count(instance_type) if gpus is None else gpus
    capacity = {'cpu': '192', 'memory': '2000Gi', 'ephemeral-storage': '20Ti', 'pods': '250'}
    if gpu_plugin and count:
        capacity['nvidia.com/gpu'] = str(count)
    mig = labels.get('nvidia.com/mig.config', '')
    if mig.startswith('all-') and mig != 'all-disabled' and labels.get('nvidia.com/mig.config.state') == 'success':
        capacity['nvidia.com/mig-' + mig[len('all-'):]] = '3'
        capacity.pop('nvidia.com/gpu', None)
    all_labels = {
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/hostname': name,
    }
    if instance_type:
        all_labels['node.kubernetes.io/instance-type'] = instance_type
    all_labels.update(labels)
    ready_condition = condition('Ready', 'True' if ready else 'False', 'KubeletReady', 'played kubelet')
    ready_condition['lastHeartbeatTime'] = now()
    return {
        'apiVersion': 'v1',
        'kind': 'Node',
        'metadata': {'name': name, 'labels': all_labels, 'annotations': {'golden.test/fake': 'true'}},
        'spec': {'providerID': 'azure:///golden/' + name, 'taints': list(taints)},
        'status': {
            'capacity': capacity,
            'allocatable': capacity,
            'addresses': [{'type': 'InternalIP', 'address': '127.0.0.1'}],
            'daemonEndpoints': {'kubeletEndpoint': {'Port': settings.KUBELET_PORT}},
            'conditions': [ready_condition],
            'nodeInfo': {
                'architecture': 'amd64',
                'bootID': '',
                'containerRuntimeVersion': 'containerd://2.0',
                'kernelVersion': '6',
                'kubeProxyVersion': '',
                'kubeletVersion': 'v1.35.4',
                'machineID': '',
                'operatingSystem': 'linux',
                'osImage': 'fake',
                'systemUUID': '',
            },
        },
    }


def put_node(node):
    """Create the Node, or bring the taints and status of an existing one up to date."""
    node = dict(node)
    status = node.pop('status')
    name = node['metadata']['name']
    kubeapi.ensure(node)
    # Admission adds a not-ready taint, and the node lifecycle controller that would remove it is off.
    kubeapi.patch('Node', None, name, {'spec': {'taints': node['spec']['taints'] or None}})
    kubeapi.patch_status('Node', None, name, status)


def claim_ready_status(node):
    """Return the status of a NodeClaim whose Node is up."""
    name = node['metadata']['name']
    capacity = node['status']['capacity']
    return {
        'nodeName': name,
        'providerID': 'azure:///golden/' + name,
        'imageID': 'golden',
        'capacity': capacity,
        'allocatable': capacity,
        'conditions': [condition(kind) for kind in CLAIM_CONDITIONS],
    }


def node_for_claim(claim, gate):
    """Return the Node that the provisioner makes for a NodeClaim."""
    name = claim['metadata']['name']
    instance_type = ''
    for requirement in claim['spec']['requirements']:
        if requirement['key'] == 'node.kubernetes.io/instance-type':
            instance_type = requirement['values'][0]
            break
    labels = dict(claim['metadata'].get('labels', {}))
    labels.update({
        'karpenter.sh/registered': 'true',
        'karpenter.sh/initialized': 'true',
        'agentpool': name,
        'kubernetes.azure.com/agentpool': name,
        'topology.kubernetes.io/region': 'eastus',
        'topology.kubernetes.io/zone': 'eastus-1',
    })
    if gpu_count(instance_type):
        labels['kaito.sh/machine-type'] = 'gpu'
        if gate.accel_label:
            labels['accelerator'] = 'nvidia'
    return node_object('n-' + name, labels, instance_type, claim['spec'].get('taints', []),
                       gpu_plugin=gate.gpu_plugin, ready=gate.nodes_ready)


def _ignore(codes, action, *arguments):
    """Call action; ignore ApiErrors with one of these codes: the object changed or went in the meantime."""
    try:
        action(*arguments)
    except kubeapi.ApiError as error:
        if error.code not in codes:
            raise


def delete_node(name):
    _ignore((404,), kubeapi.delete, 'Node', None, name)


class Provisioner:
    """Plays Karpenter: NodeClaims become Nodes, static NodePools become NodeClaims."""

    def __init__(self):
        self._served = {}  # claim name -> gate settings that its node was made with

    def serve_claims(self):
        for claim in kubeapi.list_all('NodeClaim'):
            namespace = next(filter(None, owner_namespaces(claim)), None)
            gate = GATES.get(namespace)
            if gate:
                _ignore((404, 409), self._serve_claim, claim, gate)

    def _serve_claim(self, claim, gate):
        metadata = claim['metadata']
        name = metadata['name']
        if metadata.get('deletionTimestamp'):
            if gate.term and metadata.get('finalizers'):
                self._terminate(claim)
            return
        if gate.claims == 'none':
            return
        if TERMINATION_FINALIZER not in metadata.get('finalizers', []):
            kubeapi.patch('NodeClaim', None, name, {'metadata': {'finalizers': [TERMINATION_FINALIZER]}})
        conditions = {item['type']: item for item in claim.get('status', {}).get('conditions', [])}
        if gate.claims == 'awaiting':
            if not conditions:
                self._set_conditions(name, [self._awaiting(kind) for kind in CLAIM_CONDITIONS])
        elif gate.claims == 'failed':
            if conditions.get('Launched', {}).get('reason') != 'LaunchFailed':
                self._set_conditions(name, [
                    condition('Launched', 'Unknown', 'LaunchFailed', 'creating instance failed: quota exceeded'),
                    self._awaiting('Registered'),
                    self._awaiting('Initialized'),
                    condition('Ready', 'Unknown', 'ReconcilingDependents', 'x'),
                ])
        else:
            self._provision(claim, gate)

    @staticmethod
    def _awaiting(kind):
        return condition(kind, 'Unknown', 'AwaitingReconciliation', 'object is awaiting reconciliation')

    @staticmethod
    def _set_conditions(name, conditions):
        kubeapi.patch_status('NodeClaim', None, name, {'conditions': conditions})

    @staticmethod
    def _terminate(claim):
        node = claim.get('status', {}).get('nodeName')
        if node:
            delete_node(node)
        kubeapi.patch('NodeClaim', None, claim['metadata']['name'], {'metadata': {'finalizers': None}})

    def _provision(self, claim, gate):
        name = claim['metadata']['name']
        wanted = (gate.nodes_ready, gate.accel_label, gate.gpu_plugin)
        if self._served.get(name) == wanted:
            return
        node = node_for_claim(claim, gate)
        put_node(node)
        kubeapi.patch_status('NodeClaim', None, name, claim_ready_status(node))
        self._served[name] = wanted

    @staticmethod
    def serve_pools():
        pools = kubeapi.list_all('NodePool')
        if not pools:
            return
        claims = kubeapi.list_all('NodeClaim', fresh=True)  # those that were made a moment ago count
        for pool in pools:
            metadata = pool['metadata']
            labels = metadata.get('labels', {})
            gate = GATES.get(labels.get('karpenter.kaito.sh/workspace-namespace'))
            if not gate or not gate.pools or metadata.get('deletionTimestamp'):
                continue
            if not pool.get('status', {}).get('conditions'):
                kubeapi.patch_status('NodePool', None, metadata['name'], {
                    'conditions': [condition('Ready'), condition('ValidationSucceeded'), condition('NodeClassReady')],
                })
            alive = sum(
                1 for claim in claims
                if claim['metadata'].get('labels', {}).get('karpenter.sh/nodepool') == metadata['name']
                and not claim['metadata'].get('deletionTimestamp'))
            for _ in range(alive, pool['spec'].get('replicas', 0)):
                kubeapi.create(_claim_of_pool(pool))


def _claim_of_pool(pool):
    """Return a NodeClaim of a static NodePool."""
    metadata = pool['metadata']
    template = pool['spec']['template']
    copied = ('nodeClassRef', 'requirements', 'taints', 'expireAfter')
    return {
        'apiVersion': 'karpenter.sh/v1',
        'kind': 'NodeClaim',
        'metadata': {
            'generateName': metadata['name'][:50] + '-',
            'labels': {**template['metadata'].get('labels', {}), 'karpenter.sh/nodepool': metadata['name']},
            'ownerReferences': [{
                'apiVersion': 'karpenter.sh/v1',
                'kind': 'NodePool',
                'name': metadata['name'],
                'uid': metadata['uid'],
                'blockOwnerDeletion': True,
            }],
        },
        'spec': {key: value for key, value in template['spec'].items() if key in copied},
    }


class Kubelet:
    """Plays the kubelet: the status of scheduled pods, and graceful deletion."""

    def serve_pods(self):
        for pod in kubeapi.list_all('Pod'):
            gate = GATES.get(pod['metadata']['namespace'])
            if gate:
                _ignore((404, 409), self.serve_pod, pod, gate)

    def serve_pod(self, pod, gate):
        """Bring one pod to the state that the gate asks for."""
        metadata = pod['metadata']
        namespace, name = metadata['namespace'], metadata['name']
        if metadata.get('deletionTimestamp'):
            kubeapi.delete('Pod', namespace, name, {'gracePeriodSeconds': 0})
            return
        if not pod['spec'].get('nodeName') or not gate.pods:
            return
        labels = metadata.get('labels', {})
        of_job = 'job-name' in labels or 'batch.kubernetes.io/job-name' in labels
        wanted = gate.jobs if of_job and gate.jobs else gate.pods
        if metadata.get('annotations', {}).get(STATE_ANNOTATION) == wanted:
            return
        kubeapi.patch_status('Pod', namespace, name, pod_status(pod, wanted))
        kubeapi.patch('Pod', namespace, name, {'metadata': {'annotations': {STATE_ANNOTATION: wanted}}})


def _running():
    return {'running': {'startedAt': now()}}


def _terminated(exit_code, reason, **more):
    return {'terminated': {'exitCode': exit_code, 'reason': reason, 'startedAt': now(), 'finishedAt': now(), **more}}


def _waiting(reason, message):
    return {'waiting': {'reason': reason, 'message': message}}


def _crashed(last_state):
    return {
        'state': _waiting('CrashLoopBackOff', 'back-off'),
        'restartCount': 3,
        'lastState': last_state,
    }


# wanted state of a pod -> (phase, what is special about its containers' status)
POD_STATES = {
    'ready': ('Running', lambda: {'state': _running(), 'ready': True, 'started': True}),
    'succeeded': ('Succeeded', lambda: {'state': _terminated(0, 'Completed')}),
    'failed': ('Failed', lambda: {'state': _terminated(1, 'Error')}),
    'crashloop': ('Running', lambda: _crashed(_terminated(1, 'Error', message='boom'))),
    'oom': ('Running', lambda: _crashed(_terminated(137, 'OOMKilled'))),
    'imagepull': ('Pending', lambda: {'state': _waiting('ImagePullBackOff', 'back-off pulling image')}),
    'evicted': ('Failed', lambda: {'state': _terminated(137, 'Error')}),
}


def _container_status(container, **special):
    return {
        'name': container['name'],
        'image': container['image'],
        'imageID': 'sha256:golden',
        'containerID': 'containerd://golden',
        'restartCount': 0,
        'ready': False,
        'started': False,
        **special,
    }


def _init_container_status(container):
    if container.get('restartPolicy') == 'Always':
        return _container_status(container, state=_running(), ready=True, started=True)
    return _container_status(container, state=_terminated(0, 'Completed'), ready=True)


def pod_status(pod, wanted):
    """Return the status of a pod in one of POD_STATES."""
    phase, special = POD_STATES[wanted]
    ready = 'True' if wanted == 'ready' else 'False'
    number = zlib.crc32(pod['metadata']['uid'].encode())
    address = f'10.1.{number % 250}.{number // 250 % 250 + 1}'
    status = {
        'phase': phase,
        'podIP': address,
        'podIPs': [{'ip': address}],
        'hostIP': '127.0.0.1',
        'startTime': now(),
        'initContainerStatuses': [_init_container_status(c) for c in pod['spec'].get('initContainers', [])],
        'containerStatuses': [_container_status(c, **special()) for c in pod['spec']['containers']],
        'conditions': [
            {'type': kind, 'status': value, 'lastTransitionTime': now()}
            for kind, value in (('PodScheduled', 'True'), ('Initialized', 'True'),
                                ('ContainersReady', ready), ('Ready', ready))
        ],
    }
    if wanted == 'evicted':
        status['reason'] = 'Evicted'
        status['message'] = 'The node was low on resource: ephemeral-storage.'
    return status


class VolumeProvisioner:
    """Plays the CSI drivers: a PersistentVolume for each claim."""

    def __init__(self):
        self._served = set()  # uids of claims

    def serve_volumes(self):
        for claim in kubeapi.list_all('PersistentVolumeClaim'):
            metadata, spec = claim['metadata'], claim['spec']
            gate = GATES.get(metadata['namespace'])
            if not gate or not gate.pvc or spec.get('volumeName') or metadata.get('deletionTimestamp'):
                continue
            if metadata['uid'] in self._served:
                continue
            storage_class = spec.get('storageClassName')
            selected = 'volume.kubernetes.io/selected-node' in metadata.get('annotations', {})
            if storage_class == 'kaito-local-nvme-disk' and not selected:
                continue
            if settings.EMBEDDED:
                self._bind(metadata)
                self._served.add(metadata['uid'])
                continue
            kubeapi.create({
                'apiVersion': 'v1',
                'kind': 'PersistentVolume',
                'metadata': {'name': 'pv-' + metadata['uid'][:13]},
                'spec': {
                    'capacity': spec['resources']['requests'],
                    'accessModes': spec['accessModes'],
                    'storageClassName': storage_class or '',
                    'persistentVolumeReclaimPolicy': 'Delete',
                    'volumeMode': spec.get('volumeMode', 'Filesystem'),
                    'hostPath': {'path': '/var/empty'},
                    'claimRef': {
                        'apiVersion': 'v1',
                        'kind': 'PersistentVolumeClaim',
                        'namespace': metadata['namespace'],
                        'name': metadata['name'],
                        'uid': metadata['uid'],
                    },
                },
            })
            self._served.add(metadata['uid'])

    @staticmethod
    def _bind(metadata):
        """As the controller of volumes would leave the claim, where there is none."""
        bound = {'metadata': {'annotations': {'pv.kubernetes.io/bind-completed': 'yes'}}}
        kubeapi.patch('PersistentVolumeClaim', metadata['namespace'], metadata['name'], bound)
        kubeapi.patch_status('PersistentVolumeClaim', metadata['namespace'], metadata['name'], {'phase': 'Bound'})


class _LogHandler(BaseHTTPRequestHandler):
    """GET /containerLogs/NAMESPACE/POD/CONTAINER"""

    def log_message(self, *arguments):
        """Be quiet."""

    def do_GET(self):  # noqa: N802 (the name that http.server looks for)
        parts = self.path.split('?')[0].split('/')
        body = b'starting\n'
        if len(parts) >= 5 and parts[1] == 'containerLogs':
            gate = GATES.get(parts[2])
            if gate and gate.benchlog:
                body += BENCHMARK_LOG
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def start_log_server():
    """Serve container logs over HTTPS on the kubelet's port, as the API server expects them."""
    certificate = settings.run_file('kubelet.crt')
    key = settings.run_file('kubelet.key')
    if not os.path.exists(certificate):
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate,
             '-days', '30', '-subj', '/CN=golden'], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    log_server = ThreadingHTTPServer(('127.0.0.1', settings.KUBELET_PORT), _LogHandler)
    log_server.socket = context.wrap_socket(log_server.socket, server_side=True)
    threading.Thread(target=log_server.serve_forever, daemon=True).start()


PARTS = 4


class Cluster:
    """All played parts, in threads of their own: they poll the API server, or wake up when the mirror says so."""

    def __init__(self):
        self.errors = 0
        self._rounds = {}  # action -> when its last complete round began

    def has_looked_since(self, moment):
        """Tell whether all parts have had a round that began after the moment, and ended."""
        return len(self._rounds) == PARTS and min(self._rounds.values()) > moment

    def start(self):
        provisioner = Provisioner()
        loops = (
            (provisioner.serve_claims, 0.4),
            (Kubelet().serve_pods, 0.4),
            (provisioner.serve_pools, 0.5),
            (VolumeProvisioner().serve_volumes, 0.6),
        )
        for action, pause in loops:
            threading.Thread(target=self._loop, args=(action, pause), daemon=True).start()
        if not settings.EMBEDDED:
            start_log_server()

    def _loop(self, action, pause):
        version = 0
        while True:
            if kubeapi.mirror:
                version = kubeapi.mirror.wait(version, pause)
            began = time.time()
            try:
                if GATES:
                    action()
                self._rounds[action.__qualname__] = began
            except Exception:  # the next round tries again
                self.errors += 1
                if os.environ.get('GOLDEN_DEBUG'):
                    traceback.print_exc()
            time.sleep(0.02 if kubeapi.mirror else pause)
