//! What operators ask: four-letter words and metrics.

pub mod four_letter;
pub mod metrics;
