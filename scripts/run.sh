#!/usr/bin/env bash
# What `make run` does: logs, tables, findings, then the Dagster UI and the API until Ctrl-C.
set -euo pipefail

bin="${VENV:-.venv}/bin"
run_logs="${ANALYTICS_HOME:-./data}/run_logs"

if [ -n "${LOGS:-}" ]; then
    IFS=, read -r -a paths <<<"$LOGS"
    # materialize and up read these logs too, and not the demo's
    ANALYTICS_SOURCES=$("$bin/python" -c '
import json, pathlib, sys
print(json.dumps([{"path": str(pathlib.Path(path).expanduser().absolute())} for path in sys.argv[1:]]))
' "${paths[@]}")
    export ANALYTICS_SOURCES
else
    paths=("$run_logs")
    if [ ! -e "$run_logs/truth.json" ]; then # written last
        "$bin/analytics-pipeline" simulate --out "$run_logs"
    fi
fi
"$bin/analytics-pipeline" ingest "${paths[@]}"
"$bin/analytics-pipeline" materialize
"$bin/analytics-pipeline" report --as-of latest
exec "$bin/analytics-pipeline" up --ui-port "${UI_PORT:-3000}"
