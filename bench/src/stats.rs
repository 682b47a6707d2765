//! Medians, and how sure they are.

/// The median; 0 for nothing.
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let mid = values.len() / 2;
    if values.len() % 2 == 1 {
        values[mid]
    } else {
        (values[mid - 1] + values[mid]) / 2.0
    }
}

/// The ratio of medians of two alternated series, and its lower bound: the
/// 2.5 % quantile over resampled pairs of blocks (percentile bootstrap).
pub fn ratio(ours: &[f64], floor: &[f64]) -> (f64, f64) {
    let pairs = ours.len().min(floor.len());
    let of = |pick: &mut dyn FnMut() -> usize| {
        let picked: Vec<usize> = (0..pairs).map(|_| pick()).collect();
        let mut a: Vec<f64> = picked.iter().map(|i| ours[*i]).collect();
        let mut b: Vec<f64> = picked.iter().map(|i| floor[*i]).collect();
        median(&mut a) / median(&mut b)
    };
    let mut next = 0;
    let all = of(&mut || {
        next += 1;
        next - 1
    });
    // A fixed seed: the same measurements give the same bound.
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % pairs.max(1) as u64) as usize
    };
    let mut resampled: Vec<f64> = (0..1000).map(|_| of(&mut random)).collect();
    resampled.sort_by(f64::total_cmp);
    (all, resampled[25])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_of_equal_series_is_one() {
        let series: Vec<f64> = (1..=200).map(f64::from).collect();
        let (all, low) = ratio(&series, &series);
        assert_eq!((all, low), (1.0, 1.0));
    }

    #[test]
    fn the_lower_bound_is_below_the_ratio() {
        let a: Vec<f64> = (0..200).map(|i| 10.0 + f64::from(i % 7)).collect();
        let b: Vec<f64> = (0..200).map(|i| 5.0 + f64::from(i % 5)).collect();
        let (all, low) = ratio(&a, &b);
        assert!(low <= all && low > 0.8 * all);
    }
}
