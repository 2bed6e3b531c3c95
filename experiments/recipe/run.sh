#!/usr/bin/env bash
# Train chains with another recipe.
#     FALSR_NAS_DATA=DIR experiments/recipe/run.sh short NAME [SETTING ...]
#     ... run.sh full NAME CELLS [SETTING ...]
# short: the eight chains of +experiment=x2_fast as candidates of a search, whose recipe the settings
# change, and their PSNR. full: a chain of 16 channels with the long skip by training=final, 5,000
# steps. Both write to outputs/recipe/NAME.
set -euo pipefail -o noglob # settings have brackets
step=$1 output=outputs/recipe/$2 data=$FALSR_NAS_DATA
: "${PYTHON:=python}"
shift 2
export OMP_NUM_THREADS=1
images=(data=folder "data.val_dir=$data/val/Kodak24" tracking=none)

case $step in
short)
    "$PYTHON" -m falsr_nas.search +experiment=x2_fast "${images[@]}" candidates=8 \
        controller.population_size=8 'objectives=[psnr,mult_adds]' constraints.max_latency_ms=null \
        "data.train_dirs=[$data/train/T91,$data/train/BSDS200]" "run_dir=$output" "$@"
    ;;
full)
    cells=$1
    shift
    "$PYTHON" -m falsr_nas.train training=final training.epochs=20 trainer.validate_every=4 \
        "genome=stem_f16$(printf ' conv_f16_k3_b1_noskip%.0s' $(seq "$cells")) skipsubpixel_x2" \
        "data.train_dirs=[$data/train/T91,$data/train/BSDS200,$data/train/BSDS-test200,$data/train/clean]" \
        "${images[@]}" "output=$output" "$@"
    ;;
*)
    echo "run.sh: no step is called $step" >&2
    exit 2
    ;;
esac
