//! Three ablations of masked training that paper A leaves open: how many tokens, with how large an adapter, in which order.

use crate::claim::{Expected, OURS};
use crate::finetune::panels::{gains, of_study, words};
use crate::finetune::{Comparison, Place, Quantity, SeedMean, Study};
use crate::planned::Rate;
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::{Drawing, Panel};

/// One ablation: some ways of training beside plain training, and masked training beside each of them.
pub(super) struct Ablation {
    id: &'static str,
    title: &'static str,
    source: &'static str,
    caption: &'static str,
    /// The plan's group.
    group: &'static str,
    /// What masked training is claimed to be better than.
    rivals: &'static [Rival],
}

/// The claim's name, the claim, the arm.
type Rival = (&'static str, &'static str, &'static str);

/// What they are trained on.
const DATA: &str = "arithmetic";

pub(super) static THRESHOLD: Ablation = Ablation {
    id: "a-threshold",
    title: "How many tokens to train on: a tenth, a quarter, a half, three quarters, or a falling share",
    source: "A, open question on the threshold",
    caption: "Gain over plain maximum likelihood from training on the share of the tokens with the largest loss within the \
              batch. Adaptive: the share moves from all tokens towards a quarter by the fraction by which the mean loss of \
              the last steps lies below that of the first. Mean over seeds with Student's 95 % interval, paired, where \
              there are several; rings: a single seed. The paper uses a quarter throughout.",
    group: "shares",
    rivals: &[
        ("quarter-over-tenth", "a quarter of the tokens is better than a tenth", "loss-10"),
        ("quarter-over-half", "a quarter is better than a half", "loss-50"),
        ("quarter-over-three-quarters", "a quarter is better than three quarters", "loss-75"),
        ("fixed-over-adaptive", "a fixed quarter is better than the adaptive share", "adaptive"),
    ],
};

pub(super) static RANK: Ablation = Ablation {
    id: "a-rank",
    title: "A joint curriculum of data and capacity",
    source: "A, limitations: data curriculum and model curriculum",
    caption: "Gain over plain maximum likelihood (rank 32) from masked training with an adapter of rank 32 (masked), with \
              one of rank 4, with one that grows from rank 4 to 32, doubling after each quarter of the run, with a share of \
              tokens that grows linearly from 10 to 75 %, and with rank and share growing together. Mean over seeds with \
              Student's 95 % interval, paired, where there are several; rings: a single seed. The paper leaves the \
              joint curriculum for future work.",
    group: "curricula",
    rivals: &[
        ("large-over-small", "rank 32 is better than rank 4", "rank-4"),
        ("fixed-over-growing", "a fixed rank is better than a growing one", "growing-rank"),
        ("fixed-over-widening", "a fixed share is better than a growing one", "growing-share"),
        ("fixed-over-both", "fixed rank and share are better than both growing", "growing-both"),
    ],
};

pub(super) static CURRICULUM: Ablation = Ablation {
    id: "a-curriculum",
    title: "An automatic curriculum against explicit ones",
    source: "A, section 3 and figure 4: automatic curriculum learning",
    caption: "Gain over plain maximum likelihood from masked training, whose curriculum is automatic: the tokens with the \
              largest loss at each step; from an explicit one, which ranks tokens by the loss of the trained twin and moves \
              linearly from the third quarter from the top to the top quarter: from what the twin has learnt to what it has \
              not; and from the same reversed. Mean over seeds with Student's 95 % interval, paired, where there are \
              several; rings: a single seed. The paper compares its curriculum with no other.",
    group: "curricula",
    rivals: &[
        ("automatic-over-explicit", "the automatic curriculum is better than the explicit one", "explicit"),
        (
            "automatic-over-reversed",
            "the automatic curriculum is better than the explicit one reversed",
            "reversed",
        ),
    ],
};

impl Ablation {
    fn arms(&self) -> Vec<&'static str> {
        ["masked"].into_iter().chain(self.rivals.iter().map(|(_, _, arm)| *arm)).collect()
    }
}

impl crate::Figure for Ablation {
    fn about(&self) -> About {
        let Self { id, title, source, caption, .. } = *self;
        About { id, title, source, caption, ..of_study() }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        let study = Study::of(run, &["objectives", self.group])?;
        let mut rows = study.rows(DATA, &["mle"], Rate::Tuned, None)?;
        rows.extend(study.rows(DATA, &self.arms(), Rate::Tuned, Some("mle"))?);
        for (_, _, rival) in self.rivals {
            rows.extend(study.rows(DATA, &["masked"], Rate::Tuned, Some(rival))?);
        }
        Table::from_rows(&rows)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let rows: Vec<SeedMean> = table.rows()?;
        let mut panels: Vec<Panel> = Vec::new();
        for (set, of) in [(DATA, Quantity::Right), ("test", Quantity::Fitted), ("alpaca", Quantity::Fitted)] {
            let is =
                |row: &&SeedMean| row.set == set && row.measure == of && row.versus.as_deref() == Some("mle");
            let here: Vec<&SeedMean> = rows.iter().filter(is).collect();
            if let Some(first) = here.first() {
                panels.push(gains(&words(first), &here, |row| &row.arm, |_| DATA, &[DATA]));
            }
        }
        Ok(Drawing::new(panels).columns(2))
    }

    /// The paper leaves these questions open, so the claims are ours.
    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let rows: Vec<SeedMean> = table.rows()?;
        let mut claims = Vec::new();
        for (id, statement, versus) in self.rivals {
            let (arm, place, expected) = ("masked", Place::Home, Expected::Above(0.0));
            let comparison = Comparison { id, source: OURS, statement, arm, versus, place, expected };
            claims.extend(comparison.tested(self.id, &rows)?);
        }
        Ok(claims)
    }
}
