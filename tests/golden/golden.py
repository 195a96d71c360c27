#!/usr/bin/env python3
"""Run the operator through the scenarios recorded from the Go operator, on a real API server or on the embedded one.

golden.py up                start a control plane (../kube/kube) and prepare it
golden.py run               play the scenarios with GOLDEN_WORKSPACE_BIN (starts the control plane if none is up);
                            results go to $GOLDEN_RUN/OUT. With --server embedded it needs no control plane, and is
                            faster: several embedded API servers side by side, which end with it
golden.py compare           field by field against the recording; ends with 'N passed, N failed' (stages)
golden.py show              the recording, one line a stage
golden.py down              stop the operators and the control plane, forget its data
golden.py test              all of it, with the build in KAITO_BUILD, on ports that are free: what make test-golden does

State is in GOLDEN_RUN (default ./.golden); KUBECONFIG names a control plane of your own. README.md has the rest.
"""
import argparse
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, 'lib'))

import settings  # noqa: E402 (the modules are in lib)


PORTS = 30  # that one run may use, from GOLDEN_PORT on


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    commands.add_parser('up')
    commands.add_parser('down')

    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument('--scenarios', default=settings.SCENARIOS, metavar='DIR', help='folder of the scenarios')
    choice.add_argument('--only', default='.', metavar='REGEX', help='scenarios whose name matches')
    choice.add_argument('--config', default='all', metavar='C', help='scenarios of one operator configuration')
    choice.add_argument('--names', metavar='FILE', help='scenarios that the file names, one a line')
    commands.add_parser('show', parents=[choice])

    out = argparse.ArgumentParser(add_help=False)
    out.add_argument('--out', default='actual', metavar='NAME', help='folder of the results in GOLDEN_RUN (actual)')
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument('--server', choices=('real', 'embedded'), default='real', help='which API server (real)')
    server.add_argument('--jobs', type=int, metavar='N', help='scenarios at a time, on each embedded server (real: 8, else 4)')
    server.add_argument('--shards', type=int, default=6, metavar='N', help='embedded servers (6)')

    run = commands.add_parser('run', parents=[choice, out, server])
    run.add_argument('--quiet', type=float, metavar='S', help="seconds without change that end a stage (the scenario's)")
    run.add_argument('--no-operator', action='store_true', help='the operator already runs')

    compare = commands.add_parser('compare', parents=[choice, out])
    compare.add_argument('--accepted', metavar='FILE', help='JSON list of accepted differences')
    compare.add_argument('--unused', action='store_true', help='accepted differences that are not there count as failed')
    compare.add_argument('--limit', type=int, default=12, metavar='N', help='differences shown a stage (12)')
    compare.add_argument('--json', metavar='FILE', help='write {scenario: reason why it was left out, or {stage: differences}}')

    commands.add_parser('test', parents=[choice, server])
    return parser.parse_args()


def chosen(args):
    """Return {configuration: [scenario folder, ...]}; it is an error when none matches."""
    import scenario
    names = None
    if args.names:
        with open(args.names) as file:
            names = {line.strip() for line in file if line.strip() and not line.startswith('#')}
    found = scenario.find(settings.resolve_scenarios(args.scenarios), args.only, args.config, names)
    if not found:
        raise SystemExit(f'golden: no scenario of {args.scenarios} matches')
    return found


def all_folders(args):
    return sorted(folder for folders in chosen(args).values() for folder in folders)


def command_up(_args):
    import cluster
    cluster.up()
    print('export KUBECONFIG=' + settings.KUBECONFIG)


def command_down(_args):
    import cluster
    cluster.down()


def check_binaries(by_config):
    needed = {'GOLDEN_WORKSPACE_BIN': settings.WORKSPACE_BIN}
    if any('rag' in os.path.basename(folder) for folders in by_config.values() for folder in folders):
        needed['GOLDEN_RAGENGINE_BIN'] = settings.RAGENGINE_BIN
    for variable, path in needed.items():
        if not os.access(path, os.X_OK):
            raise SystemExit(f'golden: {variable} must name an executable; it is {path!r}')


def command_run(args):
    import cluster
    import scenario
    by_config = chosen(args)
    if not args.no_operator:
        check_binaries(by_config)
    if args.server == 'embedded' and not settings.EMBEDDED:
        sys.exit(run_shards(args, by_config))
    if args.server == 'real':
        cluster.up()
        broken = scenario.play_all(by_config, args.jobs or 8, args.out, args.quiet, not args.no_operator)
        sys.exit(broken != 0)
    try:
        cluster.start_embedded()
        broken = scenario.play_all(by_config, args.jobs or 4, args.out, args.quiet, True)
    finally:
        status = cluster.stop_embedded()
    if status != 0:
        print('golden: the embedded API server ended with', status)
    sys.exit(broken != 0 or status != 0)


# ---- shards ----------------------------------------------------------------------------------------------------------

def share_out(by_config, count):
    """Share scenarios among at most count shards: small configurations stay together, as each needs an operator of its own."""
    shards = [[] for _ in range(count)]
    for folders in sorted(by_config.values(), key=len, reverse=True):
        size = max(1, -(-len(folders) // count)) if len(folders) > 2 * count else len(folders)
        for first in range(0, len(folders), size):
            min(shards, key=len).extend(folders[first:first + size])
    return [shard for shard in shards if shard]


def run_shards(args, by_config):
    """Play on several embedded API servers at a time, each with a process of its own; return the exit status."""
    out = os.path.abspath(settings.run_file(args.out))
    processes = []
    shards = share_out(by_config, args.shards)
    first_port = settings.free_ports(PORTS * len(shards))
    try:
        for index, folders in enumerate(shards):
            names = settings.run_file(f'shard-{index}', 'names')
            with open(names, 'w') as file:
                file.writelines(os.path.basename(folder) + '\n' for folder in folders)
            environment = {
                **os.environ, 'GOLDEN_SERVER': 'embedded', 'GOLDEN_RUN': os.path.dirname(os.path.abspath(names)),
                'GOLDEN_PORT': str(first_port + PORTS * index),
            }
            argv = [sys.executable, os.path.abspath(__file__), 'run', '--server', 'embedded', '--scenarios', args.scenarios,
                    '--names', os.path.abspath(names), '--out', out, '--jobs', str(args.jobs or 4)]
            if args.quiet:
                argv += ['--quiet', str(args.quiet)]
            processes.append(subprocess.Popen(argv, env=environment))
        return max(process.wait() != 0 for process in processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            process.wait()


# ---- verdicts --------------------------------------------------------------------------------------------------------

def report(passed, failed, skipped=0):
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''), flush=True)
    sys.exit(failed != 0)


def command_compare(args):
    import compare
    accepted = compare.load_accepted(args.accepted) if args.accepted else []
    results = os.path.join(settings.RUN, args.out)
    if args.json:
        write_differences(args, results, accepted)
    passed, failed, skipped = compare.compare(all_folders(args), results, accepted, args.limit)
    if args.unused:
        failed += compare.unused(accepted)
    report(passed, failed, skipped)


def write_differences(args, results, accepted):
    import compare
    found = {}
    for folder in all_folders(args):
        name = os.path.basename(folder)
        found[name] = compare.skipped(results, name) or compare.compare_scenario(folder, results, accepted)
    with open(args.json, 'w') as file:
        json.dump(found, file)


def command_show(args):
    import show
    show.show(all_folders(args))


def why_no_control_plane():
    """Return why there can be no real control plane here; None: there can."""
    if os.environ.get('KAITO_KUBE_SKIP'):
        return os.environ['KAITO_KUBE_SKIP']
    folder = subprocess.run([settings.KUBE_TOOL, 'bin'], capture_output=True, text=True, check=True).stdout.strip()
    names = ('etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler')
    missing = [name for name in names if not os.access(os.path.join(folder, name), os.X_OK)]
    return f'{folder} has no {", ".join(missing)} (scripts/setup kube builds them)' if missing else None


def command_test(args):
    """Play and compare, in processes of their own with ports that are free, and leave nothing running."""
    reason = why_no_control_plane() if args.server == 'real' else None
    if reason:
        print('skipped:', reason)
        report(0, 0, sum(map(len, chosen(args).values())))
    environment = dict(os.environ)
    environment.pop('KUBECONFIG', None)  # somebody's cluster is not to be tested on
    environment.setdefault('GOLDEN_RUN', os.path.join(settings.RUN, args.server))
    environment['GOLDEN_PORT'] = str(settings.free_ports(PORTS))
    environment['KUBE_PORT'] = str(settings.free_ports(20) + 10)
    with_workspace_binary(environment)
    # RAGEngines have no operator here
    choice = ['--scenarios', args.scenarios, '--config', args.config, '--only', f'^(?!rag-).*(?:{args.only})']
    choice += ['--names', args.names] if args.names else []
    server = ['--server', args.server, '--shards', str(args.shards)] + (['--jobs', str(args.jobs)] if args.jobs else [])
    whole = (args.only, args.config, args.names) == ('.', 'all', None) and args.server == 'real'

    def call(*argv):
        return subprocess.run([sys.executable, os.path.abspath(__file__), *argv], env=environment, check=False).returncode

    if args.server == 'real':
        call('down')  # what an earlier run left when it was killed
    try:
        played = call('run', *choice, *server)
        equal = call('compare', *choice, '--accepted', settings.ACCEPTED, *(['--unused'] if whole else []))
    finally:
        if args.server == 'real':
            call('down')
    sys.exit(played or equal)


def with_workspace_binary(environment):
    """Name the program under test as the Go operator was named: it then takes that one's flags."""
    if environment.get('GOLDEN_WORKSPACE_BIN'):
        return
    link = os.path.join(environment['GOLDEN_RUN'], 'workspace')
    os.makedirs(environment['GOLDEN_RUN'], exist_ok=True)
    if os.path.lexists(link):
        os.remove(link)
    os.symlink(os.path.join(settings.BUILD, 'kaito'), link)
    environment['GOLDEN_WORKSPACE_BIN'] = link


def end(*_):
    """On SIGTERM: what was started is stopped. A shard does not wait for its scenarios."""
    if not settings.EMBEDDED:
        sys.exit(143)
    import cluster
    cluster.stop_embedded()
    os._exit(143)


def main():
    signal.signal(signal.SIGTERM, end)
    args = parse_arguments()
    globals()['command_' + args.command](args)


if __name__ == '__main__':
    main()
