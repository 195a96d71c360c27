"""Start, prepare and stop the control plane that the scenarios run on."""
import glob
import json
import os
import subprocess
import time

import yaml

import kubeapi
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


def _wait_served(seconds=30):
    deadline = time.time() + seconds
    for kind in kubeapi.KINDS:
        while True:
            try:
                kubeapi.list_all(kind)
                break
            except kubeapi.ApiError as error:
                if time.time() > deadline:
                    raise SystemExit(f'golden: the API server does not serve {kind}: {error}')
            time.sleep(0.2)


def prepare():
    """Create the CRDs, the charts' ConfigMaps and Secrets, and a storage class, unless they are there."""
    _create_crds()
    for path in sorted(glob.glob(os.path.join(settings.SETUP, '*.yaml'))):
        with open(path) as file:
            for obj in yaml.safe_load_all(file):
                kubeapi.ensure(obj)
    kubeapi.ensure(STORAGE_CLASS)
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
