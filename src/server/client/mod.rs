//! Client connections: accepting them, the task that each has, and what limits them.

pub mod bell;
pub mod line;
pub mod listener;
pub mod socket;
pub mod throttle;
