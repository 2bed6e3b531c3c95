#!/usr/bin/env bash
# Every form of FALSR-B and of a small network, measured on Set5. Writes one text file per form.
#   FALSR_NAS_DATA=... experiments/export/run.sh outputs/export
set -euo pipefail
data=$FALSR_NAS_DATA output=$1
mkdir -p "$output/models"
conv=conv_f16_k3_b1_noskip
python -m falsr_nas.train "genome=stem_f32 $conv $conv $conv $conv $conv $conv $conv" \
    "output=$output/small" data=folder "data.val_dir=$data/val/Kodak24" tracking=none \
    "data.train_dirs=[$data/train/T91,$data/train/BSDS200]" \
    training.epochs=80 training.batch_size=16 training.patch_size=24 training.warmup=100 training.ema=0.99
python -m falsr_nas.convert "input=$data/models/FALSR-B.pb" "output=$output/falsr-b.safetensors"
for name in small falsr-b; do
    model=$output/falsr-b.safetensors
    if [ $name = small ]; then model=$output/small/best; fi
    for layout in rgb y; do
        measured=("model=$model" "layout=$layout" "benchmark=$data/benchmark/Set5")
        python -m falsr_nas.export "${measured[@]}" "output=$output/$name-$layout.onnx" | tee "$output/$name-$layout-onnx.txt"
        python -m falsr_nas.export "${measured[@]}" "output=$output/models/$name-$layout-x2.param" | tee "$output/$name-$layout-ncnn.txt"
        python -m falsr_nas.export "${measured[@]}" "output=$output/$name-$layout-int8.onnx" precision=int8 \
            "calibration=$data/train/BSDS200" force=true | tee "$output/$name-$layout-int8.txt"
    done
done
