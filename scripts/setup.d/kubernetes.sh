# kube, kubectl: Kubernetes for the tests, and its client for everyone, compiled by tests/kube from upstream's modules.

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

setup_kubectl() {
    if command -v kubectl > /dev/null || [ -x "$prefix/bin/kubectl" ]; then return 0; fi
    attempt step kubectl "$(digest "${kube%/*}/go.sum")" "$prefix/bin/kubectl" \
        "kubectl (about three minutes on two cores)" kubectl_build
    case $status in
        0) ;;
        77) packages kubectl kubernetes-client ;;
        *) exit "$status" ;;
    esac
}

kubectl_build() {
    "$kube" build kubectl
    install -m 755 "$("$kube" bin)/kubectl" "$prefix/bin/kubectl.new"
    mv "$prefix/bin/kubectl.new" "$prefix/bin/kubectl"
}
