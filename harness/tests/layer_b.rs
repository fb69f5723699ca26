//! The repositories of features, data quality, explanations, studies, spans and prompts: on Postgres they do what they do
//! in memory, and the schema refuses what platforms of this kind have got wrong.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

#[path = "layer_b/both.rs"]
mod both;
#[path = "layer_b/features.rs"]
mod features;
#[path = "layer_b/hpo.rs"]
mod hpo;
#[path = "layer_b/prompts.rs"]
mod prompts;
#[path = "layer_b/quality.rs"]
mod quality;
#[path = "layer_b/schema.rs"]
mod schema;
#[path = "layer_b/shap.rs"]
mod shap;
#[path = "layer_b/spans.rs"]
mod spans;
