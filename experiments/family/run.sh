#!/usr/bin/env bash
# Train the shipped networks. What is finished is not repeated, what was stopped goes on.
#     FALSR_NAS_DATA=DIR experiments/family/run.sh clean|photo fast|balanced|best 2|3|4 OUTPUT
# Networks for x3 and x4 start from stem and cells of the one for x2 in the same output.
set -euo pipefail -o noglob # settings have brackets
kind=$1 speed=$2 scale=$3 output=$4 data=$FALSR_NAS_DATA
: "${PYTHON:=python}" "${EPOCHS:=400}"
export OMP_NUM_THREADS=1

case $speed in
fast) width=16 cells=3 ;;
balanced) width=16 cells=11 ;;
best) width=32 cells=11 ;;
esac
genome=$(printf 'stem_f%s' "$width"
    printf " conv_f${width}_k3_b1_noskip%.0s" $(seq "$cells")
    printf ' skipsubpixel_x%s' "$scale")
if [ "$kind" = photo ]; then
    degradation=photo
else
    degradation=bicubic
fi
start=()
if [ "$scale" != 2 ]; then
    start=("start_from=$output/x2-$kind-$speed/best")
fi
"$PYTHON" -m falsr_nas.train training=final "training.epochs=$EPOCHS" trainer.validate_every=20 \
    "degradation=$degradation" "genome=$genome" data=folder \
    "data.train_dirs=[$data/train/T91,$data/train/BSDS200,$data/train/BSDS-test200,$data/train/clean]" \
    "data.val_dir=$data/val/Kodak24" tracking=none "${start[@]}" "output=$output/x$scale-$kind-$speed"
