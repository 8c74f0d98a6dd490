#!/bin/sh
# Measures everything that a GPU is for, in under eight minutes, on Keras's JAX backend.
#
#   sh benchmarks/gpu.sh [--small] [--wheels FOLDER] [--python PYTHON] [--results FILE]
#
# PYTHON has JAX and numpy, and need have no TensorFlow. Wheels of what it lacks (keras, namex,
# optree, safetensors, Pillow; for folder jobs also OpenCV, simplejpeg, click, platformdirs, and
# cykooz-resizer, without which Pillow resizes) are
# installed from FOLDER into a folder of the script's own. --small runs all of it on the processor,
# to see that it works. Each part has its own time limit, so that one that hangs does not cost the
# others.
set -u
small= wheels= python=python3 results=/dev/null
while [ $# -gt 0 ]; do
  case "$1" in
    --small) small=1 ;;
    --wheels) wheels=$2; shift ;;
    --python) python=$2; shift ;;
    --results) results=$2; shift ;;
    *) echo "gpu.sh: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
here=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ -n "$wheels" ]; then
  # An environment over PYTHON's would not see its packages where PYTHON is in one itself.
  "$python" -m pip install --quiet --no-index --no-deps --target "$scratch/site" "$wheels"/*.whl ||
    exit 2
  export PYTHONPATH="$scratch/site${PYTHONPATH:+:$PYTHONPATH}"
fi
export KERAS_BACKEND=jax CNNKIT_CACHE="$scratch/cache" TF_CPP_MIN_LOG_LEVEL=3
export JAX_COMPILATION_CACHE_DIR="$scratch/jax"
device=gpu
if [ -n "$small" ]; then
  device=cpu
  export JAX_PLATFORMS=cpu
fi
# The pipe hides a status: a failure leaves a file.
run() {
  limit=$1 script=$2
  shift 2
  {
    timeout "$limit" "$python" "$here/benchmarks/$script" "$@" 2>&1 ||
      echo "$script $*: failed with $?" >>"$scratch/failed"
  } | tee -a "$results"
}
if [ -n "$small" ]; then
  run 300 gpu.py --device cpu --quick --networks squeezenet-1.1
  run 600 gpu_parts.py --device cpu --small
else
  run 120 gpu.py --networks efficientnet-lite0 --batch-sizes 64 256 --rounds 3
  run 80 gpu_parts.py --parts job
  run 170 gpu_parts.py --parts training
  run 100 gpu_parts.py --parts parity
fi
[ ! -e "$scratch/failed" ] || { cat "$scratch/failed" >&2; exit 1; }
