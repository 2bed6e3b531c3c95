#!/usr/bin/env bash
# FALSR-A, FALSR-B and the two best networks of experiments/x2_291_cpu, by one recipe and budget. Resumes.
#   FALSR_NAS_DATA=... experiments/x2_291_train/run.sh outputs/x2_291_train [more settings]
set -euo pipefail
here=$(dirname "$0")
best() { python - "$here/../x2_291_cpu/pareto.csv" "$1" <<'PYTHON'
import csv, sys
rows = sorted(csv.DictReader(open(sys.argv[1])), key=lambda row: -float(row["psnr"]))
print(rows[int(sys.argv[2])]["genome"])
PYTHON
}
for genome in "$(best 1)" "$(best 0)" FALSR-B FALSR-A; do
    python -m falsr_nas.train "genome=$genome" "output=$1" data=folder "data.val_dir=$FALSR_NAS_DATA/val/Kodak24" \
        "data.train_dirs=[$FALSR_NAS_DATA/train/T91,$FALSR_NAS_DATA/train/BSDS200]" tracking=none trainer.validate_every=4 \
        training.epochs=40 training.batch_size=4 training.patch_size=24 training.warmup=100 training.ema=0.99 \
        "benchmark_root=$FALSR_NAS_DATA/benchmark" 'sets=[Set5,Set14,B100]' "${@:2}"
done
