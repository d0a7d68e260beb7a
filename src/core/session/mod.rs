//! Sessions: who is tracked until when.

mod local;
mod tracker;

pub use local::Local;
pub use tracker::{Owner, Tracker, clamp};
