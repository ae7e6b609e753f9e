//! Which documents gradients are measured on, which are held out, and which a short training takes.

use std::collections::HashSet;

use tokensieve_documents::Order;
use tokensieve_documents::estimates::DocumentRecord;
use tokensieve_model::Document;

use crate::defects::{self, Defect, Finding};
use crate::markup::Markup;

/// Folds of each half of the sample, by which intervals are found (choice: a jackknife interval has 7 degrees of
/// freedom).
const FOLDS: usize = 8;

/// With fewer folds there are no intervals that say anything.
pub(crate) const LEAST_FOLDS: usize = 4;

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
    /// Divides documents of which none are [`repeating`] into a sample of at most `most` in each half, and the rest; `None`
    /// where there are too few.
    ///
    /// No part would know another: held-out documents are [`unseen`], and the documents of one row, whose texts begin alike,
    /// are never in two parts. The sample has one document of a row, so that its folds are independent.
    pub(crate) fn of(
        documents: &[&'d Document],
        held_out: Option<&[&'d Document]>,
        (most, seed): (usize, u64),
    ) -> Option<Self> {
        let all = spread(documents, documents.len(), seed);
        let trusted = held_out.map(|held_out| one_of_each_row(&spread(held_out, held_out.len(), seed)));
        let mut own = one_of_each_row(&all);
        let mut others = match &trusted {
            None => own.split_off(own.len().div_ceil(2)),
            Some(trusted) => trusted.clone(),
        };
        let size = own.len().min(others.len()).min(most);
        let folds = size.min(FOLDS);
        if folds < LEAST_FOLDS {
            return None;
        }
        // Folds of one size: the jackknife over them, and the noise of a fold's gradient, count all alike.
        let each = size / folds;
        own.truncate(folds * each);
        others.truncate(folds * each);
        let of_data = own.iter().chain(others.iter().filter(|_| trusted.is_none()));
        let sampled: HashSet<usize> = of_data.map(|document| document.row).collect();
        let rest = all.into_iter().filter(|document| !sampled.contains(&document.row)).collect();
        let in_folds = |documents: &[&'d Document]| documents.chunks(each).map(<[_]>::to_vec).collect();
        let sample = Sample { train: in_folds(&own), held_out: in_folds(&others) };
        Some(Self { sample, rest, judges: trusted.unwrap_or(others) })
    }
}

/// The rows that repeat an earlier one, or nearly. They say nothing more, and count nowhere.
pub(crate) fn repeating(findings: &[Finding]) -> HashSet<usize> {
    let repeats = |finding: &&Finding| matches!(finding.defect, Defect::Duplicate | Defect::NearDuplicate);
    findings.iter().filter(repeats).map(|finding| finding.row).collect()
}

/// The held-out documents, `theirs` as text, whose rows repeat none of the data's and none of their own.
pub(crate) fn unseen<'d>(
    held_out: &'d [Document],
    theirs: Vec<DocumentRecord>,
    data: &[DocumentRecord],
    markup: &Markup,
) -> Vec<&'d Document> {
    // As if they were further rows of the data.
    let first = data.iter().map(|record| record.row + 1).max().unwrap_or(0);
    let theirs = theirs.into_iter().map(|record| DocumentRecord { row: first + record.row, ..record });
    let all: Vec<DocumentRecord> = data.iter().cloned().chain(theirs).collect();
    let repeating = repeating(&defects::find(&all, markup));
    held_out.iter().filter(|document| !repeating.contains(&(first + document.row))).collect()
}

/// How many rows documents are of.
pub(crate) fn rows<'d>(documents: impl IntoIterator<Item = &'d Document>) -> usize {
    documents.into_iter().map(|document| document.row).collect::<HashSet<usize>>().len()
}

/// The first document of each row.
fn one_of_each_row<'d>(documents: &[&'d Document]) -> Vec<&'d Document> {
    let mut rows = HashSet::new();
    documents.iter().filter(|document| rows.insert(document.row)).copied().collect()
}

/// Some documents in an order that follows from the seed.
pub(crate) fn spread<'d>(documents: &[&'d Document], count: usize, seed: u64) -> Vec<&'d Document> {
    let order = Order::new(documents.len(), seed).permutation(0);
    order.into_iter().take(count).map(|index| documents[index]).collect()
}

#[cfg(test)]
mod tests {
    use tokensieve_documents::estimates::TokenRecord;
    use tokensieve_model::Precomputed;

    use super::*;

    fn documents(rows: usize, of_each: usize) -> Vec<Document> {
        let document = |index| Document {
            row: index / of_each,
            index_in_row: index % of_each,
            tokens: vec![1, 2],
            weights: vec![0.0, 1.0],
            precomputed: Precomputed::default(),
        };
        (0..rows * of_each).map(document).collect()
    }

    fn rows(documents: &[&Document]) -> HashSet<usize> {
        documents.iter().map(|document| document.row).collect()
    }

    #[test]
    fn documents_of_one_row_are_one_row() {
        assert_eq!(super::rows(&documents(5, 3)), 5);
    }

    #[test]
    fn rows_that_repeat_others_are_those_of_two_findings() {
        let found = |(row, defect)| Finding { defect, row, what: String::new() };
        let findings: Vec<Finding> = (0..).zip(Defect::ALL).map(found).collect();
        assert_eq!(repeating(&findings), HashSet::from([6, 7]));
    }

    #[test]
    fn no_document_is_on_two_sides() {
        let all = documents(40, 1);
        let all: Vec<&Document> = all.iter().collect();
        let found = Division::of(&all, None, (17, 3)).unwrap();
        assert_eq!(found.sample.train.iter().map(Vec::len).collect::<Vec<_>>(), [2; FOLDS]);
        let sides = [found.sample.documents(), found.rest, found.judges].concat();
        let on_sides = rows(&sides);
        assert_eq!((on_sides.len(), sides.len()), (40, 40));
        assert!(Division::of(&all[..7], None, (17, 3)).is_none());
    }

    fn records(answers: &[&str]) -> Vec<DocumentRecord> {
        let token =
            |text: &str, response| TokenRecord { text: text.to_owned(), response, ..TokenRecord::default() };
        let record = |(row, answer): (usize, &&str)| DocumentRecord {
            row,
            tokens: ["<s>", "Who is it?", *answer].map(|text| token(text, text == *answer)).into(),
        };
        answers.iter().enumerate().map(record).collect()
    }

    /// Whatever makes a row of the data a duplicate: case and punctuation count neither here nor there.
    #[test]
    fn held_out_documents_that_repeat_others_judge_nothing() {
        let (all, other) = (documents(41, 1), documents(9, 1));
        let all: Vec<&Document> = all.iter().collect();
        let data = records(&["A cat.", "A dog.", "Nobody."]);
        let answers =
            ["a  cat", "Mary.", "My father.", "mary", "John.", "Jane.", "Robin.", "A dog.", "No one."];
        let markup = Markup::example(&[], &[]);
        let trusted = unseen(&other, records(&answers), &data, &markup);
        let found = Division::of(&all, Some(&trusted), (17, 3)).unwrap();
        assert_eq!(rows(&found.judges), HashSet::from([1, 2, 4, 5, 6, 8]));
        let same = unseen(&other[..3], records(&["A cat.", "A dog.", "Nobody."]), &data, &markup);
        assert!(Division::of(&all, Some(&same), (17, 3)).is_none());
    }

    /// As a conversation has where the template writes earlier turns differently.
    #[test]
    fn documents_of_one_row_are_on_one_side() {
        let all = documents(41, 3);
        let all: Vec<&Document> = all.iter().collect();
        let found = Division::of(&all, None, (17, 3)).unwrap();
        let [own, held_out] = [found.sample.documents(), found.sample.held_out.concat()];
        assert_eq!([rows(&own).len(), rows(&held_out).len()], [2 * FOLDS; 2]);
        assert_eq!([own.len(), held_out.len()], [2 * FOLDS; 2]);
        assert_eq!(found.judges, held_out);
        // What is left of the data: all documents of all other rows.
        assert_eq!(found.rest.len(), (41 - 4 * FOLDS) * 3);
        let sides = [own, held_out, found.rest].concat();
        assert_eq!(rows(&sides).len(), 41);
        assert!(Division::of(&all[..21], None, (17, 3)).is_none(), "of seven rows");
    }
}
