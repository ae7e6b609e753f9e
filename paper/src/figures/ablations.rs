//! Three ablations of masked training that paper A leaves open: how many tokens, with how large an adapter, in which order.

use crate::claim::OURS;
use crate::study::compare;
use crate::study::corpus::OF_CHAT;
use crate::study::models::{SMALL_MODEL, each_model};
use crate::study::{Arm, Contrast, Corpus, Gain, Study, Unit, picture};
use crate::{About, Claim, Run, Table};
use anyhow::Result;
use tokensieve_plot::Drawing;

/// One ablation: some ways of training beside plain training, and masked training beside each of them.
pub(super) struct Ablation {
    id: &'static str,
    title: &'static str,
    source: &'static str,
    caption: &'static str,
    protocol: &'static str,
    deviations: &'static [&'static str],
    /// The ways of training, masked training among them.
    arms: fn(&Study) -> Vec<Arm>,
    /// What this figure calls masked training.
    masked: &'static str,
    /// What masked training is claimed to be better than: the arm, the claim's name, the claim.
    rivals: &'static [(Arm, &'static str, &'static str)],
}

pub(super) static THRESHOLD: Ablation = Ablation {
    id: "a-threshold",
    title: "How many tokens to train on: a tenth, a quarter, a half, three quarters, or a falling share",
    source: "A, open question on the threshold",
    caption: "Gain over plain maximum likelihood from training on the share of the tokens with the largest loss. \
              Adaptive: the share falls from all tokens towards a quarter as the training loss falls; in the \
              recorded runs of eight steps it falls only a little (docs/LOG.md). 95 % intervals.",
    protocol: "As in figure 3, with tokens selected by loss within the batch. Adaptive: the share moves from 100 % \
               towards 25 % by the fraction by which the mean loss of the last steps lies below that of the first \
               steps, where first and last steps are a tenth of the run each (one step in the runs of eight steps of \
               the profiles laptop and evening). It would reach a quarter if the loss fell to zero. In the last step \
               of the recorded runs it was 46 to 100 % of the tokens.",
    deviations: &["The paper uses 25 % throughout and leaves the choice open.", SMALL_MODEL, OF_CHAT],
    arms: Study::thresholds,
    masked: "top 25 %",
    rivals: &[
        (Arm::Top10, "quarter-over-tenth", "a quarter of the tokens is better than a tenth"),
        (Arm::Top50, "quarter-over-half", "a quarter is better than a half"),
        (Arm::Top75, "quarter-over-three-quarters", "a quarter is better than three quarters"),
        (Arm::Adaptive, "fixed-over-adaptive", "a fixed quarter is better than the adaptive share"),
    ],
};

pub(super) static RANK: Ablation = Ablation {
    id: "a-rank",
    title: "A joint curriculum of data and capacity",
    source: "A, limitations: data curriculum and model curriculum",
    caption: "Gain over plain maximum likelihood (rank 32) from masked training with an adapter of rank 32, with an \
              adapter of rank 4, with one that grows from rank 4 to 32, with a share of tokens that grows from 10 to \
              75 %, and with rank and share growing together. 95 % intervals.",
    protocol: "As in figure 3, with tokens selected by loss. The rank of the adapter doubles after each quarter of \
               the run: new directions begin with no effect, and the optimizer keeps its moments of the old ones. \
               The share grows linearly over the run.",
    deviations: &[
        "The paper leaves the joint curriculum for future work; this is one point of its frontier.",
        SMALL_MODEL,
        OF_CHAT,
    ],
    arms: Study::capacities,
    masked: "rank 32",
    rivals: &[
        (Arm::Rank4, "large-over-small", "rank 32 is better than rank 4"),
        (Arm::GrowingRank, "fixed-over-growing", "a fixed rank is better than a growing one"),
        (Arm::GrowingShare, "fixed-over-widening", "a fixed share is better than a growing one"),
        (Arm::GrowingBoth, "fixed-over-both", "fixed rank and share are better than both growing"),
    ],
};

pub(super) static CURRICULUM: Ablation = Ablation {
    id: "a-curriculum",
    title: "An automatic curriculum against explicit ones",
    source: "A, section 3 and figure 4: automatic curriculum learning",
    caption: "Gain over plain maximum likelihood from masked training (automatic: the tokens with the largest loss \
              at each step), from an explicit curriculum that goes from tokens that a trained twin has learnt to \
              tokens that it has not, and from the same curriculum reversed. 95 % intervals.",
    protocol: "The explicit curriculum ranks the tokens of each batch by the loss of the twin, the model trained \
               with plain maximum likelihood on the same data, and trains on a quarter of them: at first the third \
               quarter from the top, at the end the top quarter, moving linearly over the run. What the twin has \
               learnt best is structure; what it has not learnt is content.",
    deviations: &[
        "The paper does not compare its automatic curriculum with any other.",
        "The twin's loss, not a person, distinguishes structure from content.",
        SMALL_MODEL,
        OF_CHAT,
    ],
    arms: Study::curricula,
    masked: "automatic",
    rivals: &[
        (
            Arm::Explicit,
            "automatic-over-explicit",
            "the automatic curriculum is better than the explicit one",
        ),
        (
            Arm::Reversed,
            "automatic-over-reversed",
            "the automatic curriculum is better than the explicit one reversed",
        ),
    ],
};

impl crate::Figure for Ablation {
    fn about(&self) -> About {
        let Self { id, title, source, caption, protocol, deviations, .. } = *self;
        About { id, title, source, caption, protocol, deviations, columns: Gain::columns() }
    }

    fn table(&self, run: &Run) -> Result<Table> {
        Table::from_rows(&compare::rows(run, |study| {
            let arms = (self.arms)(study);
            let plain = arms.iter().map(|arm| (*arm, Arm::Mle));
            let others = arms.iter().filter(|arm| **arm != Arm::Masked);
            plain.chain(others.map(|arm| (Arm::Masked, *arm))).collect()
        })?)
    }

    fn draw(&self, table: &Table) -> Result<Drawing> {
        let mut rows: Vec<Gain> = table.rows()?;
        rows.retain(|row| row.versus == Arm::Mle);
        let named = |row: &Gain| if row.arm == Arm::Masked { self.masked } else { row.arm.name() };
        Ok(Drawing::new(picture::means(&rows, named)).columns(2))
    }

    /// Each contrast in distribution, on every corpus, by what the model answers and by the loss on held-out text. The paper
    /// leaves these questions open, so the claims are ours.
    fn claims(&self, table: &Table) -> Result<Vec<Claim>> {
        let of_model = |rows: &[Gain]| {
            let mut claims = Vec::new();
            for corpus in [Corpus::Alpaca, Corpus::Gsm8k, Corpus::Arithmetic] {
                for (rival, id, says) in self.rivals {
                    let better = Contrast::better(*id, |_| OURS, *says, Arm::Masked, &[*rival]);
                    claims.extend(
                        [Unit::Share, Unit::Nats].map(|unit| better.tested(self.id, rows, corpus, unit)),
                    );
                }
            }
            claims
        };
        Ok(each_model(&table.rows()?, |row: &Gain| &row.model, of_model, Claim::of_model))
    }
}
