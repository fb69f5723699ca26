//! The messages of ONNX, as far as they are needed; field numbers as in `onnx.proto`. What is repeated and large in number is
//! kept as bytes until it has been counted: empty messages take two bytes in a file, and a hundred in memory.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(int64, optional, tag = "1")]
    pub(super) ir_version: Option<i64>,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    /// [`Node`]s.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) nodes: Vec<Vec<u8>>,
    /// [`Tensor`]s.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub(super) initializers: Vec<Vec<u8>>,
    /// [`ValueInfo`]s.
    #[prost(bytes = "vec", repeated, tag = "11")]
    pub(super) inputs: Vec<Vec<u8>>,
    /// [`ValueInfo`]s.
    #[prost(bytes = "vec", repeated, tag = "12")]
    pub(super) outputs: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) outputs: Vec<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) operator: Option<String>,
    /// [`Attribute`]s.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub(super) attributes: Vec<Vec<u8>>,
    #[prost(string, optional, tag = "7")]
    pub(super) domain: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(super) float: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(super) integer: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) text: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub(super) tensor: Option<Tensor>,
    #[prost(float, repeated, tag = "7")]
    pub(super) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) integers: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(super) texts: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dimensions: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(super) data_type: Option<i32>,
    #[prost(float, repeated, tag = "4")]
    pub(super) floats: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(super) small_integers: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) integers: Vec<i64>,
    #[prost(string, optional, tag = "8")]
    pub(super) name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) raw: Option<Vec<u8>>,
    #[prost(double, repeated, tag = "10")]
    pub(super) doubles: Vec<f64>,
    /// 1 = the data are in another file.
    #[prost(int32, optional, tag = "14")]
    pub(super) location: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Kind {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor: Option<TensorKind>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorKind {
    #[prost(int32, optional, tag = "1")]
    pub(super) element: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(super) dimensions: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(super) value: Option<i64>,
}
