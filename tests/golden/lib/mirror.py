"""A copy of what the API server has, kept by watches: on the embedded server nobody has to ask again and again.

While one runs, kubeapi.list_all answers from it.
"""
import json
import threading
import time

import kubeapi
import played

KINDS = (
    'Pod', 'Node', 'Service', 'Secret', 'ConfigMap', 'ServiceAccount', 'PersistentVolumeClaim', 'PersistentVolume', 'Event',
    'StatefulSet', 'Deployment', 'Job', 'ControllerRevision', 'Role', 'RoleBinding', 'NodeClaim', 'NodePool', 'Workspace',
    'InferenceSet', 'RAGEngine', 'MultiRoleInference', 'ModelMirror', 'HelmRelease', 'OCIRepository',
)


class Mirror:
    """The objects of KINDS, as far as they are served, and when those of each namespace have changed."""

    def __init__(self):
        self._changed = threading.Condition()
        self._objects = {}  # kind -> {(namespace, name): object}
        self._times = {}  # namespace, or name of a node -> time of the last change
        self._version = 0
        self._following = threading.Semaphore(0)  # how many watches were opened

    def start(self):
        """List all kinds, then follow them in threads of their own; return when those do."""
        kinds = [kind for kind in KINDS if kind not in kubeapi.unserved]
        for kind in kinds:
            version = self._list(kind)
            threading.Thread(target=self._follow, args=(kind, version), daemon=True).start()
        for _ in kinds:
            if not self._following.acquire(timeout=60):
                raise SystemExit('golden: the API server does not answer watches')
        kubeapi.mirror = self

    def has(self, kind):
        return kind in self._objects

    def list(self, kind, namespace):
        """Return the objects, by namespace and name. They are not copies: who changes one makes a copy first."""
        with self._changed:
            found = sorted(self._objects[kind].items())
        return [obj for key, obj in found if namespace in (None, key[0])]

    def wait(self, version, seconds):
        """Wait until something is newer than version; return the present version."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, seconds)
            return self._version

    def poke(self):
        """Something that is not in the API server has changed."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def last_change(self, names):
        """Return the time of the last change in namespaces, or of nodes."""
        with self._changed:
            return max((self._times.get(name, 0) for name in names), default=0)

    def _list(self, kind):
        answer = kubeapi.request('GET', kubeapi.path_of(kind))
        objects = {}
        for obj in answer.get('items') or []:
            obj.setdefault('kind', kind)
            obj.setdefault('apiVersion', kubeapi.api_version(kind))
            objects[self._key(obj)] = obj
        with self._changed:
            self._objects[kind] = objects
        return answer['metadata']['resourceVersion']

    @staticmethod
    def _key(obj):
        return obj['metadata'].get('namespace', ''), obj['metadata']['name']

    def _follow(self, kind, version):
        while True:
            try:
                self._watch(kind, version)
                version = self._list(kind)
            except (OSError, ValueError, kubeapi.ApiError):  # the server has ended, or the watch has
                time.sleep(0.1)

    def _watch(self, kind, version):
        path = f'{kubeapi.path_of(kind)}?watch=true&resourceVersion={version}'
        with kubeapi.session().get(kubeapi.server() + path, stream=True, timeout=(10, None)) as response:
            self._following.release()
            for line in response.iter_lines(chunk_size=None):
                event = json.loads(line)
                if event['type'] in ('ERROR', 'BOOKMARK'):
                    return
                self._take(kind, event['type'], event['object'])

    def _take(self, kind, change, obj):
        metadata = obj['metadata']
        names = [metadata['namespace']] if metadata.get('namespace') else played.owner_namespaces(obj) + [metadata['name']]
        if kind == 'ModelMirror':
            names.append(obj.get('spec', {}).get('jobNamespace'))
        now = time.time()
        with self._changed:
            if change == 'DELETED':
                self._objects[kind].pop(self._key(obj), None)
            else:
                self._objects[kind][self._key(obj)] = obj
            for name in names:
                self._times[name] = now
            self._version += 1
            self._changed.notify_all()
