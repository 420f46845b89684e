#!/usr/bin/env bash
# What `make run` does: logs, tables, findings, then the Dagster UI and the API until Ctrl-C.
set -euo pipefail

pipeline="${VENV:-.venv}/bin/analytics-pipeline"
run_logs="${ANALYTICS_HOME:-data}/run_logs"

if [ -n "${LOGS:-}" ]; then
    IFS=, read -r -a paths <<<"$LOGS"
else
    paths=("$run_logs")
    if [ -z "$(ls -A "$run_logs" 2>/dev/null)" ]; then
        "$pipeline" simulate --out "$run_logs"
    fi
fi
"$pipeline" ingest "${paths[@]}"
"$pipeline" materialize
"$pipeline" report
exec "$pipeline" up
