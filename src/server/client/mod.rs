//! Client connections: accepting them, and the task that each has.

pub mod listener;
pub mod socket;
