#!/usr/bin/env python3
"""The script that gets leave to read a model, against a played Azure: sign-in, a registry or project, a blob store."""
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / 'src' / 'workspace' / 'scripts' / 'fetch-sas.py'
SECRET = 'sv=1&sig=c2VjcmV0'
LOGIN = '/tenant/oauth2/v2.0/token'
MODELS = '/registries/r/models/m/versions/1'
DATAREFS = '/registries/r/datarefs/m/versions/1'
PROJECT = '/api/projects/p/models/m/versions/1'


class Azure(http.server.BaseHTTPRequestHandler):
    """answers: path -> list of (status, body) in turn, the last one stays, or a function of the query."""
    answers = {}
    asked = []

    def answer(self):
        path, _, query = self.path.partition('?')
        size = int(self.headers.get('Content-Length') or 0)
        type(self).asked.append((self.command, self.path, self.headers.get('Authorization'), self.rfile.read(size)))
        rows = self.answers.get(path, [(404, 'nothing here')])
        if callable(rows):
            status, body = rows(urllib.parse.parse_qs(query))
        else:
            status, body = rows.pop(0) if len(rows) > 1 else rows[0]
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def listing(names, page=2):
    def answer(query):
        prefix = query.get('prefix', [''])[0]
        found = [n for n in names if n.startswith(prefix)]
        start = int(query.get('marker', ['0'])[0])
        blobs = ''.join(f'<Blob><Name>{n.replace("&", "&amp;")}</Name></Blob>' for n in found[start:start + page])
        more = start + page if start + page < len(found) else ''
        return 200, (f'\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{blobs}</Blobs>'
                     f'<NextMarker>{more}</NextMarker></EnumerationResults>')
    return answer


class FetchSas(unittest.TestCase):
    def setUp(self):
        self.home = Path(tempfile.mkdtemp(prefix='kaito-sas-'))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Azure)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.base = f'http://127.0.0.1:{self.server.server_address[1]}'
        self.store([])
        Azure.asked = []

    def store(self, names, folder=''):
        place = {'blobUri': f'{self.base}/weights{folder}'}
        leave = dict(place, credential={'sasUri': f'{self.base}/weights?{SECRET}'})
        Azure.answers = {
            LOGIN: [(200, {'access_token': 'T'})],
            MODELS: [(200, {'id': 'azureml://m', 'properties': {'modelUri': place['blobUri']}})],
            DATAREFS: [(200, {'blobReferenceForConsumption': leave})],
            PROJECT: [(200, {'blobReference': place})],
            PROJECT + '/credentials': [(200, {'blobReference': leave})],
            '/weights': listing(names),
        }

    def fetch(self, kind='public', path=DATAREFS, **environment):
        (self.home / 'token').write_text('pod\n')
        env = {
            'PATH': '/usr/bin:/bin', 'RETRY_SECONDS': '0', 'AZURE_TENANT_ID': 'tenant',
            'AZURE_AUTHORITY_HOST': self.base + '/', 'AZURE_FEDERATED_TOKEN_FILE': str(self.home / 'token'),
            'STREAM_DATAREFS_URL': self.base + path, 'STREAM_SOURCE_TYPE': kind,
            'STREAM_IDENTITY_CLIENT_ID': 'client', 'STREAM_ENV_FILE': str(self.home / 'shared' / 'env'), **environment,
        }
        return subprocess.run([sys.executable, str(SCRIPT)], env=env, capture_output=True, text=True, timeout=60)

    def values(self):
        """As a shell reads them."""
        text = '. "$0"; printf "%s\\n" "$AZURE_STORAGE_SAS_TOKEN" "$AZURE_STORAGE_ACCOUNT_NAME" "$STREAM_MODEL_URI"'
        out = subprocess.run(['sh', '-c', text, str(self.home / 'shared' / 'env')], capture_output=True, text=True,
                             check=True)
        return out.stdout.splitlines()

    def fails(self, part, **arguments):
        done = self.fetch(**arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(part, done.stderr)
        self.assertNotIn('c2VjcmV0', done.stderr)
        self.assertFalse((self.home / 'shared' / 'env').exists())

    def test_a_registry(self):
        self.store(['a/README.md', 'a/b/one.safetensors', 'a/b/two.safetensors', 'a/c.json'])
        done = self.fetch(path=DATAREFS + '?api-version=1')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn('c2VjcmV0', done.stdout + done.stderr)
        self.assertEqual(self.values(), [SECRET, '127', 'az://weights/a/b'])
        login, where, leave = Azure.asked[:3]
        form = urllib.parse.parse_qs(login[3].decode())
        self.assertEqual((form['client_assertion'], form['client_id'], form['scope']),
                         (['pod'], ['client'], ['https://management.azure.com/.default']))
        self.assertEqual(where[:3], ('GET', MODELS + '?api-version=1', 'Bearer T'))
        self.assertEqual(leave[:3], ('POST', DATAREFS + '?api-version=1', 'Bearer T'))
        self.assertEqual(json.loads(leave[3]), {'blobUri': self.base + '/weights', 'assetId': 'azureml://m'})

    def test_a_project(self):
        for path in (PROJECT, PROJECT + '/credentials', PROJECT + '/'):
            self.store(['one.safetensors'])
            Azure.asked = []
            done = self.fetch('byo', path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.values()[2], 'az://weights')
            self.assertIn('ai.azure.com', urllib.parse.unquote(Azure.asked[0][3].decode()))
            self.assertEqual([a[1] for a in Azure.asked[1:3]], [PROJECT, PROJECT + '/credentials'])

    def test_weights_in_several_folders(self):
        for names, folder, uri in (
                (['m/x/1.safetensors', 'm/y/2.safetensors'], '', 'az://weights/m'),
                (['m/x/1.safetensors', 'mm/2.safetensors'], '', 'az://weights'),
                (['m/x/1.safetensors', 'other/2.safetensors'], '/m', 'az://weights/m/x'),
                (['m/1.safetensors', 'm-2/2.safetensors'], '/m/', 'az://weights/m'),
                (['a & b/1.safetensors'] + [f'a & b/{n}' for n in range(9)], '', 'az://weights/a & b')):
            self.store(names, folder)
            done = self.fetch()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.values()[2], uri, names)

    def test_a_quote_stays_one(self):
        self.store(["o'x/1.safetensors"])
        self.assertEqual(self.fetch().returncode, 0)
        self.assertEqual(self.values()[2], "az://weights/o'x")

    def test_busy_servers_are_asked_again(self):
        self.store(['1.safetensors'])
        for path in (LOGIN, MODELS, DATAREFS):
            Azure.answers[path] = [(503, 'busy'), (429, 'slowly')] + Azure.answers[path]
        done = self.fetch()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('trying again', done.stderr)

    def test_what_is_wrong_is_said(self):
        self.fails('no .safetensors files')
        self.fails('has /datarefs/ in its path', path=PROJECT)
        self.fails('it can be public or byo', kind='private')
        self.fails('no Azure Workload Identity webhook', AZURE_TENANT_ID='')
        self.fails('STREAM_IDENTITY_CLIENT_ID is not set', STREAM_IDENTITY_CLIENT_ID='')
        for path, answer, part in (
                (LOGIN, (401, 'unknown client'), 'signing in: the server answered 401: unknown client'),
                (MODELS, (403, 'no'), 'looking for the model: the server answered 403'),
                (MODELS, (200, {}), 'does not say where it is'),
                (MODELS, (200, '[]'), 'no object'),
                (MODELS, (200, '<html>'), 'no JSON'),
                (DATAREFS, (500, f'https://x/y?{SECRET}'), 'asking for leave to read the model: the server answered 500'),
                (DATAREFS, (200, {'blobReference': {'credential': {'sasUri': 'x'}}}), 'has no sasUri'),
                ('/weights', (200, 'x'), 'no XML'),
                ('/weights', (403, SECRET), 'listing the files')):
            self.store(['1.safetensors'])
            Azure.answers[path] = [answer]
            self.fails(part)


if __name__ == '__main__':
    unittest.main()
