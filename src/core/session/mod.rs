//! Sessions: who is tracked until when.

mod tracker;

pub use tracker::{Owner, Tracker, clamp};
