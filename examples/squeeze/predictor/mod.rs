//! The predictor of the next bit, and what it is made of.
pub mod contexts;
pub mod evidence;
pub mod history;
pub mod maps;
pub mod matches;
pub mod mixer;
pub mod model;
pub mod numbers;
pub mod recurrent;
