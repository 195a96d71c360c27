"""Start, prepare and stop the control plane that the scenarios run on."""
import glob
import json
import os
import subprocess
import time

import yaml

import kubeapi
import mirror
import operators
import settings

# These would disturb the played nodes, which send no heartbeats.
CONTROLLERS_OFF = '-node-lifecycle-controller,-taint-eviction-controller'

# Kinds whose own schema plays no part in the scenarios: (group, version, kind, plural, scope).
LOOSE_CRDS = (
    ('karpenter.k8s.aws', 'v1', 'EC2NodeClass', 'ec2nodeclasses', 'Cluster'),
    ('helm.toolkit.fluxcd.io', 'v2', 'HelmRelease', 'helmreleases', 'Namespaced'),
    ('source.toolkit.fluxcd.io', 'v1', 'OCIRepository', 'ocirepositories', 'Namespaced'),
)

STORAGE_CLASS = {
    'apiVersion': 'storage.k8s.io/v1',
    'kind': 'StorageClass',
    'metadata': {'name': 'golden-blob'},
    'provisioner': 'blob.csi.azure.com',
    'volumeBindingMode': 'Immediate',
}


def _kube_tool(*arguments):
    environment = {**os.environ, 'KUBE_DIR': settings.KUBE_DIR, 'KUBE_CONTROLLERS': CONTROLLERS_OFF}
    subprocess.run([settings.KUBE_TOOL, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def _is_ours():
    """Tell whether the control plane is the one that up starts, and not one named by KUBECONFIG."""
    return settings.KUBECONFIG == os.path.abspath(settings.OWN_KUBECONFIG)


def _loose_crd(group, version, kind, plural, scope):
    schema = {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}
    return {
        'apiVersion': 'apiextensions.k8s.io/v1',
        'kind': 'CustomResourceDefinition',
        'metadata': {'name': f'{plural}.{group}'},
        'spec': {
            'group': group,
            'scope': scope,
            'names': {'kind': kind, 'plural': plural, 'singular': kind.lower(), 'listKind': kind + 'List'},
            'versions': [{
                'name': version,
                'served': True,
                'storage': True,
                'subresources': {'status': {}},
                'schema': {'openAPIV3Schema': schema},
            }],
        },
    }


def _create_crds():
    for path in sorted(glob.glob(os.path.join(settings.DATA, 'crds', '*.json')) + glob.glob(os.path.join(settings.CRDS, '*.json'))):
        with open(path) as file:
            crd = json.load(file)
        if crd['spec']['group'].endswith('k8s.io'):
            crd['metadata']['annotations'] = {'api-approved.kubernetes.io': 'unapproved'}
        kubeapi.ensure(crd)
    for row in LOOSE_CRDS:
        kubeapi.ensure(_loose_crd(*row))


def _learn_unserved():
    """The embedded API server lacks kinds that no CRD brings: note which."""
    own = {kind for kind, (version, _, _) in kubeapi.KINDS.items()
           if '.' not in version or version.split('/')[0].endswith('.k8s.io')}
    served = {}
    for kind in own:
        version, plural, _ = kubeapi.KINDS[kind]
        if version not in served:
            try:
                document = kubeapi.request('GET', ('/apis/' if '/' in version else '/api/') + version)
            except kubeapi.ApiError:
                document = {}
            served[version] = {resource['name'] for resource in document.get('resources', [])}
        if plural not in served[version]:
            kubeapi.unserved.add(kind)


def _ensure(obj):
    if obj['kind'] not in kubeapi.unserved:
        kubeapi.ensure(obj)


def _wait_served(seconds=30):
    deadline = time.time() + seconds
    for kind in sorted(set(kubeapi.KINDS) - kubeapi.unserved):
        while True:
            try:
                kubeapi.list_all(kind)
                break
            except kubeapi.ApiError as error:
                if time.time() > deadline:
                    raise SystemExit(f'golden: the API server does not serve {kind}: {error}')
            time.sleep(0.02 if settings.EMBEDDED else 0.2)


def prepare():
    """Create the CRDs, the charts' ConfigMaps and Secrets, and a storage class, unless they are there."""
    _create_crds()
    if settings.EMBEDDED:
        _wait_served()  # some of what follows is of these kinds
    for path in sorted(glob.glob(os.path.join(settings.SETUP, '*.yaml'))):
        with open(path) as file:
            for obj in yaml.safe_load_all(file):
                _ensure(obj)
    _ensure(STORAGE_CLASS)
    _wait_served()


def is_up():
    """Tell whether the API server answers."""
    if not os.path.exists(settings.KUBECONFIG):
        return False
    try:
        kubeapi.list_all('Namespace')
    except OSError:  # requests' connection errors are OSErrors
        return False
    return True


_embedded = None  # the process of the embedded API server


def start_embedded():
    """Start the embedded API server and prepare it; it lasts as long as this process at most."""
    global _embedded
    if not os.access(settings.CLUSTER_BIN, os.X_OK):
        raise SystemExit(f'golden: {settings.CLUSTER_BIN} is not built')
    kubeconfig = settings.run_file('kube', 'kubeconfig')
    with open(settings.run_file('logs', 'cluster.log'), 'ab') as log:
        _embedded = subprocess.Popen([settings.CLUSTER_BIN, kubeconfig], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    if _embedded.stdout.readline().strip() != b'ready':
        raise SystemExit('golden: the embedded API server did not start: ' + open(log.name).read()[-2000:])
    _learn_unserved()
    prepare()
    mirror.Mirror().start()


def stop_embedded():
    """Stop the operators and the embedded API server; return its exit status."""
    operators.stop_all()
    if not _embedded:
        return 0
    _embedded.stdin.close()
    try:
        return _embedded.wait(10)
    except subprocess.TimeoutExpired:
        _embedded.kill()
        return _embedded.wait()


def up():
    """Start the control plane, unless KUBECONFIG names another or it runs, and prepare it."""
    if not is_up():
        if not _is_ours():
            raise SystemExit(f'golden: no API server answers for KUBECONFIG={settings.KUBECONFIG}')
        _kube_tool('up')
    prepare()


def down():
    """Stop the operators; stop the control plane if it is ours, and forget its data."""
    operators.stop_all()
    if _is_ours():
        _kube_tool('down', '--purge')
