#!/usr/bin/env bash
# The upsamplers for x4 in networks of nearly equal cost, three seeds each.
# Trainings that are finished are not repeated.
#     FALSR_NAS_DATA=... experiments/x4_upsampler/run.sh outputs/x4_upsampler
set -euo pipefail -o noglob # settings have brackets
data=$FALSR_NAS_DATA output=$1
: "${PYTHON:=python}" "${SEEDS:=1 2 3}"

for seed in $SEEDS; do
    for chosen in paper:7 subpixel:7; do
        upsampler=${chosen%%:*} cells=${chosen##*:}
        genome="stem_f32$(printf " conv_f32_k3_b1_noskip%.0s" $(seq "$cells")) ${upsampler}_x4"
        "$PYTHON" -m falsr_nas.train "genome=$genome" "output=$output/${upsampler}_${cells}_$seed" \
            "seed=$seed" data=folder "data.train_dirs=[$data/train/T91,$data/train/BSDS200]" \
            "data.val_dir=$data/val/Kodak24" "benchmark_root=$data/benchmark" 'sets=[Set5,Set14]' \
            training.epochs=80 training.batch_size=4 training.patch_size=16 training.warmup=20 \
            training.learning_rate=5e-4 training.expansion=64 training.initialization=identity \
            tracking=none trainer.validate_every=80
    done
done
