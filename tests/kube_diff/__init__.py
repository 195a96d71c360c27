"""The embedded API server beside the real one.

The requests of cases/*.yaml go to both, group by group, each group in a namespace of its own. Status, some headers and body
of the answers must be equal once what has to differ (ids, versions, times, addresses) is masked, or the difference is a row
of accepted.json with its reason.

    cases.py      reads cases/*.yaml (their form is described there)
    servers.py    starts and stops the two servers
    client.py     sends the requests of a group to one server
    compare.py    masks and compares
    serve.c       the embedded server alone: no machine and no controllers, which would write between the requests

$KUBE_DIFF_ANSWERS names a folder in which to leave what both said, a file per group.
"""
