//! Paper A, table 1: the data sets and their sizes.

use crate::{About, Claim, Run, Table, exact, row};
use anyhow::{Context as _, Result};
use tokensieve_data::Catalogue;
use tokensieve_plot::{Anchor, Diagram, Drawing};

/// The figure.
pub(super) struct Figure;

row! {
    /// One use of one data set.
    struct Size {
        task: String = "what it measures",
        dataset: String = "name of the data set",
        split: String = "train or test",
        stated: u64 = "number of records that the paper states",
        rounded_to: u64 = "unit that the stated number is rounded to",
        records: Option<u64> = "number of records in the file used here",
        sha256: String = "hash of the file's content",
    }
}

/// A row of the paper's table.
type Stated = (&'static str, &'static str, &'static str, u64, u64, Option<(&'static str, &'static str)>);

/// Task, data set, split, size as the paper states it and what that is rounded to, our set and file if there is one.
const STATED: [Stated; 6] = [
    ("single-turn QA", "Alpaca", "train", 52_000, 1000, Some(("alpaca", "train"))),
    ("single-turn QA", "AlpacaEval 2.0", "test", 805, 1, Some(("alpaca-eval", "prompts"))),
    ("multi-turn QA", "ShareGPT", "train", 52_000, 1000, None),
    ("instruction following", "IFEval", "test", 541, 1, Some(("ifeval", "prompts"))),
    ("mathematics", "GSM8K", "train", 7_500, 100, Some(("gsm8k", "train"))),
    ("mathematics", "GSM8K", "test", 1_500, 100, Some(("gsm8k", "test"))),
];

impl crate::Figure for Figure {
    fn about(&self) -> About {
        About {
            id: "a-table-1",
            title: "Data sets and their sizes",
            source: "A, table 1",
            caption: "The data sets of paper A with the sizes that it states, and the number of records in the files \
                      used here.",
            protocol: "The table counts the records of the files named in `data.toml`. A file is used only if its \
                       SHA-256 is the recorded one, so these numbers cannot drift.",
            deviations: &[
                "No source from which the whole of ShareGPT may be fetched is known to us; figures that train on a \
                 sample of it say so.",
                "The test set of GSM8K has 1,319 records wherever it is published, not 1.5K.",
            ],
            columns: Size::columns(),
        }
    }

    fn table(&self, _: &Run) -> Result<Table> {
        let catalogue = Catalogue::load()?;
        let row =
            |(task, dataset, split, stated, rounded_to, ours): (_, _, _, u64, u64, Option<(&str, &str)>)| {
                let file = match ours {
                    None => None,
                    Some((set, key)) => {
                        let missing = || format!("data.toml: set.{set} has no file.{key}");
                        Some(catalogue.set(set)?.files.get(key).with_context(missing)?)
                    }
                };
                Ok(Size {
                    task: str::to_owned(task),
                    dataset: str::to_owned(dataset),
                    split: str::to_owned(split),
                    stated,
                    rounded_to,
                    records: file.and_then(|file| file.rows),
                    sha256: file.map_or_else(String::new, |file| file.sha256.clone()),
                })
            };
        Table::from_rows(&STATED.into_iter().map(row).collect::<Result<Vec<_>>>()?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<Size> = table.rows()?;
        let columns = [10.0, 190.0, 340.0, 470.0, 590.0];
        let anchors = [Anchor::Start, Anchor::Start, Anchor::Start, Anchor::End, Anchor::End];
        let mut diagram = Diagram::new(44.0 + 24.0 * rows.len() as f64).rule((10.0, 26.0), (590.0, 26.0));
        for ((text, x), anchor) in
            ["task", "data set", "split", "paper", "here"].iter().zip(columns).zip(anchors)
        {
            diagram = diagram.heading((x, 18.0), text, anchor);
        }
        for (row, index) in rows.iter().zip(0..) {
            let y = 46.0 + 24.0 * f64::from(index);
            let here = row.records.map_or_else(|| "–".into(), grouped);
            let stated =
                if row.rounded_to == 1 { String::new() } else { "about ".into() } + &grouped(row.stated);
            let cells = [row.task.clone(), row.dataset.clone(), row.split.clone(), stated, here];
            for ((text, x), anchor) in cells.iter().zip(columns).zip(anchors) {
                diagram = diagram.text((x, y), text, anchor);
            }
        }
        Ok(Drawing::new([]).diagram(diagram).width(610.0))
    }

    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<Size> = table.rows()?;
        Ok(rows.iter().map(Size::claim).collect())
    }
}

impl Size {
    /// That the set is as large as the paper states.
    fn claim(&self) -> Claim {
        let Self { dataset, split, stated, rounded_to, .. } = self;
        let id = format!("a-table-1/size-{}-{split}", dataset.to_lowercase().replace([' ', '.'], "-"));
        let has = if *rounded_to == 1 { "has" } else { "has about" };
        let statement = format!("The {split} set of {dataset} {has} {} records.", grouped(*stated));
        let claim = Claim::new(&id, "A, table 1", &statement).on_data(&[]);
        let Some(records) = self.records else { return claim.not_tested("the data set is not available") };
        claim.below(
            *rounded_to as f64 / 2.0 + 0.01,
            exact(records.abs_diff(*stated) as f64),
            "difference in records, against half the unit that the statement is rounded to",
        )
    }
}

/// A count with thin spaces between thousands.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join("\u{2009}")
}
