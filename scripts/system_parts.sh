#!/usr/bin/env bash
# Install programs that the tests use and PyPI does not have: shells, a terminal, Prometheus, proxies, and
# the incident's WebSocket client. Each is optional: without it, its tests are skipped and say so.
set -u
cd "$(dirname "$0")/.."

missing=()
for part in fish groff zsh tmux prometheus prometheus-alertmanager haproxy faketime; do
  command -v "$part" >/dev/null || missing+=("$part")
done
command -v nginx >/dev/null || missing+=(nginx-light)
command -v systemd-analyze >/dev/null || missing+=(systemd)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null 2>&1 || echo "apt-get update failed"
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
      echo "could not install: ${missing[*]}"
  else
    echo "not installed; their tests are skipped: ${missing[*]} (sudo apt-get install ${missing[*]})"
  fi
fi

# A real browser. By itself, because only Debian has this small package; others have a Chrome.
if ! command -v chromium-headless-shell >/dev/null && ! command -v chromium >/dev/null &&
  ! command -v google-chrome >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium-headless-shell \
      >/dev/null 2>&1 || echo "could not install: chromium-headless-shell"
  else
    echo "not installed; its test is skipped: chromium-headless-shell"
  fi
fi

# The incident's WebSocket client, and AsyncAPI's schema by its authors, with which docs/asyncapi.json is validated.
# In one command: without a package.json, each `npm install` removes what the one before has installed.
if [ ! -x .tools/node_modules/.bin/wscat ] || [ ! -d .tools/node_modules/@asyncapi/specs ]; then
  if command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix .tools wscat@6 @asyncapi/specs@6 \
      >/dev/null 2>&1 || echo "could not install wscat and @asyncapi/specs"
  else
    echo "npm is not installed; the tests with wscat and AsyncAPI's schema are skipped"
  fi
fi

# Autobahn's TestSuite, for tests/conformance. It needs pip.
if [ -x .venv/bin/python ]; then
  .venv/bin/python scripts/autobahn.py .tools/autobahn || true
fi
exit 0
