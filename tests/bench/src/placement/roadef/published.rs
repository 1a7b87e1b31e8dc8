//! The best published costs of the challenge's instances, from which scores are computed.
//!
//! For each instance, the least cost that a paper or program has published (the finalists' own tables, a list of 2022,
//! a long run of a MIP solver), except costs below a proven bound, which cannot be true.

use std::path::Path;

/// Instance and cost.
const BEST: [(&str, f64); 20] = [
    ("a1_1", 44_306_501.0),
    ("a1_2", 777_531_842.0),
    ("a1_3", 583_005_717.0),
    ("a1_4", 247_433_844.0),
    ("a1_5", 727_578_309.0),
    ("a2_1", 167.0),
    ("a2_2", 720_671_548.0),
    ("a2_3", 1_190_713_414.0),
    ("a2_4", 1_680_609_218.0),
    ("a2_5", 309_714_522.0),
    ("b_1", 3_307_124_603.0),
    ("b_2", 1_015_517_386.0),
    ("b_3", 156_835_787.0),
    ("b_4", 4_677_817_475.0),
    ("b_5", 923_016_688.0),
    ("b_6", 9_525_857_752.0),
    ("b_7", 14_835_031_813.0),
    ("b_8", 1_214_440_127.0),
    ("b_9", 15_885_486_698.0),
    ("b_10", 18_048_493_393.0),
];

/// The best published cost of the instance whose model lies in this file, `model_NAME.txt`.
pub(super) fn best_cost(model: &Path) -> Option<f64> {
    let name = model.file_stem()?.to_str()?.strip_prefix("model_")?;
    BEST.iter().find(|(known, _)| *known == name).map(|(_, cost)| *cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_file() {
        assert_eq!(best_cost(Path::new("x/model_b_1.txt")), Some(3_307_124_603.0));
        assert_eq!(best_cost(Path::new("x/model_c_1.txt")), None);
        assert_eq!(best_cost(Path::new("x/b_1.txt")), None);
    }
}
