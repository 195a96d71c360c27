#!/usr/bin/env python3
"""The scripts that pods run, run here: with the tools that they call played, a web server of its own, and the pod's
processes in a process namespace of their own."""
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[3] / 'src' / 'workspace' / 'scripts'
NAMESPACE = ['unshare', '-Urpf', '--mount-proc']


def script(name, **variables):
    lines = [f"{key}='{value}'" for key, value in variables.items()]
    return '\n'.join(lines + [(SCRIPTS / name).read_text()])


def have_namespaces():
    return shutil.which('unshare') and subprocess.run(NAMESPACE + ['true'], capture_output=True).returncode == 0


class Folder(unittest.TestCase):
    def setUp(self):
        self.home = Path(tempfile.mkdtemp(prefix='kaito-scripts-'))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.bin = self.home / 'bin'
        self.bin.mkdir()

    def tool(self, name, text):
        path = self.bin / name
        path.write_text('#!/bin/sh\n' + text)
        path.chmod(0o755)

    def run_shell(self, text, namespace=False, **environment):
        env = {'PATH': f'{self.bin}:{os.environ["PATH"]}', 'HOME': str(self.home), **environment}
        command = (NAMESPACE if namespace else []) + ['sh', '-c', text]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, cwd=self.home)


class Server(http.server.BaseHTTPRequestHandler):
    """Each path answers with its list of (status, body) in turn; the last one stays."""
    answers = {}
    asked = []

    def do_GET(self):
        type(self).asked.append(self.path)
        rows = self.answers.get(self.path.split('?')[0], [(404, b'')])
        status, body = rows.pop(0) if len(rows) > 1 else rows[0]
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class DownloadData(Folder):  # T45
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.data = self.home / 'data'
        self.data.mkdir()
        Server.asked = []

    def download(self, *paths, **answers):
        Server.answers = {'/' + key.replace('_', '/'): value for key, value in answers.items()}
        base = f'http://127.0.0.1:{self.server.server_port}'
        urls = ' '.join(path if '://' in path else base + path for path in paths)
        return self.run_shell(script('download-data.sh'), DATA_URLS=urls, DATA_VOLUME_PATH=str(self.data),
                              RETRY_SECONDS='0')

    def names(self):
        return sorted(path.name for path in self.data.iterdir())

    def test_files_are_named_after_their_urls(self):
        done = self.download('/a?download=true', '/x/b*?', a=[(200, b'1')], **{'x_b*': [(200, b'2')]})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(Server.asked, ['/a?download=true', '/x/b*?'])
        self.assertEqual(self.names(), ['a', 'b*'])

    def test_two_files_of_one_name_are_both_kept(self):
        done = self.download('/x/b', '/y/b', x_b=[(200, b'2')], y_b=[(200, b'3')])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), ['2-b', 'b'])

    def test_what_is_not_there_fails_at_once(self):
        done = self.download('/a', a=[(404, b'no')])
        self.assertEqual(done.returncode, 1)
        self.assertIn('the server answered 404', done.stderr)
        self.assertEqual(Server.asked, ['/a'])
        self.assertEqual([n for n in self.names() if n != '.error'], [])

    def test_an_empty_file_fails(self):
        done = self.download('/a', a=[(200, b'')])
        self.assertEqual(done.returncode, 1)
        self.assertIn('the file is empty', done.stderr)

    def test_a_server_that_recovers_is_asked_again(self):
        done = self.download('/a', a=[(500, b''), (503, b''), (200, b'data')])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.data / 'a').read_bytes(), b'data')
        self.assertEqual(self.names(), ['a'])

    def test_a_server_that_does_not_recover_fails(self):
        done = self.download('/a', a=[(500, b'')])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(Server.asked, ['/a'] * 3)

    def test_only_web_addresses_are_read(self):
        for url in ('file:///etc/passwd', 'http://127.0.0.1:1/a', 'http://127.0.0.1'):
            self.assertEqual(self.download(url).returncode, 1, url)


def layer(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


class PullImage(Folder):
    def image(self, *layers, needs=''):
        """Plays skopeo with an image of these layers, given to those with the credentials `needs` only."""
        blobs = self.home / 'blobs'
        blobs.mkdir()
        names = [f'{number:064x}' for number in range(len(layers))]
        for name, data in zip(names, layers):
            (blobs / name).write_bytes(data)
        self.tool('skopeo', f'''
case $1 in
inspect) for name in {' '.join(names)}; do echo sha256:$name; done ;;
copy)
    echo "$@" >> {self.home}/calls
    for last; do :; done
    case "$*" in *"{needs}"*) ;; *) echo "unauthorized" >&2; exit 1 ;; esac
    mkdir -p "${{last#dir:}}" && cp {blobs}/* "${{last#dir:}}" ;;
esac''')

    def pull(self):
        target = self.home / 'adapter'
        text = script('pull-image.sh', image='reg.io/a:1', target=target)
        return self.run_shell(text.replace('/tmp/pull', str(self.home / 'work'))), target

    def files(self, target):
        return {str(p.relative_to(target)): p.read_text() for p in sorted(target.rglob('*')) if p.is_file()}

    def test_the_folder_data_is_put_into_its_place(self):
        self.image(layer(**{'data/a': '1', 'etc/x': '2'}), layer(**{'data/b/c': '3', 'data/a': '4'}))
        done, target = self.pull()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.files(target), {'a': '4', 'b/c': '3'})

    def test_a_later_layer_hides_files(self):
        self.image(layer(**{'data/a': '1', 'data/b': '2', 'data/d/x': '3', 'data/d/.y': '4'}),
                   layer(**{'data/.wh.a': '', 'data/d/.wh..wh..opq': '', 'data/d/z': '5'}))
        done, target = self.pull()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.files(target), {'b': '2', 'd/z': '5'})

    def test_again_is_from_the_start(self):
        self.image(layer(**{'data/a': '1'}))
        (self.home / 'adapter').mkdir()
        (self.home / 'adapter' / 'old').write_text('x')
        done, target = self.pull()
        self.assertEqual((done.returncode, self.files(target)), (0, {'a': '1'}))

    def test_each_secret_is_tried(self):
        for name in ('one', 'two'):
            folder = self.home / '.docker/config.d' / 'x'
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f'{name}.json').write_text('{}')
        self.image(layer(**{'data/a': '1'}), needs='two.json')
        done, target = self.pull()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len((self.home / 'calls').read_text().splitlines()), 3)

    def test_what_cannot_be_pulled_is_said(self):
        self.image(layer(**{'data/a': '1'}), needs='no such secret')
        done, _ = self.pull()
        self.assertEqual(done.returncode, 1)
        self.assertIn('cannot pull reg.io/a:1: unauthorized', done.stderr)

    def test_an_image_without_data_is_refused(self):
        self.image(layer(**{'etc/a': '1'}))
        done, _ = self.pull()
        self.assertEqual(done.returncode, 1)
        self.assertIn('has no folder /data', done.stderr)


@unittest.skipUnless(have_namespaces(), 'no process namespaces here')
class PushResult(Folder):
    def pod(self, tuning, failures=0):
        """The tuning, a pause and the pusher, in one process namespace as in the pod. The first is a shell command."""
        shutil.copy('/bin/sleep', self.bin / 'pause')
        self.tool('oras', f'''
n=$(cat {self.home}/tries 2> /dev/null || echo 0)
echo $((n + 1)) > {self.home}/tries
[ $n -ge {failures} ] || {{ echo busy >&2; exit 1; }}
echo "$@" > {self.home}/pushed''')
        output = self.home / 'out'
        output.mkdir()
        text = script('push-result.sh', image='reg.io/o:1', model='phi-4', output=output)
        (self.home / 'push').write_text(text.replace('/tmp/push', str(self.home / 'work')))
        (self.home / 'runner').write_text(f'''
pause 1000 & pause=$!
sh -c '{tuning} # fine_tuning.py' &
sh -c "$(cat push)"; echo "pusher $?"
wait $pause; echo "pause $?"''')
        # from a file: a command line that names the tuning would be taken for it
        return self.run_shell('sh runner', namespace=True, POLL_SECONDS='0.2', PUSH_SECONDS='0.1')

    RESULT = 'cd out && echo {} > adapter_config.json && echo w > adapter_model.safetensors && ' \
             'touch fine_tuning_completed.txt && sleep 1'

    def blob(self, digest):
        return (self.home / 'work/layout/blobs/sha256' / digest.split(':')[1]).read_bytes()

    def test_the_result_is_pushed_and_the_pod_ends(self):
        done = self.pod('sleep 1; ' + self.RESULT, failures=2)
        self.assertIn('pusher 0', done.stdout, done.stderr)
        self.assertIn('pause 143', done.stdout)  # ended by SIGTERM, which the pause image turns into 0
        self.assertTrue((self.home / 'pushed').read_text().endswith('result reg.io/o:1\n'))
        index = json.loads((self.home / 'work/layout/index.json').read_text())
        manifest = json.loads(self.blob(index['manifests'][0]['digest']))
        self.assertEqual(manifest['annotations'], {'sh.kaito.model.name': 'phi-4'})
        config = json.loads(self.blob(manifest['config']['digest']))
        self.assertEqual(len(config['rootfs']['diff_ids']), 1)
        data = self.blob(manifest['layers'][0]['digest'])
        self.assertEqual(len(data), manifest['layers'][0]['size'])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.assertEqual(sorted(n for n in tar.getnames() if n != 'data'),
                             ['data/adapter_config.json', 'data/adapter_model.safetensors'])

    def test_a_tuning_that_fails_ends_the_pod(self):
        done = self.pod('sleep 1; exit 1')
        self.assertIn('pusher 1', done.stdout, done.stderr)
        self.assertIn('pause 143', done.stdout)
        self.assertIn('ended without a result', done.stderr)
        self.assertFalse((self.home / 'pushed').exists())

    def test_half_a_result_is_none(self):
        done = self.pod('cd out && echo {} > adapter_config.json && touch fine_tuning_completed.txt && sleep 1')
        self.assertIn('pusher 1', done.stdout, done.stderr)
        self.assertIn('left no adapter_model.safetensors', done.stderr)


if __name__ == '__main__':
    unittest.main()
