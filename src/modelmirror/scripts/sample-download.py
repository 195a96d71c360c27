# Tells how fast the model $MODEL_ID comes into /models and how long it will take: on port 9100 as
# metrics, for as long as the download beside it runs. -1 is unknown.
import fnmatch
import http.server
import json
import os
import threading
import time
import urllib.request

MODEL = os.environ['MODEL_ID']
FOLDER = '/models/' + MODEL
LEFT_OUT = os.environ.get('EXCLUDE_PATTERNS', '').split()
SECONDS = 60
state = {'speed': -1, 'remaining': -1}


def expected():
    request = urllib.request.Request(f'https://huggingface.co/api/models/{MODEL}?blobs=true')
    if os.environ.get('HF_TOKEN'):
        request.add_header('Authorization', 'Bearer ' + os.environ['HF_TOKEN'])
    with urllib.request.urlopen(request, timeout=30) as answer:
        files = json.load(answer)['siblings']
    return sum(f.get('size') or 0 for f in files
               if not any(fnmatch.fnmatch(f['rfilename'], p) for p in LEFT_OUT))


def present():
    total = 0
    for folder, _, names in os.walk(FOLDER):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                pass
    return total


def sample():
    whole, before = 0, present()
    while True:
        time.sleep(SECONDS)
        try:
            whole = whole or expected()
        except Exception as error:
            print('size of the model unknown:', error, flush=True)
        now = present()
        speed = max(0, now - before) / SECONDS
        state['speed'] = speed
        state['remaining'] = max(0, whole - now) / speed if whole and speed else -1
        before = now


class Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (f'model_mirror_download_speed_bytes_per_second {state["speed"]:.0f}\n'
                f'model_mirror_download_remaining_seconds {state["remaining"]:.0f}\n').encode()
        self.send_response(200 if self.path == '/metrics' else 404)
        self.send_header('Content-Type', 'text/plain; version=0.0.4')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


threading.Thread(target=sample, daemon=True).start()
http.server.ThreadingHTTPServer(('', 9100), Metrics).serve_forever()
