#!/bin/sh
# Takes the debug symbols out of the compiled modules below DIRECTORY: they are most of their size.
#   slim.sh DIRECTORY
# Where there is no `strip` (of binutils, which a compiler brings) they stay.
set -eu
command -v strip >/dev/null || exit 0
find "$1" -type f \( -name '*.so' -o -name '*.so.*' \) -exec strip --strip-unneeded {} +
