//! What may be written as an objective, and what is said about the rest. Run: `cargo test -p tokensieve-objective`.

#![allow(clippy::float_cmp, reason = "small whole numbers are exact")]

use tokensieve_objective::{Criterion, Objective, Plan, Selection, TokenStats};

const PLAN: Plan = Plan { steps: 10, seed: 0 };

#[test]
fn the_manuals_example_is_masked_mle_with_distillation() {
    let text = r#"
        [objective]
        selected  = "-log p"            # any expression in p
        otherwise = "distill(mle)"      # or "none"
        [objective.select]
        by = "loss"
        keep = "top 25%"
        of = "tokens"
        within = "batch"
    "#;
    let objective = Objective::from_toml(text).unwrap();
    let stats: Vec<TokenStats> = (0..8).map(|i| TokenStats::new(f64::from(i), 1.0)).collect();
    let mut training = objective.begin(PLAN);
    let pulls = training.pulls(&stats).unwrap().clone();
    let named = Objective::preset("masked-mle+distill").unwrap().begin(PLAN).pulls(&stats).unwrap().clone();
    assert_eq!(pulls, named);
    assert_eq!(pulls.kept, 2);
    assert!(pulls.selected[6] && pulls.selected[7]);
    assert_eq!((pulls.pulls[7].label, pulls.pulls[7].reference), (1.0, 0.0));
    assert_eq!((pulls.pulls[0].label, pulls.pulls[0].reference), (0.0, 1.0));
    assert_eq!(pulls.normaliser, 8.0);
}

#[test]
fn a_band_of_losses_is_kept() {
    let stats: Vec<TokenStats> = (0..256)
        .map(|i| TokenStats { document: i, ..TokenStats::new(f64::from(i * 7 % 256), 1.0) })
        .collect();
    let band = Selection::band(Criterion::loss(), 0.3, 0.4).unwrap();
    let mut training = Objective::preset("mle").unwrap().select(band).unwrap().begin(PLAN);
    let pulls = training.pulls(&stats).unwrap();
    assert_eq!(pulls.kept, 102 - 77);
    assert_eq!(pulls.normaliser, 25.0);
    for (token, selected) in stats.iter().zip(&pulls.selected) {
        assert_eq!(*selected, (77.0..102.0).contains(&token.loss));
    }
}
