#!/usr/bin/env python3
"""Run the operator through the scenarios recorded from the Go operator, on a real API server.

golden.py up                start a control plane (../kube/kube) and prepare it
golden.py run               play the scenarios with GOLDEN_WORKSPACE_BIN (starts the control plane if none is up);
                            results go to $GOLDEN_RUN/OUT
golden.py compare           field by field against the recording; ends with 'N passed, N failed' (stages)
golden.py show              the recording, one line a stage
golden.py down              stop the operators and the control plane, forget its data

State is in GOLDEN_RUN (default ./.golden); KUBECONFIG names a control plane of your own. README.md has the rest.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))

import settings  # noqa: E402 (the modules are in lib)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    commands.add_parser('up')
    commands.add_parser('down')

    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument('--scenarios', default=settings.SCENARIOS, metavar='DIR', help='folder of the scenarios')
    choice.add_argument('--only', default='.', metavar='REGEX', help='scenarios whose name matches')
    choice.add_argument('--config', default='all', metavar='C', help='scenarios of one operator configuration')
    commands.add_parser('show', parents=[choice])

    out = argparse.ArgumentParser(add_help=False)
    out.add_argument('--out', default='actual', metavar='NAME', help='folder of the results in GOLDEN_RUN (actual)')

    run = commands.add_parser('run', parents=[choice, out])
    run.add_argument('--jobs', type=int, default=6, metavar='N', help='scenarios at a time (6)')
    run.add_argument('--quiet', type=float, metavar='S', help="seconds without change that end a stage (the scenario's)")
    run.add_argument('--no-operator', action='store_true', help='the operator already runs')

    compare = commands.add_parser('compare', parents=[choice, out])
    compare.add_argument('--accepted', metavar='FILE', help='JSON list of accepted differences')
    compare.add_argument('--limit', type=int, default=12, metavar='N', help='differences shown a stage (12)')
    return parser.parse_args()


def chosen(args):
    """Return {configuration: [scenario folder, ...]}; it is an error when none matches."""
    import scenario
    found = scenario.find(settings.resolve_scenarios(args.scenarios), args.only, args.config)
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


def command_run(args):
    import cluster
    import scenario
    by_config = chosen(args)
    if not args.no_operator:
        needed = {'GOLDEN_WORKSPACE_BIN': settings.WORKSPACE_BIN}
        if any('rag' in os.path.basename(folder) for folders in by_config.values() for folder in folders):
            needed['GOLDEN_RAGENGINE_BIN'] = settings.RAGENGINE_BIN
        for variable, path in needed.items():
            if not os.access(path, os.X_OK):
                raise SystemExit(f'golden: {variable} must name an executable; it is {path!r}')
    cluster.up()
    broken = scenario.play_all(by_config, args.jobs, args.out, args.quiet, not args.no_operator)
    sys.exit(broken != 0)


def report(passed, failed):
    print(f'{passed} passed, {failed} failed')
    sys.exit(failed != 0)


def command_compare(args):
    import compare
    accepted = compare.load_accepted(args.accepted) if args.accepted else []
    results = os.path.join(settings.RUN, args.out)
    report(*compare.compare(all_folders(args), results, accepted, args.limit))


def command_show(args):
    import show
    show.show(all_folders(args))


def main():
    args = parse_arguments()
    globals()['command_' + args.command](args)


if __name__ == '__main__':
    main()
