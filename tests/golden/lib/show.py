"""One line a stage, for reading: objects, states, conditions, events."""
import collections

import compare

OWN_KINDS = ('Workspace', 'InferenceSet', 'RAGEngine', 'MultiRoleInference')


def _state_of(obj):
    status = obj.get('status', {})
    conditions = ' '.join(
        f"{item['type'].replace('Workspace', 'W')}={item['status'][0]}/{item['reason']}"
        for item in status.get('conditions', []))
    count = status.get('targetNodeCount', status.get('replicas', ''))
    return f"{obj['metadata']['name']}:{status.get('state', '')} n={count} [{conditions}]"


def stage_line(stage):
    kinds = collections.Counter(obj['kind'] for obj in stage['objects'])
    words = [
        f"{stage['scenario']:<34} {stage['stage']:<3}{'' if stage['settled'] else '!UNSETTLED'}",
        ' '.join(f'{kind[:6]}{count}' for kind, count in kinds.items()),
        f"REJECTED{stage['apiRejections']}" if stage.get('apiRejections') else '',
        '|'.join(_state_of(obj) for obj in stage['objects'] if obj['kind'] in OWN_KINDS),
        ','.join(sorted({event['reason'] for event in stage['events']})),
    ]
    return ' '.join(words)


def show(folders):
    """Print the recorded stages of the scenarios, in the order in which they are played."""
    for folder in folders:
        for stage in compare.recorded(folder):
            print(stage_line(stage))
