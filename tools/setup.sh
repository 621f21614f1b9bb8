#!/bin/sh
# Creates the virtual environment VENV, installs the hashed pins, then every MEMBER in editable form.
#   tools/setup.sh VENV MEMBER...
# PYTHON=/path/to/python chooses the interpreter; otherwise the first one that is new enough is taken.
set -eu
venv=$1
shift

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if ! new_enough "$venv/bin/python"; then
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if new_enough "$candidate"; then python=$candidate && break; fi
    done
    if [ -z "${python:-}" ]; then
        fail "tickbus needs Python 3.11 or newer; found: $("${PYTHON:-python3}" --version 2>/dev/null || echo none)." \
            "Install one (apt-get install python3, brew install python@3.13) or name it: make setup PYTHON=/path/to/python3"
    fi
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        fail "$("$python" --version) lacks the venv module." \
            "Install it: apt-get install python3-venv (Debian, Ubuntu), then repeat."
    fi
    say "creating $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

# pip checks its own successor; uv, checked by it, installs the rest in parallel.
if ! "$venv/bin/uv" --version 2>/dev/null | grep -qF "$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements/bootstrap.txt)"; then
    say "installing pip and uv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement requirements/bootstrap.txt
fi

uv() { "$venv/bin/uv" pip install --python "$venv/bin/python" "$@"; }

say "installing the pinned packages"
# Compiled once here, and not by every process that starts first.
uv --compile-bytecode --require-hashes --requirement requirements/dev.txt

say "installing the members: $*"
editables=
for member; do editables="$editables --editable $member"; done
# shellcheck disable=SC2086  # one word per argument is meant
uv --quiet --no-deps --no-build-isolation $editables ||
    fail "a member could not be installed; the lines above say which." \
        "One has C code: is there a C compiler, and Python's headers? Install them:" \
        "apt-get install gcc python3-dev (Debian, Ubuntu), xcode-select --install (macOS), then repeat."

say "ready: $venv/bin/tickbus --help"
