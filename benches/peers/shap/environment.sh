#!/bin/sh
# Makes the Python environment of the peers once, under target/, with the pinned versions.
#
# PYTHON names the interpreter; it must be 3.12 or later: older ones get stale versions of shap and XGBoost.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
target=${CARGO_TARGET_DIR:-"$here/../../../target"}/peers/shap
python=${PYTHON:-python3}
if [ ! -e "$target/venv/.made" ] || [ "$here/requirements.txt" -nt "$target/venv/.made" ]; then
    mkdir -p "$target"
    "$python" -m venv "$target/venv"
    "$target/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    touch "$target/venv/.made"
fi
echo "$target/venv/bin/python"
