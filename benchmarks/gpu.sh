#!/usr/bin/env bash
# Run everything that is to be measured on a GPU, step by step, on a machine without a network.
#
#   benchmarks/gpu.sh [--python PYTHON] [--wheels DIR] [--output DIR] [--steps a,b] [--budget S]
#                     [--data DIR] [--recipe SETTING] [--limit STEP=S] [--again] [--tiny]
#
# --python PYTHON  the interpreter of an environment that has torch; by default python3
# --wheels DIR     a folder of wheels of the packages that this environment lacks; all of them are
#                  unpacked into outputs/packages, and the environment is not changed
#
# The other options are those of gpu.py; --help prints them. This project itself is not installed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=python3 wheels="" packages=$root/outputs/packages
options=()

fail() {
    echo "error: $1" >&2
    exit 2
}

while (($#)); do
    case $1 in
        --python | --wheels)
            (($# > 1)) || fail "$1 needs a value"
            [[ $1 == --python ]] && python=$2 || wheels=$2
            shift 2
            ;;
        *)
            options+=("$1")
            shift
            ;;
    esac
done

command -v "$python" >/dev/null || fail "--python $python: there is no such interpreter"
export PYTHONPATH=$root/src${PYTHONPATH:+:$PYTHONPATH}

if [[ -n $wheels ]]; then
    ls "$wheels"/*.whl >/dev/null 2>&1 || fail "--wheels $wheels: there are no wheels in it"
    present=$(cd "$wheels" && ls ./*.whl)
    if [[ ! -f $packages/unpacked || $(<"$packages/unpacked") != "$present" ]]; then
        rm -rf "$packages"
        "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$packages" \
            "$wheels"/*.whl || fail "--wheels $wheels: pip cannot install them into $packages"
        echo "$present" >"$packages/unpacked"
    fi
    export PYTHONPATH=$root/src:$packages${PYTHONPATH#"$root/src"}
fi

exec "$python" "$root/benchmarks/gpu.py" ${options[@]+"${options[@]}"}
