# Gets leave to read the weights of a model that a store of others keeps, and writes it into the file
# $STREAM_ENV_FILE, for a shell to read:
#   AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_ACCOUNT_NAME, STREAM_MODEL_URI
# $STREAM_DATAREFS_URL names the model there. $STREAM_SOURCE_TYPE says whose store it is:
#   public  a registry: …/datarefs/NAME/versions/V gives leave, …/models/NAME/versions/V tells where
#   byo     a project:  …/models/NAME/versions/V tells where, the same with /credentials gives leave
# The pod's identity is that of $STREAM_IDENTITY_CLIENT_ID; cluster and pod are known by the token
# that Azure Workload Identity puts into each pod with the label azure.workload.identity/use.
import json
import os
import posixpath
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

TRIES = 5
PAUSE = float(os.environ.get('RETRY_SECONDS', '3'))
TIMEOUT = 60
MAX_ANSWER = 32 << 20
MAX_PAGES = 1000
AUDIENCES = {'public': 'https://management.azure.com', 'byo': 'https://ai.azure.com'}


class Failure(Exception):
    pass


def plain(text):
    """Without what is secret: signatures, and the query of any URL."""
    text = re.sub(r'(https?://[^\s?"\']+)\?[^\s"\']*', r'\1', str(text))
    return re.sub(r'sig=[^&\s]+', 'sig=…', text)


def variable(name):
    value = os.environ.get(name, '').strip()
    if not value:
        raise Failure(f'the variable {name} is not set')
    return value


def ask(what, url, data=None, headers=None):
    """The answer's body. Servers that are away or busy are asked again."""
    for left in reversed(range(TRIES)):
        try:
            request = urllib.request.Request(url, data=data, headers=headers or {})
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                body = answer.read(MAX_ANSWER + 1)
            if len(body) > MAX_ANSWER:
                raise Failure(f'{what}: the answer is too large')
            return body
        except urllib.error.HTTPError as e:
            why = f'{what}: the server answered {e.code}: {plain(e.read(300).decode(errors="replace"))}'
            if e.code not in (408, 429) and e.code < 500:
                raise Failure(why) from None
        except (OSError, ValueError) as e:
            why = f'{what}: {plain(e)}'
        if left == 0:
            raise Failure(why)
        print(why + '; trying again', file=sys.stderr, flush=True)
        time.sleep(PAUSE)


def ask_object(what, url, token=None, body=None, form=None):
    headers = {'Accept': 'application/json'}
    data = None
    if token:
        headers['Authorization'] = 'Bearer ' + token
    if body is not None:
        headers['Content-Type'] = 'application/json'
        data = json.dumps(body).encode()
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
    try:
        answer = json.loads(ask(what, url, data, headers))
    except ValueError:
        raise Failure(f'{what}: the answer is no JSON') from None
    if not isinstance(answer, dict):
        raise Failure(f'{what}: the answer is no object')
    return answer


def sign_in(audience):
    """The token of the pod's ServiceAccount against one of the identity."""
    host = os.environ.get('AZURE_AUTHORITY_HOST') or 'https://login.microsoftonline.com/'
    missing = [n for n in ('AZURE_TENANT_ID', 'AZURE_FEDERATED_TOKEN_FILE') if not os.environ.get(n)]
    if missing:
        raise Failure(f'{" and ".join(missing)} not set: the cluster has no Azure Workload Identity webhook, '
                      'or it left this pod out')
    with open(os.environ['AZURE_FEDERATED_TOKEN_FILE'], encoding='utf-8') as file:
        assertion = file.read().strip()
    form = {
        'grant_type': 'client_credentials',
        'client_id': variable('STREAM_IDENTITY_CLIENT_ID'),
        'scope': audience + '/.default',
        'client_assertion_type': 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        'client_assertion': assertion,
    }
    url = f'{host.rstrip("/")}/{os.environ["AZURE_TENANT_ID"]}/oauth2/v2.0/token'
    token = ask_object('signing in', url, form=form).get('access_token')
    if not token:
        raise Failure('signing in: the answer has no access_token')
    return token


def endpoints(url, kind):
    """What tells where the model is, and what gives leave to read it."""
    parts = urllib.parse.urlsplit(url)
    path = parts.path.rstrip('/')
    if kind == 'public':
        if '/datarefs/' not in path:
            raise Failure(f'the URL of a public source has /datarefs/ in its path; this is {plain(url)}')
        where, leave = path.replace('/datarefs/', '/models/', 1), path
    else:
        where = path.removesuffix('/credentials')
        leave = where + '/credentials'
    return (parts._replace(path=where).geturl(), parts._replace(path=leave).geturl())


def reference(answer):
    for key in ('blobReferenceForConsumption', 'blobReference'):
        if isinstance(answer.get(key), dict):
            return answer[key]
    return {}


def in_container(uri):
    """Host, container and what comes after it."""
    parts = urllib.parse.urlsplit(uri)
    container, _, rest = urllib.parse.unquote(parts.path).strip('/').partition('/')
    if not parts.netloc or not container:
        raise Failure(f'{plain(uri)} names no container')
    return parts, container, rest.strip('/')


def names_under(leave, folder):
    """Of all files in the container, or in a folder of it."""
    parts, container, _ = in_container(leave)
    query = parts.query + '&restype=container&comp=list'
    if folder:
        query += '&prefix=' + urllib.parse.quote(folder + '/', safe='')
    marker = ''
    for _ in range(MAX_PAGES):
        page = query + ('&marker=' + urllib.parse.quote(marker, safe='') if marker else '')
        url = parts._replace(path='/' + urllib.parse.quote(container), query=page).geturl()
        try:
            root = ElementTree.fromstring(ask('listing the files of the model', url))
        except ElementTree.ParseError:
            raise Failure('listing the files of the model: the answer is no XML') from None
        yield from (name.text or '' for name in root.iterfind('.//Blob/Name'))
        marker = root.findtext('NextMarker') or ''
        if not marker:
            return
    raise Failure(f'the container {container} has too many files')


def folder_of_weights(leave, folder):
    """Where all weights are below; a folder that has none cannot be streamed."""
    folders = {posixpath.dirname(n) for n in names_under(leave, folder) if n.endswith('.safetensors')}
    if not folders:
        raise Failure('there are no .safetensors files where the model is')
    common = min(folders).split('/')
    for other in folders:
        same = 0
        for one, two in zip(common, other.split('/')):
            if one != two:
                break
            same += 1
        common = common[:same]
    return '/'.join(common)


def write(values):
    path = variable('STREAM_ENV_FILE')
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(path + '.new', 'w', encoding='utf-8') as file:
        for key, value in values.items():
            quoted = value.replace("'", "'\\''")
            file.write(f"{key}='{quoted}'\n")
    os.replace(path + '.new', path)


def main():
    kind = variable('STREAM_SOURCE_TYPE')
    if kind not in AUDIENCES:
        raise Failure(f'STREAM_SOURCE_TYPE is {kind!r}; it can be {" or ".join(AUDIENCES)}')
    where, leave = endpoints(variable('STREAM_DATAREFS_URL'), kind)
    token = sign_in(AUDIENCES[kind])
    model = ask_object('looking for the model', where, token)
    uri = (model.get('properties') or {}).get('modelUri') or reference(model).get('blobUri')
    if not uri:
        raise Failure('looking for the model: the answer does not say where it is')
    body = {'blobUri': uri}
    if kind == 'public' and model.get('id'):
        body['assetId'] = model['id']
    answer = ask_object('asking for leave to read the model', leave, token, body)
    sas = (reference(answer).get('credential') or {}).get('sasUri') or ''
    if '?' not in sas:
        raise Failure('asking for leave to read the model: the answer has no sasUri')
    parts, container, folder = in_container(uri)
    found = folder_of_weights(sas, folder)
    write({
        'AZURE_STORAGE_SAS_TOKEN': sas.split('?', 1)[1],
        'AZURE_STORAGE_ACCOUNT_NAME': parts.netloc.split('.')[0],
        'STREAM_MODEL_URI': f'az://{container}/{found}'.rstrip('/'),
    })
    print(f'the weights are streamed from az://{container}/{found}')


try:
    main()
except (Failure, OSError) as e:
    message = plain(e)
    print(message, file=sys.stderr)
    try:
        with open('/dev/termination-log', 'r+', encoding='utf-8') as log:
            log.write(message[:1000])
    except OSError:
        pass
    sys.exit(1)
