"""Checks that a dashboard survives a round trip through Grafana's own types: no unknown fields, no changed values.

    PYTHONPATH=.tools/grafana-foundation-sdk-11.6.0 python3 docs/dashboards/grafana_types.py docs/dashboards/weft.json
"""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def differences(path, given, kept):
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key not in kept:
                yield "%s.%s: unknown field" % (path, key)
            else:
                yield from differences("%s.%s" % (path, key), value, kept[key])
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for i, pair in enumerate(zip(given, kept)):
            yield from differences("%s[%d]" % (path, i), *pair)
    elif given != kept:
        yield "%s: Grafana changes %r to %r" % (path, given, kept)


register_default_plugins()
with open(sys.argv[1]) as source:
    dashboard = json.load(source)
found = list(differences("dashboard", dashboard, json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))))
print("\n".join(found), end="\n" if found else "")
sys.exit(1 if found else 0)
