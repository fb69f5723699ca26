#!/bin/sh
# Copies the fixtures to the corpus of each fuzz target.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
models=$here/../fixtures/models

add() { # target, files
    target=$here/corpus/$1
    shift
    mkdir -p "$target"
    for file in "$@"; do
        cp "$file" "$target/$(basename "$(dirname "$file")").${file##*.}"
    done
}

add any "$models"/*/model.*
add xgboost_json "$models"/xgboost-*/model.json
add xgboost_ubjson "$models"/xgboost-*/model.ubj
add lightgbm "$models"/lightgbm-*/model.txt
add catboost "$models"/catboost-*/model.json
add skops "$models"/sklearn-*/model.skops
add onnx "$models"/onnx-*/model.onnx
