#!/usr/bin/env bash
# Networks of equal cost with the operators of plugins/ and with the paper's, three seeds each.
# Trainings that are finished are not repeated.
#     FALSR_NAS_DATA=... experiments/operators/run.sh outputs/operators
set -euo pipefail -o noglob # settings have brackets
data=$FALSR_NAS_DATA output=$1
: "${PYTHON:=python}" "${SEEDS:=1 2 3}"

network() { # count, cell
    echo "stem_f16$(printf " $2%.0s" $(seq "$1")) subpixel_x2"
}
for seed in $SEEDS; do
    for chosen in 7:conv_f16_k3_b1_noskip 7:groupConG4_f32_k3_b1_noskip \
        6:bsconv_f32_k3_b2_isskip 3:bsconv_f32_k3_b4_isskip 6:pixelAtt_f16_k3_b1_noskip; do
        "$PYTHON" -m falsr_nas.train 'plugins=[plugins/bsconv.py,plugins/pixel_attention.py]' \
            "genome=$(network "${chosen%%:*}" "${chosen##*:}")" "output=$output/${chosen##*:}_$seed" \
            "seed=$seed" data=folder "data.train_dirs=[$data/train/T91,$data/train/BSDS200]" \
            "data.val_dir=$data/val/Kodak24" "benchmark_root=$data/benchmark" 'sets=[Set5,Set14]' \
            training.epochs=80 training.batch_size=4 training.patch_size=16 training.warmup=20 \
            training.learning_rate=5e-4 training.expansion=64 training.initialization=identity \
            tracking=none trainer.validate_every=80
    done
done
