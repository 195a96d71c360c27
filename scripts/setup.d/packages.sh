# Debian packages, those of all steps at once: root gets the missing ones installed, anyone else the one command that does it.
# shellcheck disable=SC2086

packages_base="ca-certificates ccache gcc libc6-dev libcurl4-openssl-dev libgnutls28-dev libmicrohttpd-dev libsqlite3-dev libssl-dev
    libyaml-dev make meson ninja-build pkg-config python3 python3-venv"
packages_engine="cmake g++"
packages_demo="curl"
packages_test="clang curl git libclang-rt-14-dev libcmocka-dev llvm openssl procps util-linux"

# packages_of STEP: what that step needs, on one line
packages_of() {
    case $1 in
        base | model) echo $packages_base ;;
        engine) echo $packages_base $packages_engine ;;
        kubectl) echo $packages_base $packages_demo "$(kubectl_package)" ;;
        test) echo $packages_base $packages_test ;;
    esac
}

# packages PACKAGE...
packages() {
    local missing
    if ! command -v dpkg-query > /dev/null; then
        note "not a Debian system: what these packages of Debian hold must be here already: $*"
        return 0
    fi
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        printf 'Packages are missing. Install them as root, then run this again:\n\n    apt-get install --no-install-recommends %s\n\n' "$missing" >&2
        exit 1
    fi
    step packages "$missing" /nonexistent "packages of Debian: $missing" packages_install $missing
}

# packages_missing PACKAGE...: those that are not installed, on one line
packages_missing() {
    { dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n' "$@" 2> /dev/null || true; } |
        awk 'BEGIN { for (i = 1; i < ARGC; i++) want[i] = ARGV[i]; n = ARGC; ARGC = 1 }
             $1 == "ii" { have[$2] = 1 }
             END { for (i = 1; i < n; i++) if (!(want[i] in have)) printf "%s%s", sep++ ? " " : "", want[i] }' "$@"
}

packages_install() {
    local try apt="apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
    export DEBIAN_FRONTEND=noninteractive
    # lists older than a day name versions that the mirror may have dropped
    if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit)" ]; then $apt update; fi
    for try in 1 2 3; do
        if $apt install --yes --no-install-recommends "$@"; then return 0; fi
        echo "try $try failed"
        sleep $((try * 3))
        $apt update || true
    done
    return 1
}
