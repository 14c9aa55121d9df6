#!/bin/sh
# Makes a virtual environment, once for each state of its requirements file:
#     tools/python_env.sh [REQUIREMENTS FOLDER]    (default: tools/requirements.txt .cache/python)
# pip's own configuration (index, proxy, certificates) is honoured. Set PYTHON to use another
# Python than python3; 3.11 or newer is needed.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
requirements_name=${1:-tools/requirements.txt}
folder_name=${2:-.cache/python}
requirements=$root/$requirements_name
folder=$root/$folder_name
stamp=$folder/requirements.sha256
python=${PYTHON:-python3}

wanted=$(sha256sum <"$requirements" | cut -d ' ' -f 1)
if [ -x "$folder/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
    echo "python_env: $folder_name is up to date"
    exit 0
fi

fail() {
    echo "python_env: $1" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || fail "there is no $python, expected Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old, expected 3.11 or newer; set PYTHON to another one"

# Debian keeps the part of venv that brings pip in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "python_env: installing $version-venv"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$version-venv"; } ||
            fail "apt-get could not install $version-venv: install it, then run this again"
    else
        fail "the modules venv and ensurepip are missing: install them (on Debian and Ubuntu: \
sudo apt-get install $version-venv), then run this again"
    fi
fi

echo "python_env: making $folder_name from $requirements_name (the default takes about 2 GB and some minutes)"
mkdir -p "$(dirname "$folder")"
rm -rf "$folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" ||
    fail "pip could not install $requirements_name, its words are above"
# Written last: an environment that was interrupted is made again.
echo "$wanted" >"$stamp"
echo "python_env: done"
