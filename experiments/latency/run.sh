#!/usr/bin/env bash
# Profile of this device, a search under a limit on latency, and the measured latency of its front.
#
#     FALSR_NAS_DATA=... experiments/latency/run.sh outputs/latency [SETTING=VALUE ...]
#
# Further settings, e.g. space=tiny, go to both the profile and the search.
set -euo pipefail -o noglob # settings have brackets
out=$1
shift
here=$(dirname "$0")
: "${PYTHON:=python}" "${THREADS:=2}" "${WIDTH:=1280}" "${HEIGHT:=720}" "${MINUTES:=3}"
: "${SEARCH_MINUTES:=15}" "${LIMIT_MS:=150}" "${SEARCH:=}"
if [ -z "$SEARCH" ]; then
    images=$FALSR_NAS_DATA
    SEARCH="+experiment=x2_291 data.train_dirs=[$images/train/T91,$images/train/BSDS200]"
    SEARCH="$SEARCH data.val_dir=$images/val/Kodak24"
fi

mkdir -p "$out"
"$PYTHON" -m falsr_nas.profile output="$out/device.json" threads="$THREADS" width="$WIDTH" \
    height="$HEIGHT" minutes="$MINUTES" ${PROFILE:-} "$@" | tee "$out/profile.txt"
# SIGTERM ends the search as Ctrl-C does: what was evaluated is stored and reported.
# shellcheck disable=SC2086 # several settings
timeout --signal=TERM --kill-after=120 "${SEARCH_MINUTES}m" \
    "$PYTHON" -m falsr_nas.search $SEARCH 'objectives=[psnr,latency]' latency="$out/device.json" \
    constraints.max_latency_ms="$LIMIT_MS" constraints.max_mult_adds=null candidates=100000 \
    tracking=none run_dir="$out/search" "$@" || test $? -eq 124
"$PYTHON" "$here/measure.py" "$out/search" | tee "$out/front.md"
