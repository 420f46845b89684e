#!/usr/bin/env bash
# make_venv.sh PYTHON DIR: make the virtual environment DIR, unless it is there and fit for use.
set -euo pipefail

python=$1
venv=$2
fits='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] < (3, 14))'

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$fits; import pip" 2>/dev/null; then
    exit 0
fi
if ! command -v "$python" >/dev/null; then
    echo "$python not found: install Python 3.11, 3.12 or 3.13 (on Debian: apt-get install python3 python3-venv)" >&2
    exit 1
fi
if ! "$python" -c "$fits"; then
    echo "$python is $("$python" -V 2>&1), 3.11 to 3.13 is needed: name another, as in make PYTHON=python3.12 run" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python cannot make virtual environments: on Debian or Ubuntu, apt-get install python3-venv" >&2
    exit 1
fi
"$python" -m venv --clear "$venv"
