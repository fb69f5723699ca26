"""Makes the models and rows that explanation engines are compared on: once, with fixed seeds.

A: XGBoost, 500 trees of depth 6. B: XGBoost, 100 trees of depth 10. C: LightGBM, 500 trees of 63 leaves.
D: random forest of scikit-learn, 100 trees of depth 12. All learn from the same 20,000 synthetic rows of 20 features.

C and D are written in XGBoost's layout: every engine but their own library then reads the same trees. Their thresholds
lie between the training rows' values, which are 32-bit floats, and are rounded such that no row changes sides.
"""

import json
import pathlib
import sys

import numpy as np

ROWS, FEATURES = 20_000, 20


def data():
    rng = np.random.default_rng(20240917)
    rows = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    x = rows.astype(np.float64)
    y = (
        np.sin(x[:, 0] * x[:, 1]) + x[:, 2] * (x[:, 3] > 0.2) + 0.5 * x[:, 4] ** 2 + np.abs(x[:, 5] - x[:, 6])
        + 0.3 * x[:, 7:].sum(axis=1) + rng.normal(scale=0.3, size=ROWS)
    )
    return rows, y


def xgboost_model(depth, trees, path):
    import xgboost

    rows, y = data()
    model = xgboost.XGBRegressor(n_estimators=trees, max_depth=depth, learning_rate=0.1, n_jobs=1, random_state=1,
                                 tree_method="hist")
    model.fit(rows, y)
    model.get_booster().save_model(path)


class Layout:
    """Trees in XGBoost's layout: `value < threshold` goes left."""

    def __init__(self, features):
        self.features, self.trees = features, []
        # The values that rows can have, to move thresholds onto the next one.
        self.values = [np.unique(column).astype(np.float64) for column in data()[0].T]

    def threshold(self, feature, at_most):
        """`value <= at_most` as `value < threshold`, for the rows that there are."""
        values = self.values[feature]
        place = np.searchsorted(values, at_most, side="right")
        return float(values[place]) if place < len(values) else float(np.float32(3e38))

    def add(self, nodes):
        """Nodes as (feature, at_most, left, right, value, cover); leaves have no feature."""
        leaf = [node[0] is None for node in nodes]
        self.trees.append({
            "tree_param": {"num_nodes": str(len(nodes)), "size_leaf_vector": "1"},
            "left_children": [-1 if is_leaf else node[2] for node, is_leaf in zip(nodes, leaf)],
            "right_children": [-1 if is_leaf else node[3] for node, is_leaf in zip(nodes, leaf)],
            "split_indices": [0 if is_leaf else node[0] for node, is_leaf in zip(nodes, leaf)],
            "split_conditions": [
                float(np.float32(node[4])) if is_leaf else self.threshold(node[0], node[1])
                for node, is_leaf in zip(nodes, leaf)
            ],
            "default_left": [0] * len(nodes),
            "sum_hessian": [float(node[5]) for node in nodes],
            "base_weights": [0.0] * len(nodes),
            "loss_changes": [0.0] * len(nodes),
            "parents": self.parents(nodes),
            "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
            "split_type": [0] * len(nodes),
            "id": len(self.trees),
        })

    @staticmethod
    def parents(nodes):
        parents = [2147483647] * len(nodes)
        for place, node in enumerate(nodes):
            if node[0] is not None:
                parents[node[2]] = parents[node[3]] = place
        return parents

    def write(self, path):
        count = len(self.trees)
        model = {
            "learner": {
                "attributes": {}, "feature_names": [], "feature_types": [],
                "gradient_booster": {
                    "name": "gbtree",
                    "model": {
                        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
                        "iteration_indptr": list(range(count + 1)), "tree_info": [0] * count, "trees": self.trees,
                        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
                    },
                },
                "learner_model_param": {
                    "base_score": "0E0", "boost_from_average": "1", "num_class": "0",
                    "num_feature": str(self.features), "num_target": "1",
                },
                "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
            },
            "version": [3, 0, 0],
        }
        for tree in self.trees:
            tree["tree_param"]["num_deleted"] = "0"
            tree["tree_param"]["num_feature"] = str(self.features)
        path.write_text(json.dumps(model))


def lightgbm_model(path, native):
    import lightgbm

    rows, y = data()
    model = lightgbm.LGBMRegressor(n_estimators=500, num_leaves=63, learning_rate=0.1, n_jobs=1, random_state=1,
                                   verbose=-1, deterministic=True)
    model.fit(rows, y)
    model.booster_.save_model(native)
    layout = Layout(FEATURES)
    for tree in model.booster_.dump_model()["tree_info"]:
        nodes = []

        def visit(node):
            place = len(nodes)
            nodes.append(None)
            if "leaf_value" in node:
                nodes[place] = (None, 0, 0, 0, node["leaf_value"], node.get("leaf_count", 0))
            else:
                left, right = visit(node["left_child"]), visit(node["right_child"])
                nodes[place] = (node["split_feature"], node["threshold"], left, right, 0, node["internal_count"])
            return place

        visit(tree["tree_structure"])
        layout.add(nodes)
    layout.write(path)


def forest_model(path):
    from sklearn.ensemble import RandomForestRegressor

    rows, y = data()
    model = RandomForestRegressor(n_estimators=100, max_depth=12, random_state=1, n_jobs=1, max_features=0.5)
    model.fit(rows, y)
    layout = Layout(FEATURES)
    for estimator in model.estimators_:
        tree = estimator.tree_
        layout.add([
            (None if tree.children_left[node] < 0 else int(tree.feature[node]), tree.threshold[node],
             int(tree.children_left[node]), int(tree.children_right[node]), tree.value[node][0][0] / 100,
             tree.weighted_n_node_samples[node])
            for node in range(tree.node_count)
        ])
    layout.write(path)


def make(folder):
    """Makes what is not there."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "rows.npy"
    if not rows.exists():
        np.save(rows, data()[0])
    makers = {
        "A.json": lambda path: xgboost_model(6, 500, path),
        "B.json": lambda path: xgboost_model(10, 100, path),
        "C.json": lambda path: lightgbm_model(path, folder / "C.txt"),
        "D.json": forest_model,
    }
    for name, maker in makers.items():
        path = folder / name
        if not path.exists():
            partial = path.with_suffix(".partial.json")
            maker(partial)
            partial.rename(path)


if __name__ == "__main__":
    make(sys.argv[1])
