//! MLflow's model directories: which file in them is the model.
//!
//! `MLmodel` is YAML, of which only the map `flavors` is read: names, indented, each with keys that are indented further.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use super::error::ModelError;

/// The name of the description.
pub(super) const DESCRIPTION: &str = "MLmodel";

/// The largest description that is read, in bytes.
const DESCRIPTION_BYTES_MAX: u64 = 16 << 20;

const FORMAT: &str = "an MLflow model directory";

/// The flavours with the key that names the file, in the order in which they are preferred.
const FLAVOURS: [(&str, &str, &str); 5] = [
    ("xgboost", "data", "model.xgb"),
    ("lightgbm", "data", "model.lgb"),
    ("catboost", "data", "model.cb"),
    ("onnx", "data", "model.onnx"),
    ("sklearn", "pickled_model", "model.skops"),
];

/// The model's file in a directory.
pub(super) fn resolve(directory: &Path) -> Result<PathBuf, ModelError> {
    let path = directory.join(DESCRIPTION);
    let unreadable = |source| ModelError::Unreadable { path: path.clone(), source };
    let mut text = String::new();
    let file = File::open(&path).map_err(unreadable)?;
    file.take(DESCRIPTION_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(directory.join(file_of(&text)?))
}

/// The model's file, relative to the directory.
fn file_of(text: &str) -> Result<PathBuf, ModelError> {
    let flavours = flavours(text);
    let found =
        FLAVOURS.iter().find_map(|known| Some((known, flavours.iter().find(|(name, _)| *name == known.0)?)));
    let Some(((name, key, without), (_, entries))) = found else {
        let names: Vec<&str> = flavours.iter().map(|flavour| flavour.0).collect();
        return Err(ModelError::Unsupported {
            what: "flavours of an MLflow model",
            found: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
            supported: "xgboost, lightgbm, catboost, onnx or sklearn",
        });
    };
    let value = |key: &str| entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1);
    if let Some(format) = value("serialization_format").filter(|format| *name == "sklearn" && *format != "skops") {
        return Err(ModelError::Unsupported {
            what: "serialization format of an MLflow model",
            found: format!("{format}, which is executed when it is read"),
            supported: "skops; log the model with serialization_format=\"skops\"",
        });
    }
    let file = Path::new(value(key).unwrap_or(without));
    if file.components().all(|component| matches!(component, Component::Normal(_))) {
        Ok(file.to_owned())
    } else {
        Err(ModelError::Layout {
            format: FORMAT,
            message: format!("expected a file within the directory, found {}", file.display()),
        })
    }
}

/// The flavours with their keys and values.
fn flavours(text: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let mut flavours: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    let mut depth = None;
    let mut lines = text.lines().skip_while(|line| line.trim_end() != "flavors:").skip(1);
    while let Some(line) = lines.next().filter(|line| line.starts_with(' ') || line.trim().is_empty()) {
        let content = line.trim_start();
        let Some((key, value)) = content.split_once(':') else { continue };
        let indent = line.len() - content.len();
        if indent == *depth.get_or_insert(indent) {
            flavours.push((key, Vec::new()));
        } else if let Some((_, entries)) = flavours.last_mut() {
            entries.push((key, value.trim().trim_matches(['\'', '"'])));
        }
    }
    flavours
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "artifact_path: model\nflavors:\n  python_function:\n    data: model.xgb\n    env:\n      conda: c\n";

    #[test]
    fn the_flavours_file_is_found() {
        let xgboost =
            format!("{HEAD}  xgboost:\n    code: null\n    data: model.ubj\n    xgb_version: 3.4.1\nmlflow: 3\n");
        assert_eq!(file_of(&xgboost).unwrap(), Path::new("model.ubj"));
        let skops =
            format!("{HEAD}  sklearn:\n    pickled_model: 'model.skops'\n    serialization_format: skops\n");
        assert_eq!(file_of(&skops).unwrap(), Path::new("model.skops"));
    }

    #[test]
    fn what_is_executed_or_elsewhere_is_refused() {
        let pickle =
            format!("{HEAD}  sklearn:\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n");
        assert!(file_of(&pickle).unwrap_err().to_string().contains("cloudpickle"));
        for elsewhere in ["../model.xgb", "/etc/passwd"] {
            let text = format!("{HEAD}  xgboost:\n    data: {elsewhere}\n");
            assert!(file_of(&text).unwrap_err().to_string().contains("within the directory"));
        }
        assert!(file_of(HEAD).unwrap_err().to_string().contains("python_function"));
    }
}
