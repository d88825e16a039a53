//! `belljar::component::bindgen!`: what it generates is used with real components.

mod codegen;
mod guests;
mod stored;
mod things;
mod values;
