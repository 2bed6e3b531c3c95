#!/usr/bin/env bash
# One step of the experiment. What is finished is not repeated, what was stopped goes on.
#     FALSR_NAS_DATA=... experiments/x2_fast/run.sh profile outputs/x2_fast
#     ... run.sh search | finals | random | ladder ...
# profile: the device, for the search. search: 400 candidates. finals: 16 networks of its front, the
# better 12 from 2,000 steps on, the better 8 from 5,000 to 20,000 steps with three seeds each.
# random: 16 random networks of the space by the same finals. ladder: the hand-made networks, 20,000
# steps, three seeds each.
set -euo pipefail -o noglob # settings have brackets
step=$1 output=$2 data=$FALSR_NAS_DATA
: "${PYTHON:=python}" "${BACKEND:=onnxruntime}" "${SEEDS:=1 2 3}"
export OMP_NUM_THREADS=1

images=(data=folder "data.val_dir=$data/val/Kodak24" tracking=none)
most=(T91 BSDS200 BSDS-test200 clean)
recipe=(training=final training.epochs=80 trainer.validate_every=20 "${images[@]}"
    "data.train_dirs=[$(printf ",$data/train/%s" "${most[@]}" | cut -c2-)]")
finals=(select=spread n=16 'rungs.epochs=[8,20]' 'rungs.keep=[0.75,0.5]' seeds=3 workers=2)
train() {
    "$PYTHON" -m falsr_nas.train "${recipe[@]}" "$@"
}
chain() { # WIDTH CELLS [UPSAMPLER]
    printf 'stem_f%s' "$1"
    printf " conv_f$1_k3_b1_noskip%.0s" $(seq "$2")
    printf ' %s_x2' "${3:-subpixel}"
}
hand() { # NAME GENOME
    for seed in $SEEDS; do
        train "genome=$2" "seed=$seed" "output=$output/ladder/$1_$seed"
    done
}

case $step in
profile)
    "$PYTHON" -m falsr_nas.profile "$output/$BACKEND.json" space=fast "backend=$BACKEND" threads=2 \
        max_mult_adds=30
    ;;
search)
    "$PYTHON" -m falsr_nas.search +experiment=x2_fast "${images[@]}" execution.workers=2 \
        "latency=$output/$BACKEND.json" "data.train_dirs=[$data/train/T91,$data/train/BSDS200]" \
        "run_dir=$output/search_$BACKEND"
    ;;
finals)
    train "run_dir=$output/search_$BACKEND" "${finals[@]}" "output=$output/finals_$BACKEND"
    ;;
random)
    # Random networks with random scores: of each interval of the latency, one goes to the finals.
    "$PYTHON" -m falsr_nas.search +experiment=x2_fast controller=random evaluator=synthetic \
        evaluator.noise=20 "${images[@]}" "data.train_dirs=[$data/train/T91]" \
        "latency=$output/$BACKEND.json" "run_dir=$output/random"
    train "run_dir=$output/random" "${finals[@]}" "output=$output/finals_random"
    ;;
ladder)
    hand ecbsr_m4c8 "$(chain 8 4)"
    hand ecbsr_m4c16 "$(chain 16 4)"
    hand etds_t "$(chain 16 5)"
    for cells in 3 5 7 11; do
        hand "sesr_m$cells" "$(chain 16 "$cells" skipsubpixel)"
    done
    hand sesr_xl "$(chain 32 11 skipsubpixel)"
    for name in falsr-nano-x2 falsr-tiny-x2; do
        genome=$("$PYTHON" -c 'import sys, falsr_nas; print(falsr_nas.from_pretrained(sys.argv[1]).network.network.genome)' "$name")
        hand "${name//-/_}" "$genome"
    done
    for seed in $SEEDS; do
        for name in ESPCN FSRCNN; do
            "$PYTHON" experiments/hand_made.py "$name" --train "${most[@]}" --data "$data" \
                --seed "$seed" --output "$output/ladder/${name,,}_$seed.json"
        done
    done
    ;;
*)
    echo "run.sh: no step is called $step" >&2
    exit 2
    ;;
esac
