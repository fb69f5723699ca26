//! Explanations as arrays, by groups of features, and over many rows.

use super::{Attribution, ExplainError, Explanation};

/// What a set of rows has in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The rows that were explained.
    pub rows: usize,
    /// The mean absolute SHAP value of each feature, and of several outputs for each of them, in the order of
    /// [`Attribution::values`]. NaN without a row.
    pub mean_absolute: Vec<f64>,
}

impl Explanation {
    /// The number of values in a row: features x outputs. None if no row was explained.
    fn width(&self) -> Option<usize> {
        self.rows().iter().flatten().next().map(|row| row.values().len())
    }

    /// The values as shap has them: the shape (rows, features) for one output or (rows, features, outputs) for several,
    /// and the numbers, the last index running fastest. A row that was not explained is NaN.
    #[must_use]
    pub fn to_array(&self, features: usize) -> (Vec<usize>, Vec<f64>) {
        let outputs = self.base_values().len();
        let mut shape = vec![self.rows().len(), features];
        if outputs != 1 {
            shape.push(outputs);
        }
        let mut numbers = Vec::with_capacity(shape.iter().product());
        for row in self.rows() {
            match row {
                Ok(row) => numbers.extend_from_slice(row.values()),
                Err(_) => numbers.resize(numbers.len() + features * outputs, f64::NAN),
            }
        }
        (shape, numbers)
    }

    /// The mean absolute values over all explained rows.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summarise(|_| true)
    }

    /// The mean absolute values of each segment: `segments` has for each row its segment's number, below `count`.
    ///
    /// # Errors
    /// [`ExplainError::Other`] when there is not one segment for each row, or one is out of range.
    pub fn summaries(&self, segments: &[usize], count: usize) -> Result<Vec<Summary>, ExplainError> {
        check("segments, one for each row", segments, self.rows().len(), count)?;
        Ok((0..count).map(|segment| self.summarise(|row| segments[row] == segment)).collect())
    }

    fn summarise(&self, is_in: impl Fn(usize) -> bool) -> Summary {
        let mut sums = vec![0.0; self.width().unwrap_or(0)];
        let mut rows = 0_u32;
        for (_, row) in self.rows().iter().enumerate().filter(|(place, _)| is_in(*place)) {
            if let Ok(row) = row {
                rows += 1;
                sums.iter_mut().zip(row.values()).for_each(|(sum, value)| *sum += value.abs());
            }
        }
        let mean_absolute = sums.into_iter().map(|sum| sum / f64::from(rows)).collect();
        Summary { rows: rows as usize, mean_absolute }
    }

    /// Adds up the values of features that belong together, as the columns of a one-hot encoding do: `groups` has for
    /// each feature its group's number, below `count`. Values, base values and outputs still add up. Interactions are
    /// added up likewise.
    ///
    /// # Errors
    /// [`ExplainError::Other`] when there is not one group for each feature, or one is out of range.
    pub fn grouped(&self, groups: &[usize], count: usize) -> Result<Self, ExplainError> {
        let outputs = self.base_values().len();
        let features = self.width().map_or(groups.len(), |width| width / outputs);
        check("groups, one for each feature", groups, features, count)?;
        let grouped = |row: &Attribution| {
            let mut values = vec![0.0; count * outputs].into_boxed_slice();
            for (place, value) in row.values().iter().enumerate() {
                values[groups[place / outputs] * outputs + place % outputs] += value;
            }
            let attribution = Attribution::of_outputs(values, row.outputs());
            let Some(interactions) = row.interactions() else { return attribution };
            let mut pairs = vec![0.0; count * count * outputs].into_boxed_slice();
            for (place, value) in interactions.iter().enumerate() {
                let (pair, output) = (place / outputs, place % outputs);
                let (a, b) = (groups[pair / features], groups[pair % features]);
                pairs[(a * count + b) * outputs + output] += value;
            }
            attribution.with_interactions(pairs)
        };
        let rows = self.rows().iter().map(|row| row.as_ref().map(grouped).map_err(Clone::clone));
        Ok(Self::of_outputs(self.base_values().to_vec(), rows.collect()))
    }
}

fn check(what: &str, numbers: &[usize], expected: usize, end: usize) -> Result<(), ExplainError> {
    if numbers.len() != expected {
        return Err(ExplainError::Other(format!("expected {expected} {what}, found {}", numbers.len())));
    }
    match numbers.iter().find(|number| **number >= end) {
        Some(number) => {
            Err(ExplainError::Other(format!("expected {what}, with numbers below {end}, found {number}")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::RowError;

    fn explanation() -> Explanation {
        let row = |values: [f64; 3]| {
            let pairs = [values[0], 0.0, 0.0, 0.0, values[1], 0.0, 0.0, 0.0, values[2]];
            Ok(Attribution::new(values.into(), 1.0 + values.iter().sum::<f64>()).with_interactions(pairs.into()))
        };
        let bad = Err(RowError::Width { expected: 3, found: 2 });
        Explanation::new(1.0, vec![row([1.0, -2.0, 4.0]), bad, row([3.0, 2.0, 0.0])])
    }

    #[test]
    fn summaries_count_explained_rows_only() {
        let all = Summary { rows: 2, mean_absolute: vec![2.0, 2.0, 2.0] };
        assert_eq!(explanation().summary(), all);
        let segments = explanation().summaries(&[0, 0, 1], 2).unwrap();
        assert_eq!(segments[0], Summary { rows: 1, mean_absolute: vec![1.0, 2.0, 4.0] });
        assert_eq!(segments[1], Summary { rows: 1, mean_absolute: vec![3.0, 2.0, 0.0] });
        for wrong in [&[0, 0][..], &[0, 0, 2]] {
            assert!(explanation().summaries(wrong, 2).is_err());
        }
    }

    #[test]
    fn groups_still_add_up() {
        let grouped = explanation().grouped(&[0, 1, 0], 2).unwrap();
        let row = grouped.rows()[0].as_ref().unwrap();
        assert_eq!((row.values(), row.output()), (&[5.0, -2.0][..], 4.0));
        assert_eq!(row.interactions().unwrap(), [5.0, 0.0, 0.0, -2.0]);
        assert!(grouped.rows()[1].is_err());
        assert!(explanation().grouped(&[0, 1], 2).is_err());
    }

    #[test]
    fn arrays_have_nan_for_rows_that_failed() {
        let (shape, numbers) = explanation().to_array(3);
        assert_eq!((shape, numbers.len()), (vec![3, 3], 9));
        assert!(numbers[3..6].iter().all(|number| number.is_nan()));
        assert_eq!(numbers[6..], [3.0, 2.0, 0.0]);
    }
}
