#!/bin/sh
# Installs a C compiler and Python's headers in an image; fails where they cannot be had.
set -eu
apt-get update --quiet=2
apt-get install --quiet=2 --no-install-recommends gcc libc6-dev >/dev/null
header=$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
# The official image brings them; a distribution's own Python has a package for them.
test -f "$header" || apt-get install --quiet=2 --no-install-recommends python3-dev >/dev/null
test -f "$header"
