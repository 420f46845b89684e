#!/usr/bin/env bash
# Installs chromium, for the tests of the dashboard, where no browser is found. Exit 1: there is none afterwards.
set -euo pipefail

found() {
    command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null
}

found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
    found && exit 0
fi
echo "no browser found: install chromium or google-chrome (on Debian, as root: apt-get install chromium)" >&2
exit 1
