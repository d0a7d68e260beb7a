//! What was measured, pair by pair.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::server::Kind;

/// Values by name, one for each pair and server. A pair in which one of the two is missing has no
/// ratio.
#[derive(Debug, Default, Serialize)]
pub struct Samples {
    java: BTreeMap<String, BTreeMap<usize, f64>>,
    zabkeeper: BTreeMap<String, BTreeMap<usize, f64>>,
}

impl Samples {
    /// Adds a value.
    pub fn add(&mut self, kind: Kind, name: &str, pair: usize, value: f64) {
        let of = match kind {
            Kind::Java => &mut self.java,
            Kind::Zabkeeper => &mut self.zabkeeper,
        };
        of.entry(name.to_string()).or_default().insert(pair, value);
    }

    fn of(&self, kind: Kind, name: &str) -> Option<&BTreeMap<usize, f64>> {
        match kind {
            Kind::Java => self.java.get(name),
            Kind::Zabkeeper => self.zabkeeper.get(name),
        }
    }

    /// The median over the pairs.
    pub fn median(&self, kind: Kind, name: &str) -> Option<f64> {
        median(self.of(kind, name)?.values().copied().collect())
    }

    /// The largest of all.
    pub fn most(&self, kind: Kind, name: &str) -> Option<f64> {
        self.of(kind, name)?
            .values()
            .copied()
            .max_by(f64::total_cmp)
    }

    /// The number of values.
    pub fn count(&self, kind: Kind, name: &str) -> usize {
        self.of(kind, name).map_or(0, BTreeMap::len)
    }

    /// The median over the pairs of this project's value divided by Java's.
    pub fn ratio(&self, name: &str) -> Option<f64> {
        let java = self.of(Kind::Java, name)?;
        let ours = self.of(Kind::Zabkeeper, name)?;
        let ratios = ours
            .iter()
            .filter_map(|(pair, ours)| Some(ours / java.get(pair).filter(|java| **java > 0.0)?));
        median(ratios.collect())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn ratios_are_those_of_pairs() {
        let mut samples = Samples::default();
        for (pair, (java, ours)) in [(1.0, 3.0), (2.0, 2.0), (10.0, 50.0)]
            .into_iter()
            .enumerate()
        {
            samples.add(Kind::Java, "x", pair, java);
            samples.add(Kind::Zabkeeper, "x", pair, ours);
        }
        samples.add(Kind::Java, "x", 7, 100.0);
        assert_eq!(samples.ratio("x"), Some(3.0));
        assert_eq!(samples.median(Kind::Java, "x"), Some(6.0));
        assert_eq!(samples.ratio("y"), None);
        assert_eq!(samples.most(Kind::Zabkeeper, "x"), Some(50.0));
        assert_eq!(samples.count(Kind::Java, "x"), 4);
        assert_eq!(samples.count(Kind::Java, "y"), 0);
    }
}
