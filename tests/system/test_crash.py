"""kill -9 of `kaito up` at random moments, during applies and deletes: no acknowledged object is lost, no process is left."""
import random
import threading
import time


from conftest import processes_of

KILLS = 20

# A pod of this image is any program of this machine.
IMAGES = '{"images": [{"match": "host", "run": "host"}]}'

WORKSPACE = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: NAME}
resource: {labelSelector: {matchLabels: {kubernetes.io/os: linux}}}
inference:
  template:
    spec:
      containers:
      - {name: main, image: host, command: ["sh", "-c", "sleep 1000 & sleep 1001"]}
"""


class Writer(threading.Thread):
    """Applies and deletes until told to stop; remembers what was acknowledged."""

    def __init__(self, box, seed):
        super().__init__()
        self.box, self.random, self.stopping = box, random.Random(seed), threading.Event()
        self.present, self.unknown = set(), set()

    def run(self):
        while not self.stopping.is_set():
            name = f"w{self.random.randrange(4)}"
            self.unknown.add(name)
            if self.random.random() < 0.6:
                done = self.box.kubectl("apply", "-f", "-", stdin=WORKSPACE.replace("NAME", name), check=False)
                if done.returncode == 0:
                    self.present.add(name)
                    self.unknown.discard(name)
            else:
                done = self.box.kubectl("delete", "workspace", name, "--ignore-not-found", "--wait=false", check=False)
                if done.returncode == 0:
                    self.present.discard(name)
                    # It is going; until it has gone it may be seen.
                    self.unknown.add(name)


def test_nothing_acknowledged_is_lost(new_box):
    box = new_box(start=False)
    box.data.mkdir(parents=True)
    (box.data / "images.json").write_text(IMAGES)
    choose = random.Random(20261125)
    known = {}
    for round_number in range(KILLS):
        box.start()
        # A ConfigMap each round, never deleted: it must be there for ever.
        names = {c["metadata"]["name"]: c["data"]["n"] for c in box.get("configmaps")["items"] if "n" in c.get("data", {})}
        for name, value in known.items():
            assert names.get(name) == value, f"round {round_number}: {name} was acknowledged and is lost"
        writer = Writer(box, round_number)
        writer.start()
        end = time.monotonic() + choose.uniform(0.05, 1.5)
        count = 0
        while time.monotonic() < end:
            name = f"c{round_number}-{count}"
            if box.create_configmap(name, str(count), check=False).returncode == 0:
                known[name] = str(count)
            count += 1
        box.kill()
        writer.stopping.set()
        writer.join()
        box.start()
        found = {w["metadata"]["name"] for w in box.get("workspaces")["items"]
                 if "deletionTimestamp" not in w["metadata"]}
        lost = writer.present - writer.unknown - found
        assert not lost, f"round {round_number}: {lost} were acknowledged and are lost"
        if round_number % 2 == 0:
            box.kill()
        else:
            assert box.stop() == 0
            assert not processes_of(box.data), "a clean stop left processes"
    box.start()
    box.kubectl("delete", "workspaces", "--all", "--wait", "--timeout=60s")
    assert box.stop() == 0
    assert not processes_of(box.data), "processes were left after the last stop"
