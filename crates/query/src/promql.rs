//! PromQL: text to a tree, a tree and a source of samples to values.

pub mod annotations;
pub mod ast;
pub mod engine;
mod eval;
pub mod format;
pub mod functions;
mod lexer;
pub mod parser;
pub mod printer;
pub mod tree;
pub mod value;
mod walk;

pub use self::lexer::duration;
