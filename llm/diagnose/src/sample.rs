//! Which documents gradients are measured on, which are held out, and which a short training takes.

use std::collections::HashSet;

use tokensieve_documents::{DataSet, Order};
use tokensieve_model::Document;

use crate::defects::{Defect, Finding};

/// Folds of each half of the sample, by which intervals are found (choice: a jackknife interval has 7 degrees of
/// freedom).
const FOLDS: usize = 8;

/// With fewer folds there are no intervals that say anything.
const LEAST_FOLDS: usize = 4;

/// Documents in folds: of the data, and held out.
pub(crate) struct Sample<'d> {
    pub(crate) train: Vec<Vec<&'d Document>>,
    pub(crate) held_out: Vec<Vec<&'d Document>>,
}

impl<'d> Sample<'d> {
    /// The documents of the data, fold after fold.
    pub(crate) fn documents(&self) -> Vec<&'d Document> {
        self.train.iter().flatten().copied().collect()
    }
}

/// Everything that is read, divided.
pub(crate) struct Division<'d> {
    pub(crate) sample: Sample<'d>,
    /// Documents of the data that are in neither half of the sample.
    pub(crate) rest: Vec<&'d Document>,
    /// Held-out documents: the sample's, and what else there is of the user's.
    pub(crate) judges: Vec<&'d Document>,
}

impl<'d> Division<'d> {
    /// Divides the documents into a sample of at most `most` in each half, and the rest; `None` where there are too
    /// few.
    ///
    /// Rows that repeat others are left out: one half would know the other.
    pub(crate) fn of(
        documents: &[&'d Document],
        held_out: Option<&'d DataSet>,
        findings: &[Finding],
        (most, seed): (usize, u64),
    ) -> Option<Self> {
        let repeats =
            |finding: &&Finding| matches!(finding.defect, Defect::Duplicate | Defect::NearDuplicate);
        let left_out: HashSet<usize> = findings.iter().filter(repeats).map(|finding| finding.row).collect();
        let own: Vec<&Document> =
            documents.iter().filter(|document| !left_out.contains(&document.row)).copied().collect();
        let mut own = spread(&own, own.len(), seed);
        let mut others = held_out.map_or_else(
            || own.split_off(own.len().div_ceil(2)),
            |set| spread(&set.documents.iter().collect::<Vec<_>>(), set.documents.len(), seed),
        );
        let size = own.len().min(others.len()).min(most);
        let folds = size.min(FOLDS);
        if folds < LEAST_FOLDS {
            return None;
        }
        let each = size / folds;
        let mut rest = own.split_off(folds * each);
        let unused = others.split_off(folds * each);
        let mut judges = others.clone();
        if held_out.is_some() { &mut judges } else { &mut rest }.extend(unused);
        let in_folds = |documents: &[&'d Document]| documents.chunks(each).map(<[_]>::to_vec).collect();
        Some(Self { sample: Sample { train: in_folds(&own), held_out: in_folds(&others) }, rest, judges })
    }
}

/// Some documents in an order that follows from the seed.
pub(crate) fn spread<'d>(documents: &[&'d Document], count: usize, seed: u64) -> Vec<&'d Document> {
    let order = Order::new(documents.len(), seed).permutation(0);
    order.into_iter().take(count).map(|index| documents[index]).collect()
}

#[cfg(test)]
mod tests {
    use tokensieve_model::Precomputed;

    use super::*;

    fn documents(rows: usize) -> Vec<Document> {
        let document = |row| Document {
            row,
            index_in_row: 0,
            tokens: vec![1, 2],
            weights: vec![0.0, 1.0],
            precomputed: Precomputed::default(),
        };
        (0..rows).map(document).collect()
    }

    #[test]
    fn no_document_is_on_two_sides_and_repeated_ones_on_none() {
        let all = documents(41);
        let all: Vec<&Document> = all.iter().collect();
        let repeated = Finding { defect: Defect::Duplicate, row: 7, what: String::new() };
        let found = Division::of(&all, None, &[repeated], (17, 3)).unwrap();
        assert_eq!(found.sample.train.iter().map(Vec::len).collect::<Vec<_>>(), [2; FOLDS]);
        let sides = [found.sample.documents(), found.rest, found.judges].concat();
        let rows: HashSet<usize> = sides.iter().map(|document| document.row).collect();
        assert_eq!((rows.len(), sides.len(), rows.contains(&7)), (40, 40, false));
        assert!(Division::of(&all[..7], None, &[], (17, 3)).is_none());
    }
}
