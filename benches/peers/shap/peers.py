"""Runs the peers of the explanation engine: one task for each line of the standard input.

A line is an object: `task`, `model` (A to D), `peer`, `rows` (how many), `background` (how many; the last rows), and
`answers`, a path for the values as .npy. The answer is a line, too: `seconds` of processor time, and of real time for a
single row's median; or `error`. Everything runs on one thread. What can be prepared once is not in the time.
"""

import contextlib
import functools
import io
import json
import os
import pathlib
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402  (the number of threads is read when libraries are loaded)

FOLDER = pathlib.Path(sys.argv[1])
ROWS = np.load(FOLDER / "rows.npy")


@functools.cache
def booster(model):
    import xgboost

    loaded = xgboost.Booster(model_file=FOLDER / f"{model}.json")
    loaded.set_param({"nthread": 1})
    return loaded


def background(count):
    return ROWS[len(ROWS) - count:]


def xgboost_native(task, rows):
    import xgboost

    model = booster(task["model"])
    matrix = lambda of: xgboost.DMatrix(of, nthread=1)
    if task["task"] == "one":
        return lambda: model.predict(matrix(rows), pred_contribs=True)[:, :-1]
    made = matrix(rows)
    if task["task"] == "interactions":
        return lambda: model.predict(made, pred_interactions=True)[:, :-1, :-1]
    return lambda: model.predict(made, pred_contribs=True)[:, :-1]


def lightgbm_native(task, rows):
    import lightgbm

    model = lightgbm.Booster(model_file=FOLDER / "C.txt")
    return lambda: model.predict(rows, pred_contrib=True, num_threads=1)[:, :-1]


def shap(task, rows):
    import shap

    if task["task"] == "interventional":
        explainer = shap.TreeExplainer(booster(task["model"]), data=background(task["background"]))
    else:
        explainer = shap.TreeExplainer(booster(task["model"]), feature_perturbation="tree_path_dependent")
    if task["task"] == "interactions":
        return lambda: explainer.shap_interaction_values(rows)
    return lambda: explainer.shap_values(rows, check_additivity=False)


def shapiq(task, rows):
    import shapiq

    order = 2 if task["task"] == "interactions" else 1
    options = {"max_order": order, "index": "k-SII" if order == 2 else "SV", "backend": "shapiq"}
    if task["task"] == "interventional":
        data = background(task["background"]).astype(np.float64)
        options |= {"mode": "interventional", "reference_dataset": data}
    explainer = shapiq.TreeExplainer(booster(task["model"]), **options)
    rows = rows.astype(np.float64)

    def run():
        explained = [explainer.explain_function(row) for row in rows]
        if order == 2:
            return None
        features = range(rows.shape[1])
        return np.array([[row.interactions.get((feature,), 0.0) for feature in features] for row in explained])

    return run


def woodelf(task, rows):
    import pandas
    import woodelf

    data = None
    if task["task"] == "interventional":
        data = pandas.DataFrame(background(task["background"]))
    explainer = woodelf.WoodelfExplainer(booster(task["model"]), data)
    rows = pandas.DataFrame(rows)
    if task["task"] == "interactions":
        return lambda: explainer.shap_interaction_values(rows, verbose=False)
    return lambda: np.asarray(explainer.shap_values(rows, verbose=False))


PEERS = {"xgboost": xgboost_native, "lightgbm": lightgbm_native, "shap": shap, "shapiq": shapiq, "woodelf": woodelf}


def measure(task):
    rows = ROWS[: task["rows"]]
    run = PEERS[task["peer"]](task, rows)
    answers = run()
    if task.get("answers") and answers is not None:
        np.save(task["answers"], np.asarray(answers, dtype=np.float64))
    if task["task"] == "one":
        times = []
        for _ in range(task["repetitions"]):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return {"seconds": float(np.median(times))}
    start = time.process_time()
    run()
    return {"seconds": time.process_time() - start}


def main():
    for line in sys.stdin:
        task = json.loads(line)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                answer = measure(task)
        except Exception as error:  # a peer that cannot do it is a result
            answer = {"error": repr(error)[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
