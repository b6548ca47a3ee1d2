#!/usr/bin/env bash
# Everything that is measured on a machine with a GPU, in one go; about a day for the last part.
#
#   benchmarks/gpu.sh CIFAR [--parts "paths cost cifar"]     CIFAR: cifar-10-python.tar.gz
#   benchmarks/gpu.sh --dry                                  each part on the CPU, for seconds
#
# paths: losses, captured graphs, bf16, crop and flip, norms, against the CPU.
# cost:  benchmarks/loss.py and step_share.py. At instance level at most 3 times the matrix product, at class level
#        at most 4 times cross entropy, at most 3 % of a training step.
# cifar: CIFAR-10-LT, ratio 100, ResNet-32, 200 epochs, 5 seeds: ce, logit-adjustment, crl.
# Results are written to runs/gpu. The exit code is 1 where a part fails.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
OUT=runs/gpu DATA= DRY= PARTS="paths cost cifar"
while (($#)); do
    case $1 in
        --dry) DRY=yes ;;
        --parts) PARTS=${2:?--parts: expected names}; shift ;;
        -*) echo "gpu.sh: $1: expected --dry or --parts" >&2; exit 2 ;;
        *) DATA=$1 ;;
    esac
    shift
done
DEVICE=cuda
COST=() CIFAR=(--tail-ratio 100 --epochs 200 --seeds 5 --batch-size 128 --val-share 0.02)
if [[ $DRY ]]; then
    OUT=runs/gpu-dry DEVICE=cpu DATA=digits
    COST=(--quick --repeats 1) CIFAR=(--tail-ratio 10 --tail-largest 40 --epochs 1 --seeds 1)
elif [[ $PARTS == *cifar* && ! -e $DATA ]]; then
    echo "gpu.sh: expected cifar-10-python.tar.gz, got '$DATA'; or --parts 'paths cost'" >&2
    exit 2
fi
mkdir -p "$OUT"
failed=0

part() { # NAME COMMAND...: run it, and go on where it fails
    local name=$1 began=$SECONDS
    shift
    echo "== $name: $*"
    if "$@"; then echo "== $name: $((SECONDS - began)) s"; else
        failed=1
        echo "== $name: FAILED after $((SECONDS - began)) s"
    fi
}

for name in $PARTS; do
    case $name in
        paths) part paths "$PYTHON" benchmarks/gpu_paths.py --device $DEVICE ;;
        cost)
            part loss "$PYTHON" benchmarks/loss.py --device $DEVICE "${COST[@]}" --output $OUT/loss.json
            part step_share "$PYTHON" benchmarks/step_share.py --device $DEVICE "${COST[@]}" \
                --output $OUT/step_share.json
            if [[ $DRY ]]; then
                # the bars are those of a GPU: a CPU need not meet them
                "$PYTHON" benchmarks/gpu_paths.py --bars $OUT/loss.json $OUT/step_share.json || true
            else
                part bars "$PYTHON" benchmarks/gpu_paths.py --bars $OUT/loss.json $OUT/step_share.json
            fi
            ;;
        cifar)
            part cifar "$PYTHON" -P -m longtail compare "$DATA" --methods ce,logit-adjustment,crl \
                --backbone resnet32 --shared-feature --accelerator $DEVICE \
                "${CIFAR[@]}" --output $OUT/cifar
            ;;
        *) echo "gpu.sh: --parts: expected paths, cost, cifar, got $name" >&2; exit 2 ;;
    esac
done
exit $failed
