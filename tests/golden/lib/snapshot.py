"""Collect what belongs to one scenario and bring it into a form that does not change from run to run.

README.md says what is dropped, replaced and sorted.
"""
import copy
import datetime
import json
import re

import yaml

import kubeapi
import played

NAMESPACED_KINDS = (
    'Workspace', 'InferenceSet', 'RAGEngine', 'MultiRoleInference', 'Service', 'StatefulSet', 'Deployment', 'Job',
    'ConfigMap', 'PersistentVolumeClaim', 'Secret', 'ServiceAccount', 'ControllerRevision', 'HelmRelease',
    'OCIRepository', 'Role', 'RoleBinding',
)
CLUSTER_KINDS = ('NodeClaim', 'NodePool', 'ModelMirror', 'Node')
KIND_ORDER = {kind: index for index, kind in enumerate(NAMESPACED_KINDS + CLUSTER_KINDS)}

# Events of these are the cluster's own.
SYSTEM_COMPONENTS = (
    'default-scheduler', 'statefulset-controller', 'job-controller', 'deployment-controller',
    'replicaset-controller', 'persistentvolume-controller', 'kubelet', 'ipallocator-repair-controller',
    'node-controller', 'taint-eviction-controller', 'controllermanager', 'endpoint-slice-controller',
)
DROPPED_METADATA = (
    'uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'generation', 'selfLink',
    'deletionGracePeriodSeconds', 'generateName',
)
DROPPED_CONDITION_FIELDS = (
    'message', 'lastTransitionTime', 'lastUpdateTime', 'lastHeartbeatTime', 'lastProbeTime',
)
DROPPED_ANNOTATIONS = (  # prefixes
    'golden.test/', 'kubectl.kubernetes.io/last', 'pv.kubernetes.io/', 'volume.kubernetes.io/',
    'volume.beta.kubernetes.io/', 'deployment.kubernetes.io/', 'deprecated.daemonset',
)
OWNER_LABELS = ('kaito.sh/workspace', 'kaito.sh/ragengine', 'karpenter.kaito.sh/workspace-name')

_FLAG = r"--[A-Za-z0-9_.-]+(?:=(?:'[^']*'|\"[^\"]*\"|[^\s;'\"])*)?"
_FLAG_RUN = re.compile(_FLAG + r'(?: ' + _FLAG + r')+(?=[\s;]|$)')
_SUFFIX = '[bcdfghjklmnpqrstvwxz2456789]{5}$'
_REPLICASET_POD = re.compile('-[a-z0-9]{8,10}-' + _SUFFIX)
_JOB_POD = re.compile('(?<=[A-Za-z0-9])-(?!RAND)' + _SUFFIX)


def list_if_served(kind, namespace=None):
    """Return the objects of a kind; none when the API server does not know the kind."""
    try:
        return kubeapi.list_all(kind, namespace)
    except kubeapi.ApiError as error:
        if error.code == 404:
            return []
        raise


def _is_background(obj):
    """Tell whether the object comes from the cluster and not from an operator."""
    kind, metadata = obj['kind'], obj['metadata']
    if kind == 'ConfigMap':
        return metadata['name'] in ('kube-root-ca.crt', 'istio-ca-root-cert')
    if kind == 'ServiceAccount':
        return metadata['name'] == 'default'
    if kind == 'ControllerRevision':
        return any(owner['kind'] in ('StatefulSet', 'DaemonSet') for owner in metadata.get('ownerReferences', []))
    return False


def _collect_objects(namespace, extra_nodes):
    """Return the namespace's objects, and the cluster-scoped ones that were made for it."""
    objects = []
    for kind in NAMESPACED_KINDS:
        for obj in list_if_served(kind, namespace):
            obj = {'apiVersion': kubeapi.api_version(kind), **obj, 'kind': kind}
            if not _is_background(obj):
                objects.append(obj)
    for kind in CLUSTER_KINDS:
        for obj in list_if_served(kind):
            obj = {**obj, 'kind': kind, 'apiVersion': kubeapi.api_version(kind)}
            if kind == 'ModelMirror':
                owned = obj.get('spec', {}).get('jobNamespace') in (namespace, None, '')
            else:
                owned = namespace in played.owner_namespaces(obj)
                owned = owned or (kind == 'Node' and obj['metadata']['name'] in extra_nodes)
            if owned:
                objects.append(obj)
    return objects


def _collect_events(namespace):
    """Return the set of events as sorted-key JSON texts."""
    events = set()
    for event in kubeapi.list_all('Event', namespace):
        component = event.get('source', {}).get('component') or event.get('reportingComponent') or ''
        if component in SYSTEM_COMPONENTS:
            continue
        involved = event['involvedObject']
        row = {
            'kind': str(involved.get('kind')),
            'name': str(involved.get('name')),
            'type': str(event.get('type')),
            'reason': str(event.get('reason')),
            'component': component,
        }
        events.add(json.dumps(row, sort_keys=True))
    return events


def _collect_pods(namespace):
    return [
        {
            'name': pod['metadata']['name'],
            'phase': pod.get('status', {}).get('phase'),
            'scheduled': bool(pod['spec'].get('nodeName')),
            'deleting': bool(pod['metadata'].get('deletionTimestamp')),
        }
        for pod in kubeapi.list_all('Pod', namespace)
    ]


def _owner_label(obj):
    labels = obj['metadata'].get('labels', {})
    return next((labels[label] for label in OWNER_LABELS if labels.get(label)), '')


class Names:
    """Stable names for random ones, kept for the whole scenario."""

    def __init__(self):
        self.stable = {}  # random name -> stable name
        self._children = {}  # generateName -> how many were named
        self._claims = {}  # stable name of the owner -> how many claims were named

    def learn(self, objects):
        """Name the objects that were not seen before, oldest first."""
        new = [obj for obj in objects if obj['metadata']['name'] not in self.stable]
        self._learn_children(new)
        present = {obj['metadata']['name'] for obj in objects if obj['kind'] in ('Workspace', 'RAGEngine')}
        # A claim that was listed before its (randomly named) owner waits for the next round.
        claims = [obj for obj in new if obj['kind'] == 'NodeClaim' and _owner_label(obj) in present]
        for obj in new:
            if obj['kind'] == 'Job' and obj['metadata'].get('generateName'):
                self.stable[obj['metadata']['name']] = obj['metadata']['generateName'] + 'RAND'
        self._learn_claims(claims)

    def _learn_children(self, new):
        children = [obj for obj in new
                    if obj['kind'] in ('Workspace', 'InferenceSet') and obj['metadata'].get('generateName')]
        for obj in sorted(children, key=_age):
            base = obj['metadata']['generateName']
            index = self._children.get(base, 0)
            self._children[base] = index + 1
            self.stable[obj['metadata']['name']] = f'{base}RAND{index}'

    def _learn_claims(self, claims):
        for obj in sorted(_in_order(claims), key=self._owner):
            owner = self._owner(obj)
            index = self._claims.get(owner, 0)
            self._claims[owner] = index + 1
            self.stable[obj['metadata']['name']] = f'CLAIM-{owner}-{index}'

    def _owner(self, obj):
        label = _owner_label(obj)
        return self.stable.get(label, label)

    def replace(self, text):
        """Replace all random names in a text, longest first."""
        for name in sorted(self.stable, key=len, reverse=True):
            text = text.replace(name, self.stable[name])
        return text

    def actual(self, name):
        """Return the present name of a stable name; NODEOF:x is the node of claim x."""
        if name.startswith('NODEOF:'):
            return 'n-' + self.actual(name[len('NODEOF:'):])
        return next((random for random, stable in self.stable.items() if stable == name), name)


def _age(obj):
    return obj['metadata']['creationTimestamp'], obj['metadata']['name']


def _in_order(objects):
    """Return objects oldest first; those that came in one go, by name, though a second may have ended meanwhile."""
    groups, last = [], None
    for obj in sorted(objects, key=_age):
        moment = datetime.datetime.fromisoformat(obj['metadata']['creationTimestamp'].rstrip('Z'))
        if last is None or moment - last > datetime.timedelta(seconds=1):
            groups.append([])
        groups[-1].append(obj)
        last = moment
    return [obj for group in groups for obj in sorted(group, key=lambda item: item['metadata']['name'])]


def _sort_flags(text):
    """Sort each run of --flags in a command line: the Go operator has them in random order."""
    return _FLAG_RUN.sub(lambda run: ' '.join(sorted(re.findall(_FLAG, run.group(0)))), text)


def sort_random_lists(value):
    """Sort, in place, the lists whose order is random in the Go operator; return value."""
    if isinstance(value, dict):
        for key, item in list(value.items()):
            sort_random_lists(item)
            if key in ('command', 'args') and isinstance(item, list):
                value[key] = [_sort_flags(text) if isinstance(text, str) else text for text in item]
            if key == 'matchExpressions' and isinstance(item, list):
                item.sort(key=lambda expression: json.dumps(expression, sort_keys=True))
    elif isinstance(value, list):
        for item in value:
            sort_random_lists(item)
    return value


def _clean_conditions(conditions, generation):
    """Drop texts and times, say whether they are current, and sort by type."""
    for item in conditions:
        for field in DROPPED_CONDITION_FIELDS:
            item.pop(field, None)
        if 'observedGeneration' in item:
            behind = (generation or 0) - item['observedGeneration']
            item['observedGeneration'] = 'current' if item['observedGeneration'] == generation else f'stale(-{behind})'
    return sorted(conditions, key=lambda item: item.get('type', ''))


def _clean_service(obj, _status):
    spec = obj['spec']
    if spec.get('clusterIP') not in ('None', None):
        spec['clusterIP'] = 'ALLOCATED'
        spec['clusterIPs'] = ['ALLOCATED']
    for port in spec.get('ports', []):
        if 'nodePort' in port:
            port['nodePort'] = 'ALLOCATED'
    obj.pop('status', None)


def _clean_replicated(obj, status):
    obj['status'] = {field: status.get(field, 0) for field in ('replicas', 'readyReplicas')}


def _clean_job(obj, status):
    obj['status'] = {field: status.get(field, 0) for field in ('active', 'ready', 'succeeded', 'failed')}
    for metadata in (obj['metadata'], obj['spec']['template']['metadata']):
        for label in ('controller-uid', 'batch.kubernetes.io/controller-uid'):
            metadata.get('labels', {}).pop(label, None)
    obj['spec'].pop('selector', None)


def _clean_volume_claim(obj, status):
    obj['spec'].pop('volumeName', None)
    obj['status'] = {'phase': status.get('phase')}


def _clean_secret(obj, _status):
    obj['data'] = {key: 'REDACTED' for key in obj.get('data') or {}}


def _clean_config_map(obj, _status):
    """Parse values that are YAML objects or lists, so that only their content counts."""
    data = {}
    for key, text in (obj.get('data') or {}).items():
        try:
            parsed = yaml.safe_load(text)
        except Exception:  # values are any text at all: PyYAML raises more than YAMLError
            parsed = None
        data[key] = parsed if isinstance(parsed, (dict, list)) else text
    obj['data'] = data


def _clean_node(obj, status):
    metadata = obj['metadata']
    ready = [item for item in status.get('conditions', []) if item['type'] == 'Ready']
    obj['metadata'] = {
        'name': metadata['name'],
        'labels': metadata.get('labels', {}),
        'annotations': metadata.get('annotations', {}),
    }
    obj['spec'] = {'taints': obj['spec'].get('taints', [])}
    obj['status'] = {
        'capacity': {key: value for key, value in status.get('capacity', {}).items() if 'nvidia' in key},
        'conditions': ready,
    }


def _clean_claim(obj, status):
    status.pop('lastPodEventTime', None)


CLEANERS = {
    'Service': _clean_service,
    'StatefulSet': _clean_replicated,
    'Deployment': _clean_replicated,
    'Job': _clean_job,
    'PersistentVolumeClaim': _clean_volume_claim,
    'Secret': _clean_secret,
    'ConfigMap': _clean_config_map,
    'Node': _clean_node,
    'NodeClaim': _clean_claim,
    'NodePool': _clean_claim,
}


def clean(obj):
    """Return a copy of obj without what differs from run to run."""
    obj = copy.deepcopy(obj)
    metadata = obj['metadata']
    generation = metadata.get('generation')
    if metadata.get('deletionTimestamp'):
        metadata['deletionTimestamp'] = 'SET'
    if metadata.get('generateName'):
        metadata['hadGenerateName'] = metadata['generateName']
    for field in DROPPED_METADATA:
        metadata.pop(field, None)
    for owner in metadata.get('ownerReferences', []):
        owner.pop('uid', None)
    for annotation in list(metadata.get('annotations', {})):
        if annotation.startswith(DROPPED_ANNOTATIONS):
            del metadata['annotations'][annotation]
    status = obj.get('status')
    if isinstance(status, dict):
        if isinstance(status.get('conditions'), list):
            status['conditions'] = _clean_conditions(status['conditions'], generation)
        if 'observedGeneration' in status:
            status['observedGeneration'] = 'current' if status['observedGeneration'] == generation else 'stale'
    cleaner = CLEANERS.get(obj['kind'])
    if cleaner:
        cleaner(obj, status if isinstance(status, dict) else {})
    return obj


def _clean_pods(pods, names):
    for pod in pods:
        name = names.replace(pod['name'])
        name = _REPLICASET_POD.sub('-POD', name)
        pod['name'] = _JOB_POD.sub('-POD', name)
    return sorted(pods, key=lambda pod: json.dumps(pod, sort_keys=True))


def take(namespace, names, extra_nodes=()):
    """Return {'objects', 'events', 'pods'} of a scenario's namespace, normalised."""
    objects = _collect_objects(namespace, set(extra_nodes))
    events = _collect_events(namespace)
    pods = _collect_pods(namespace)
    names.learn(objects)
    result = [sort_random_lists(json.loads(names.replace(json.dumps(clean(obj))))) for obj in objects]
    result.sort(key=lambda obj: (KIND_ORDER[obj['kind']], obj['metadata']['name']))
    return {
        'objects': result,
        'events': [json.loads(event) for event in sorted({names.replace(event) for event in events})],
        'pods': _clean_pods(pods, names),
    }
