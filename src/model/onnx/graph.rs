//! A graph as a chain of operators, from the rows to the predictions.

use std::collections::HashMap;

use prost::Message as _;

use super::tensor::Numbers;
use super::{layout, proto};
use crate::model::error::ModelError;

/// The most nodes, initializers, inputs or outputs of a graph.
const PARTS_MAX: usize = 1 << 16;

/// The most attributes, inputs or outputs of a node.
const NODE_PARTS_MAX: usize = 256;

/// The type of a row's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Single,
    Double,
}

/// An operator on the chain.
pub(super) struct Step {
    pub(super) operator: String,
    /// The place of the chain's value among the inputs.
    pub(super) position: usize,
    /// The other inputs, in order; none for what is left out.
    pub(super) constants: Vec<Option<Numbers>>,
    attributes: HashMap<String, proto::Attribute>,
}

/// A graph with one input, and the operators that lead from it to its last output.
pub(super) struct Chain {
    pub(super) element: Element,
    /// The columns of the input, where the graph says so.
    pub(super) columns: Option<usize>,
    pub(super) steps: Vec<Step>,
}

/// Decodes parts of a kind, of which there are not too many.
fn decode<T: prost::Message + Default>(parts: Vec<Vec<u8>>, what: &'static str) -> Result<Vec<T>, ModelError> {
    if parts.len() > PARTS_MAX {
        return Err(ModelError::TooLarge { what, found: parts.len() as u64, limit: PARTS_MAX as u64 });
    }
    // By value: a part's bytes go when it has been decoded.
    parts.into_iter().map(|part| T::decode(&part[..]).map_err(|error| layout(error.to_string()))).collect()
}

impl Chain {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, ModelError> {
        let model = proto::Model::decode(bytes).map_err(|error| layout(error.to_string()))?;
        if model.ir_version.is_none() {
            return Err(layout("missing ir_version"));
        }
        let graph = model.graph.ok_or_else(|| layout("missing graph"))?;
        let nodes: Vec<proto::Node> = decode(graph.nodes, "number of nodes of a graph")?;
        let mut constants = HashMap::new();
        for tensor in decode::<proto::Tensor>(graph.initializers, "number of initializers of a graph")? {
            let name = tensor.name.clone().unwrap_or_default();
            constants.insert(name, tensor);
        }
        let inputs: Vec<proto::ValueInfo> = decode(graph.inputs, "number of inputs of a graph")?;
        let mut inputs = inputs.into_iter().filter(|input| !constants.contains_key(name(input)));
        let (input, more) = (inputs.next(), inputs.next());
        let (Some(input), None) = (input, more) else {
            return Err(ModelError::Unsupported {
                what: "number of inputs",
                found: "none, or several".to_owned(),
                supported: "a graph with one input that has all features",
            });
        };
        let outputs: Vec<proto::ValueInfo> = decode(graph.outputs, "number of outputs of a graph")?;
        // Classifiers have the label first, and then the probabilities.
        let output = outputs.last().ok_or_else(|| layout("missing output"))?;

        let (element, columns) = input_kind(&input)?;
        let mut producers = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            for output in &node.outputs {
                producers.insert(output.as_str(), index);
            }
        }
        let walk = Walk { nodes: &nodes, producers, constants, input: name(&input) };
        Ok(Self { element, columns, steps: walk.steps(name(output))? })
    }
}

fn name(value: &proto::ValueInfo) -> &str {
    value.name.as_deref().unwrap_or("")
}

fn input_kind(input: &proto::ValueInfo) -> Result<(Element, Option<usize>), ModelError> {
    let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    let tensor = tensor.ok_or_else(|| layout("expected an input that is a tensor"))?;
    let element = match tensor.element {
        Some(1) => Element::Single,
        Some(11) => Element::Double,
        other => {
            return Err(ModelError::Unsupported {
                what: "type of the input",
                found: format!("number {}", other.unwrap_or(0)),
                supported: "float or double",
            });
        }
    };
    let dimensions = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dimensions);
    let columns = match dimensions {
        [] => None,
        [_, columns] => columns.value.and_then(|value| usize::try_from(value).ok()).filter(|columns| *columns > 0),
        other => {
            return Err(ModelError::Unsupported {
                what: "shape of the input",
                found: format!("{} dimensions", other.len()),
                supported: "rows and columns",
            });
        }
    };
    Ok((element, columns))
}

/// The way back from an output to the input.
struct Walk<'a> {
    nodes: &'a [proto::Node],
    /// For each value the node that it comes from.
    producers: HashMap<&'a str, usize>,
    constants: HashMap<String, proto::Tensor>,
    input: &'a str,
}

impl Walk<'_> {
    fn steps(&self, output: &str) -> Result<Vec<Step>, ModelError> {
        let mut steps = Vec::new();
        let mut value = output;
        while value != self.input {
            // No way is longer than there are nodes, unless it is a circle.
            if steps.len() > self.nodes.len() {
                return Err(ModelError::invalid("graph", "a chain from the input to the output", "a cycle"));
            }
            let node = self.node(value)?;
            let variable: Vec<usize> =
                (0..node.inputs.len()).filter(|index| !self.is_constant(node, *index)).collect();
            let position = match variable[..] {
                [only] => only,
                [_, second] if self.is_complement(node) => second,
                _ => {
                    let operator = node.operator.as_deref().unwrap_or("");
                    return Err(ModelError::Unsupported {
                        what: "graph",
                        found: format!("{operator} of {} values that depend on the input", variable.len()),
                        supported: "a chain of operators, each of one value and constants",
                    });
                }
            };
            value = &node.inputs[position];
            steps.push(self.step(node, position)?);
        }
        steps.reverse();
        Ok(steps)
    }

    fn node(&self, value: &str) -> Result<&proto::Node, ModelError> {
        let node = self.producers.get(value).and_then(|index| self.nodes.get(*index));
        let node = node.ok_or_else(|| layout(format!("expected a node that gives {value:?}, found none")))?;
        if node.inputs.len() > NODE_PARTS_MAX || node.attributes.len() > NODE_PARTS_MAX {
            let found = node.inputs.len().max(node.attributes.len()) as u64;
            let limit = NODE_PARTS_MAX as u64;
            return Err(ModelError::TooLarge { what: "number of a node's inputs or attributes", found, limit });
        }
        Ok(node)
    }

    fn is_constant(&self, node: &proto::Node, index: usize) -> bool {
        let name = &node.inputs[index];
        name.is_empty() || self.constants.contains_key(name) || self.constant_node(name).is_some()
    }

    fn constant_node(&self, name: &str) -> Option<&proto::Node> {
        let node = self.nodes.get(*self.producers.get(name)?)?;
        (node.operator.as_deref() == Some("Constant")).then_some(node)
    }

    /// Whether a node puts the probabilities of both classes beside each other: 1 - p and p.
    fn is_complement(&self, node: &proto::Node) -> bool {
        let [first, second] = &node.inputs[..] else { return false };
        let Ok(subtraction) = self.node(first) else { return false };
        node.operator.as_deref() == Some("Concat")
            && subtraction.operator.as_deref() == Some("Sub")
            && subtraction.inputs.get(1) == Some(second)
            && subtraction.inputs.len() == 2
            && self.is_constant(subtraction, 0)
            && self.constant(subtraction, 0).is_ok_and(|one| one.is_some_and(|one| one.values == [1.0]))
    }

    fn constant(&self, node: &proto::Node, index: usize) -> Result<Option<Numbers>, ModelError> {
        let name = &node.inputs[index];
        if name.is_empty() {
            return Ok(None);
        }
        if let Some(tensor) = self.constants.get(name) {
            return Numbers::of(tensor).map(Some);
        }
        let tensor = match self.constant_node(name) {
            Some(node) => attributes(node)?.remove("value").and_then(|attribute| attribute.tensor),
            None => None,
        };
        let tensor = tensor.ok_or_else(|| layout(format!("expected a constant {name:?} with a tensor")))?;
        Numbers::of(&tensor).map(Some)
    }

    fn step(&self, node: &proto::Node, position: usize) -> Result<Step, ModelError> {
        let operator = node.operator.clone().unwrap_or_default();
        // What passes a value on does not need its constants, which may be shapes and axes.
        let is_constant = |index: usize| index != position && self.is_constant(node, index);
        let constants = (0..node.inputs.len()).filter(|index| is_constant(*index));
        let constants = constants.map(|index| self.constant(node, index)).collect::<Result<_, _>>()?;
        let domain = node.domain.as_deref().unwrap_or("");
        if !matches!(domain, "" | "ai.onnx" | "ai.onnx.ml") {
            return Err(ModelError::Unsupported {
                what: "operator",
                found: format!("{operator} of {domain}"),
                supported: "operators of ONNX and ai.onnx.ml",
            });
        }
        Ok(Step { operator, position, constants, attributes: attributes(node)? })
    }
}

fn attributes(node: &proto::Node) -> Result<HashMap<String, proto::Attribute>, ModelError> {
    let attribute = |bytes: &Vec<u8>| {
        let attribute = proto::Attribute::decode(&bytes[..]).map_err(|error| layout(error.to_string()))?;
        Ok((attribute.name.clone().unwrap_or_default(), attribute))
    };
    node.attributes.iter().map(attribute).collect()
}

impl Step {
    /// A float, or what holds without it.
    pub(super) fn float(&self, name: &str, without: f32) -> f64 {
        f64::from(self.attributes.get(name).and_then(|attribute| attribute.float).unwrap_or(without))
    }

    /// An integer, or what holds without it.
    pub(super) fn integer(&self, name: &str, without: i64) -> i64 {
        self.attributes.get(name).and_then(|attribute| attribute.integer).unwrap_or(without)
    }

    /// A text, or what holds without it.
    pub(super) fn text(&self, name: &str, without: &str) -> String {
        let text = self.attributes.get(name).and_then(|attribute| attribute.text.as_deref());
        text.map_or_else(|| without.to_owned(), |text| String::from_utf8_lossy(text).into_owned())
    }

    pub(super) fn integers(&self, name: &str) -> &[i64] {
        self.attributes.get(name).map_or(&[], |attribute| &attribute.integers)
    }

    pub(super) fn texts(&self, name: &str) -> &[Vec<u8>] {
        self.attributes.get(name).map_or(&[], |attribute| &attribute.texts)
    }

    /// Floats, be they floats or, for double inputs, a tensor of another name.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f64>, ModelError> {
        let tensor = self.attributes.get(&format!("{name}_as_tensor"));
        if let Some(tensor) = tensor.and_then(|attribute| attribute.tensor.as_ref()) {
            return Ok(Numbers::of(tensor)?.values);
        }
        let floats = self.attributes.get(name).map_or(&[][..], |attribute| &attribute.floats);
        Ok(floats.iter().copied().map(f64::from).collect())
    }

    /// Whether an attribute is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }
}
