#!/usr/bin/env bash
# One step of the experiment for one of the two spaces. What is finished is not repeated.
#     FALSR_NAS_DATA=... experiments/x2_tiny/run.sh search nano outputs/x2_tiny
#     ... run.sh random | finalists | rows | winner | ship ...
# search, random: searches of 400 candidates by the default controller and by random networks.
# finalists: of each of them, the four best networks, the better two from 5,000 steps on and the
# best one from 10,000 to 20,000. rows: the networks that are compared, three seeds each.
# winner: the search's best network and, for tiny, the hand-made one, 100,000 steps. ship: the winner
# into the package.
set -euo pipefail -o noglob # settings have brackets
step=$1 space=$2 output=$3/$2 data=$FALSR_NAS_DATA
: "${PYTHON:=python}" "${SEEDS:=1 2 3}"

images=("data.val_dir=$data/val/Kodak24" tracking=none)
most="data.train_dirs=[$data/train/T91,$data/train/BSDS200,$data/train/BSDS-test200]"
recipe=(training=expanded data=folder "$most" "${images[@]}"
    "benchmark_root=$data/benchmark" 'sets=[Set5,Set14,B100]')
train() {
    "$PYTHON" -m falsr_nas.train "${recipe[@]}" "$@"
}
best() { # genome of the best network in a folder
    "$PYTHON" -c 'import sys, falsr_nas; print(falsr_nas.from_pretrained(sys.argv[1]).network.network.genome)' "$1"
}
hand="stem_f16$(printf ' conv_f16_k3_b1_noskip%.0s' 1 2 3 4 5) subpixel_x2"
if [ "$space" = tiny ]; then
    hand="stem_f32$(printf ' conv_f16_k3_b1_noskip%.0s' 1 2 3 4 5 6 7) |"
fi

case $step in
search | random)
    controller=()
    [ "$step" = search ] || controller=(controller=random)
    "$PYTHON" -m falsr_nas.search "+experiment=x2_$space" "${controller[@]}" \
        "data.train_dirs=[$data/train/T91,$data/train/BSDS200]" "${images[@]}" \
        "run_dir=$output/$step"
    ;;
finalists)
    for kind in search random; do
        [ -e "$output/$kind/search.db" ] || continue
        train "run_dir=$output/$kind" select=psnr n=4 training.epochs=80 'rungs.epochs=[20,40]' \
            'rungs.keep=[0.5,0.25]' "output=$output/finalists_$kind"
    done
    ;;
rows)
    searched=$(best "$output/finalists_search/best") random=$(best "$output/finalists_random/best")
    for seed in $SEEDS; do
        for row in "search=$searched" "random=$random" "hand-made=$hand"; do
            train "genome=${row#*=}" training.epochs=80 "seed=$seed" \
                "output=$output/rows/${row%%=*}_$seed"
        done
        "$PYTHON" experiments/hand_made.py FSRCNN --data "$data" --seed "$seed" \
            --output "$output/rows/fsrcnn_$seed.json"
    done
    ;;
winner)
    train "genome=$(best "$output/finalists_search/best")" "output=$output/winner"
    [ "$space" = nano ] || train "genome=$hand" "output=$output/rows/hand-made_long"
    ;;
ship)
    "$PYTHON" experiments/x2_tiny/ship.py "$output/winner/best" "falsr-$space-x2" \
        --benchmark "$data/benchmark" --search "\`+experiment=x2_$space\`, 400 candidates, seed 1"
    ;;
*)
    echo "run.sh: no step is called $step" >&2
    exit 2
    ;;
esac
