//! Who is selected: band sizes, ties, documents, scopes, schedules, and what is refused.
//! Run: `cargo test -p tokensieve-objective`.

#![allow(clippy::float_cmp, reason = "small whole numbers are exact")]

use std::sync::LazyLock;

use proptest::prelude::*;
use tokensieve_objective::{
    Band, Criterion, Error, Granularity, Objective, Plan, Pulls, Schedule, Selection, TokenStats, Training,
    Within, gradient,
};

const PLAN: Plan = Plan { steps: 100, seed: 3 };

static BOTH: LazyLock<Objective> = LazyLock::new(|| Objective::preset("masked-mle+distill").unwrap());
static MLE: LazyLock<Objective> = LazyLock::new(|| Objective::preset("mle").unwrap());

fn mle(selection: Selection) -> Training {
    MLE.select(selection).unwrap().begin(PLAN)
}

fn by_loss(low: f64, high: f64) -> Selection {
    Selection::band(Criterion::loss(), low, high).unwrap()
}

fn token(loss: f64, document: u32, position: u32) -> TokenStats {
    TokenStats { document, position, ..TokenStats::new(loss, 0.5) }
}

/// Tokens of a few documents with few different losses, so that ties are the rule; some are masked.
fn batch() -> impl Strategy<Value = Vec<TokenStats>> {
    prop::collection::vec((0u8..6, 0u32..5, prop::bool::weighted(0.1)), 0..70).prop_map(|tokens| {
        let tokens = tokens.into_iter().enumerate();
        tokens
            .map(|(i, (loss, document, masked))| TokenStats {
                weight: if masked { 0.0 } else { 1.0 },
                ..token(f64::from(loss) / 2.0, document, i as u32)
            })
            .collect()
    })
}

fn band() -> impl Strategy<Value = (f64, f64)> {
    (0u32..20, 1u32..=20)
        .prop_map(|(low, width)| (f64::from(low) / 20.0, f64::from((low + width).min(20)) / 20.0))
}

/// The slow and obvious twin: sort everything by (value, document, position) and take the ranks.
fn sorted_and_cut(stats: &[TokenStats], band: Band) -> Vec<bool> {
    let mut order: Vec<usize> = (0..stats.len()).filter(|i| stats[*i].weight > 0.0).collect();
    let key = |i: usize| (stats[i].document, stats[i].position);
    order.sort_by(|a, b| stats[*a].loss.total_cmp(&stats[*b].loss).then(key(*a).cmp(&key(*b))));
    let mut selected = vec![false; stats.len()];
    for i in &order[band.ranks(order.len())] {
        selected[*i] = true;
    }
    selected
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_band_is_what_sorting_gives_however_many_ties((low, high) in band(), stats in batch()) {
        let pulls = mle(by_loss(low, high)).pulls(&stats).unwrap().clone();
        prop_assert_eq!(&pulls.selected, &sorted_and_cut(&stats, Band { low, high }));
        let n = stats.iter().filter(|token| token.weight > 0.0).count();
        let rank = |q: f64| (q * n as f64).round() as usize;
        prop_assert_eq!(pulls.kept, rank(high) - rank(low));
        prop_assert_eq!(pulls.tokens, n);
        let divided_by = if pulls.kept == 0 { n.max(1) } else { pulls.kept };
        prop_assert_eq!(pulls.normaliser, divided_by as f64);
    }

    #[test]
    fn the_order_of_the_batch_does_not_matter(
        (stats, shuffled) in batch().prop_flat_map(|stats| {
            let places: Vec<usize> = (0..stats.len()).collect();
            (Just(stats), Just(places).prop_shuffle())
        }),
        (low, high) in band(),
        documents in any::<bool>(),
        within in prop::sample::select(vec![Within::Batch, Within::Running { window: 50 }, Within::Corpus]),
        by in prop::sample::select(vec!["loss", "random", "probability", "loss * entropy", "loss > mean(loss)"]),
        loss in prop::sample::select(vec!["-log p", "-mean(p) * log p"]),
    ) {
        let of = if documents { Granularity::Document } else { Granularity::Token };
        let selection = Selection { of, within, ..Selection::band(Criterion::named(by).unwrap(), low, high).unwrap() };
        let permuted: Vec<TokenStats> = shuffled.iter().map(|i| stats[*i]).collect();
        let Ok(objective) = Objective::loss(loss).unwrap().select(selection) else {
            prop_assert!(by.contains("mean") && within == Within::Corpus);
            return Ok(());
        };
        let (mut one, mut other) = (objective.begin(PLAN), objective.begin(PLAN));
        let _ = (one.survey(&stats), other.survey(&permuted));
        for _ in 0..2 {
            let (one, other) = match (one.pulls(&stats), other.pulls(&permuted)) {
                (Ok(one), Ok(other)) => (one, other),
                // Nothing was surveyed.
                (one, other) => {
                    prop_assert!(one.is_err() && other.is_err());
                    return Ok(());
                }
            };
            prop_assert_eq!(one.normaliser, other.normaliser);
            for (place, i) in shuffled.iter().enumerate() {
                prop_assert_eq!(one.selected[*i], other.selected[place]);
                prop_assert_eq!(one.pulls[*i], other.pulls[place]);
            }
        }
    }

    #[test]
    fn documents_are_kept_whole_and_counted((low, high) in band(), stats in batch()) {
        let selection = Selection { of: Granularity::Document, ..by_loss(low, high) };
        let pulls = mle(selection).pulls(&stats).unwrap().clone();
        let mut means: Vec<(f64, u32, bool)> = Vec::new();
        for document in 0..5 {
            let own: Vec<usize> =
                (0..stats.len()).filter(|i| stats[*i].document == document && stats[*i].weight > 0.0).collect();
            let Some(first) = own.first() else { continue };
            let keep = pulls.selected[*first];
            prop_assert!(own.iter().all(|i| pulls.selected[*i] == keep), "document {document} is torn");
            means.push((own.iter().map(|i| stats[*i].loss).sum::<f64>() / own.len() as f64, document, keep));
        }
        means.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let ranks = Band { low, high }.ranks(means.len());
        for (rank, (_, document, keep)) in means.iter().enumerate() {
            prop_assert_eq!(*keep, ranks.contains(&rank), "document {}", document);
        }
    }

    #[test]
    fn bands_side_by_side_share_out_the_batch(stats in batch(), parts in 1u32..12) {
        let mut times = vec![0; stats.len()];
        for k in 0..parts {
            let edge = |k: u32| f64::from(k) / f64::from(parts);
            let mut training = mle(by_loss(edge(k), edge(k + 1)));
            let selected = &training.pulls(&stats).unwrap().selected;
            times.iter_mut().zip(selected).for_each(|(times, selected)| *times += usize::from(*selected));
        }
        for (token, times) in stats.iter().zip(times) {
            prop_assert_eq!(times, usize::from(token.weight > 0.0));
        }
    }

    #[test]
    fn micro_batches_add_up_to_the_batch(stats in batch(), cuts in prop::collection::vec(0usize..70, 0..5)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stats.len())).collect();
        cuts.extend([0, stats.len()]);
        cuts.sort_unstable();
        let lengths: Vec<usize> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let objective = &*BOTH;
        let whole = objective.begin(PLAN).pulls(&stats).unwrap().clone();
        let parts = objective.begin(PLAN).pulls_in(&stats, &lengths).unwrap().clone();
        prop_assert_eq!(&whole, &parts);
        // What a trainer accumulates micro-batch by micro-batch is the gradient of the whole.
        let step = |tokens: std::ops::Range<usize>, pulls: &Pulls| {
            let mut sum = [0.0; 2];
            for i in tokens {
                let p = stats[i].p();
                let mut out = [0.0; 2];
                gradient(&[p, 1.0 - p], 0, Some(&[0.4, 0.6]), pulls.pulls[i], &mut out);
                sum.iter_mut().zip(out).for_each(|(sum, out)| *sum += out / pulls.normaliser);
            }
            sum
        };
        let all = step(0..stats.len(), &whole);
        let accumulated = cuts.windows(2).fold([0.0; 2], |mut sum, pair| {
            sum.iter_mut().zip(step(pair[0]..pair[1], &parts)).for_each(|(sum, part)| *sum += part);
            sum
        });
        prop_assert!(all.iter().zip(accumulated).all(|(one, other)| (one - other).abs() < 1e-12));

        // Ranked in each micro-batch, each keeps its own share.
        let selection = Selection { within: Within::MicroBatch, ..by_loss(0.75, 1.0) };
        let split = mle(selection.clone()).pulls_in(&stats, &lengths).unwrap().clone();
        for pair in cuts.windows(2) {
            let part = &stats[pair[0]..pair[1]];
            prop_assert_eq!(&split.selected[pair[0]..pair[1]], &sorted_and_cut(part, Band { low: 0.75, high: 1.0 }));
        }
        prop_assert_eq!(mle(selection).pulls(&stats).unwrap().kept, mle(by_loss(0.75, 1.0)).pulls(&stats).unwrap().kept);
    }
}

#[test]
fn a_quarter_of_a_number_that_four_does_not_divide_is_rounded() {
    for n in 0..50u32 {
        let stats: Vec<TokenStats> = (0..n).map(|i| token(1.0, 0, i)).collect();
        let mut training = Objective::preset("masked-mle").unwrap().begin(PLAN);
        let expected = n as usize - (0.75 * f64::from(n)).round() as usize;
        let pulls = training.pulls(&stats).unwrap();
        assert_eq!(pulls.kept, expected);
        // All tie, so the last positions are kept.
        assert!(pulls.selected.iter().rev().take(expected).all(|selected| *selected));
    }
}

/// Shares that end a rank in ½: 10 % of 5 tokens is one rank, counted from the bottom or left over by the top.
#[test]
fn the_top_begins_where_the_bottom_ends() {
    for n in [4u32, 5, 15, 25] {
        let stats: Vec<TokenStats> = (0..n).map(|i| token(f64::from(i), 0, i)).collect();
        let selected = |keep: &str| {
            let text = format!("preset = \"masked-mle\"\nselect.keep = \"{keep}\"");
            Objective::from_toml(&text).unwrap().begin(PLAN).pulls(&stats).unwrap().selected.clone()
        };
        for percent in 1..100 {
            let top = selected(&format!("top {}%", 100 - percent));
            assert_eq!(top, selected(&format!("{percent}%..100%")), "{percent} % of {n}");
            let bottom = selected(&format!("bottom {percent}%"));
            assert!(top.iter().zip(&bottom).all(|(top, bottom)| top != bottom), "{percent} % of {n}");
        }
    }
}

#[test]
fn a_random_selection_is_new_at_each_step_and_the_same_in_each_run() {
    let stats: Vec<TokenStats> = (0..4000).map(|i| token(1.0, i / 100, i % 100)).collect();
    let objective = Objective::preset("random").unwrap();
    let run = |plan: Plan| {
        let mut training = objective.begin(plan);
        [0, 1].map(|_| training.pulls(&stats).unwrap().selected.clone())
    };
    let [first, second] = run(PLAN);
    assert_eq!(run(PLAN), [first.clone(), second.clone()]);
    let both = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    // 1000 of 4000 twice: 250 in common, with a standard deviation of 12.
    assert!((200..300).contains(&both(&first, &second)));
    assert!((200..300).contains(&both(&first, &run(Plan { seed: 4, ..PLAN })[0])));
    // Neither the early documents nor the early positions are favoured.
    let early = first.iter().take(2000).filter(|selected| **selected).count();
    assert!((420..580).contains(&early));
}

#[test]
fn statistics_that_are_no_numbers_are_named() {
    let objective = Objective::preset("masked-mle").unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        let mut stats = vec![token(1.0, 0, 0), token(2.0, 7, 3)];
        stats[1].loss = bad;
        let error = objective.begin(PLAN).pulls(&stats).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("token 1 (document 7, position 3): loss is"), "{text}");
        // What is masked is not looked at, and neither is what the objective does not read.
        stats[1].weight = 0.0;
        assert!(objective.begin(PLAN).pulls(&stats).is_ok());
        stats[1] = TokenStats { entropy: bad, bald: Some(bad), ..token(2.0, 7, 3) };
        assert!(objective.begin(PLAN).pulls(&stats).is_ok());
        stats[1] = TokenStats { weight: bad, ..token(2.0, 7, 3) };
        assert!(objective.begin(PLAN).pulls(&stats).unwrap_err().to_string().contains("weight is"));
    }
    let doubtful = TokenStats { bald: Some(f64::NAN), ..token(1.0, 4, 2) };
    let text = Objective::preset("bald").unwrap().begin(PLAN).pulls(&[doubtful]).unwrap_err().to_string();
    assert_eq!(text, "token 0 (document 4, position 2): bald is NaN, it must be finite");
    // A pull may leave the numbers where the statistics did not.
    let steep = Objective::loss("p^-8").unwrap().begin(PLAN).pulls(&[token(200.0, 1, 1)]).unwrap_err();
    assert!(steep.to_string().contains("(document 1, position 1): its pull is inf"), "{steep}");
}

#[test]
fn a_criterion_of_the_corpus_that_is_no_number_is_named() {
    let text = "select = { by = 'log(loss - 1)', keep = 'top 50%', within = 'corpus' }";
    let mut training = Objective::from_toml(text).unwrap().begin(PLAN);
    let text = training.survey(&[token(2.0, 0, 0), token(0.5, 7, 3)]).unwrap_err().to_string();
    assert_eq!(text, "token 1 (document 7, position 3): the criterion is NaN, it must be finite");
}

#[test]
fn statistics_that_are_missing_are_named_with_their_provider() {
    for (name, statistic, provider) in [
        ("rho", "reference_loss", "`against`"),
        ("token-cleaning", "base_loss", "without the adapter"),
        ("bald", "bald", "`data.uncertainty`"),
        ("eaft", "entropy_top20", "forward pass"),
        ("policy-gradient", "advantage", "in the rows"),
        ("iw-sft", "reference_loss", "`against`"),
        ("prift-mass", "mass_ref", "`against`"),
    ] {
        let mut stats = vec![token(1.0, 5, 6)];
        if name == "token-cleaning" {
            stats[0].reference_loss = Some(1.0);
        }
        let mut training = Objective::preset(name).unwrap().begin(PLAN);
        let error = training.pulls(&stats).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }));
        let text = error.to_string();
        assert!(
            text.contains(&format!("(document 5, position 6): the objective `{name}` reads {statistic}")),
            "{text}"
        );
        assert!(text.contains(provider), "{text}");
        assert_eq!(training.step(), 0);
    }
}

#[test]
fn tokens_that_differ_most_from_the_reference_are_selected() {
    let toml =
        "against = 'oracle'\nselected = '-divergence * log p'\n[select]\nby = 'divergence'\nkeep = 'top 50%'";
    let objective = Objective::from_toml(toml).unwrap();
    let mut training = objective.begin(PLAN);
    let mut stats: Vec<TokenStats> = [0.2, 0.0, 1.5, 0.7]
        .into_iter()
        .zip(0..)
        .map(|(divergence, i)| TokenStats { divergence: Some(divergence), ..token(1.0, 0, i) })
        .collect();
    let pulls = training.pulls(&stats).unwrap();
    assert_eq!(pulls.selected, [false, false, true, true]);
    assert_eq!(pulls.pulls.iter().map(|pull| pull.label).collect::<Vec<_>>(), [0.0, 0.0, 1.5, 0.7]);
    stats[1].divergence = None;
    let text = training.pulls(&stats).unwrap_err().to_string();
    assert!(text.contains("reads divergence") && text.contains("`against`"), "{text}");
}

#[test]
fn nothing_to_train_on_is_stillness_not_nan() {
    let masked = vec![TokenStats { weight: 0.0, loss: f64::NAN, ..token(0.0, 0, 0) }; 5];
    for name in tokensieve_objective::presets::names() {
        for stats in [&[][..], &masked] {
            let mut training = Objective::preset(name).unwrap().begin(PLAN);
            let _ = training.survey(&[TokenStats {
                base_loss: Some(1.0),
                reference_loss: Some(1.0),
                ..token(1.0, 0, 0)
            }]);
            let pulls = training.pulls(stats).unwrap();
            assert!(pulls.pulled == 0 && pulls.normaliser == 1.0 && pulls.tokens == 0, "{name}");
            assert!(pulls.pulls.iter().all(|pull| pull.is_zero()) && pulls.pulls.len() == stats.len());
        }
    }
    // Two of a quarter round to none of one.
    let mut training = Objective::preset("masked-mle").unwrap().begin(PLAN);
    assert_eq!(training.pulls(&[token(1.0, 0, 0)]).unwrap().pulled, 0);
}

#[test]
fn the_users_weights_scale_the_pulls_and_normalisers_count_as_named() {
    let stats: Vec<TokenStats> = (0..8)
        .map(|i| TokenStats { weight: [0.5, 2.0][i % 2], ..token(i as f64, i as u32 / 3, i as u32) })
        .collect();
    for (word, normaliser) in [("pulled", 2.0), ("all", 8.0), ("weights", 2.5), ("documents", 3.0)] {
        let text = format!("preset = \"masked-mle\"\nnormalise = \"{word}\"");
        let mut training = Objective::from_toml(&text).unwrap().begin(PLAN);
        let pulls = training.pulls(&stats).unwrap();
        assert_eq!(pulls.normaliser, normaliser, "{word}");
        assert_eq!((pulls.pulls[6].label, pulls.pulls[7].label), (0.5, 2.0));
    }
}

#[test]
fn where_nothing_pulls_the_loss_is_still_a_mean() {
    let stats: Vec<TokenStats> = (0..4).map(|i| token(1.0, i / 2, i)).collect();
    for (word, normaliser) in [("pulled", 4.0), ("all", 4.0), ("weights", 4.0), ("documents", 2.0)] {
        let text = format!("selected = '-min(p, 0.001)'\nnormalise = '{word}'");
        let mut training = Objective::from_toml(&text).unwrap().begin(PLAN);
        let pulls = training.pulls(&stats).unwrap();
        assert_eq!((pulls.pulled, pulls.normaliser), (0, normaliser), "{word}");
    }
}

/// Mean size of the labels' pull on their own logits.
fn push(objective: &Objective, stats: &[TokenStats]) -> f64 {
    let mut training = objective.begin(PLAN);
    let pulls = training.pulls(stats).unwrap();
    let pushes =
        pulls.pulls.iter().zip(stats).map(|(pull, token)| -pull.label.abs() * libm::expm1(-token.loss));
    pushes.sum::<f64>() / pulls.normaliser
}

#[test]
fn matched_gradients_push_the_labels_as_maximum_likelihood_does() {
    let stats: Vec<TokenStats> = (1..40)
        .map(|i| TokenStats { reference_loss: Some(1.0), ..token(f64::from(i) / 8.0, 0, i) })
        .collect();
    let plain = push(&MLE, &stats);
    for name in ["-p", "-p^10", "dft", "masked-mle", "focal"] {
        let objective = Objective::from_toml(&format!("preset = \"{name}\"\nmatch = \"grad-norm\"")).unwrap();
        let matched = push(&objective, &stats);
        assert!((matched / plain - 1.0).abs() < 1e-12, "{name}: {matched} against {plain}");
        let own = push(&Objective::preset(name).unwrap(), &stats);
        assert!((own / plain - 1.0).abs() > 0.05, "{name} needed no matching");
    }
    let weighted: Vec<TokenStats> =
        stats.iter().map(|token| TokenStats { weight: f64::from(token.position) / 10.0, ..*token }).collect();
    let objective = Objective::from_toml("preset = \"-p\"\nmatch = \"grad-norm\"").unwrap();
    assert!((push(&objective, &weighted) / push(&MLE, &weighted) - 1.0).abs() < 1e-12);
    let toml = "preset = \"masked-mle+distill\"\nmatch = \"grad-norm\"";
    let mut blind = stats.clone();
    blind[3].reference_loss = None;
    assert!(Objective::from_toml(toml).unwrap().begin(PLAN).pulls(&stats).is_ok());
    assert!(matches!(
        Objective::from_toml(toml).unwrap().begin(PLAN).pulls(&blind),
        Err(Error::Missing { .. })
    ));
}

/// Numbers that look uniform in [0, 1).
fn uniform(i: u64) -> f64 {
    (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn a_running_quantile_follows_the_losses() {
    let selection = Selection { within: Within::Running { window: 1000 }, ..by_loss(0.75, 1.0) };
    let mut training = mle(selection);
    let step = |training: &mut Training, step: u64, scale: f64| {
        let stats: Vec<TokenStats> =
            (0..100).map(|i| token(scale * uniform(step * 100 + i), 0, i as u32)).collect();
        training.pulls(&stats).unwrap().kept
    };
    let shares: Vec<usize> = (0..40).map(|i| step(&mut training, i, 1.0)).collect();
    assert!(shares.iter().all(|kept| (10..40).contains(kept)), "{shares:?}");
    // Twice as hard a batch stands out against what came before, until that is forgotten.
    assert!(step(&mut training, 40, 2.0) > 50);
    let later: Vec<usize> = (41..80).map(|i| step(&mut training, i, 2.0)).collect();
    assert!((10..40).contains(&later[38]), "{later:?}");
}

#[test]
fn a_running_band_keeps_its_share_of_batches_of_any_size() {
    for (window, keep) in [(20, (0.75, 1.0)), (100, (0.0, 0.25)), (600, (0.4, 0.5)), (5000, (0.75, 1.0))] {
        let selection = Selection { within: Within::Running { window }, ..by_loss(keep.0, keep.1) };
        let mut training = mle(selection);
        let kept = |step: u64| {
            let stats: Vec<TokenStats> =
                (0..528).map(|i| token(uniform(step * 528 + i), 0, i as u32)).collect();
            training.pulls(&stats).unwrap().kept
        };
        let share = (0..40).map(kept).sum::<usize>() as f64 / (40.0 * 528.0);
        assert!((share - (keep.1 - keep.0)).abs() < 0.01, "{window}: {share}");
    }
}

#[test]
fn random_documents_are_as_likely_long_as_short() {
    let selection =
        Selection { of: Granularity::Document, ..Selection::band(Criterion::Random, 0.75, 1.0).unwrap() };
    let mut training = mle(selection);
    let length = |document: u32| if document.is_multiple_of(2) { 2 } else { 50 };
    let stats: Vec<TokenStats> = (0..32)
        .flat_map(|document| (0..length(document)).map(move |position| token(1.0, document, position)))
        .collect();
    // Of 200 · 32 documents a quarter is kept, half of it short.
    let kept: usize = (0..200).map(|_| training.pulls(&stats).unwrap().kept).sum();
    let short = (200 * 8 * 50 - kept) as f64 / 48.0;
    assert!((short - 800.0).abs() < 80.0, "{short}");
}

/// Half of the tokens have one value, and only some of them lie in the band, or beyond it.
#[test]
fn thresholds_share_out_ties() {
    let batch = |step: u64| -> Vec<TokenStats> {
        let loss = |i: u64| if uniform(i) < 0.5 { 0.0 } else { 1.0 + uniform(31 * i) };
        (0..1000).map(|i| token(loss(step * 1000 + i), i as u32 / 50, i as u32 % 50)).collect()
    };
    for (low, high) in [(0.0, 0.4), (0.2, 0.3), (0.3, 1.0), (0.7, 1.0)] {
        for within in [Within::Running { window: 5000 }, Within::Corpus] {
            let mut training = mle(Selection { within, ..by_loss(low, high) });
            if within == Within::Corpus {
                (0..20).for_each(|step| training.survey(&batch(step)).unwrap());
            }
            let kept: usize = (0..20).map(|step| training.pulls(&batch(step)).unwrap().kept).sum();
            let share = kept as f64 / 20_000.0;
            assert!((share - (high - low)).abs() < 0.02, "{low}..{high} within {within:?}: {share}");
        }
    }
}

#[test]
fn a_corpus_is_surveyed_once_and_its_thresholds_stay() {
    let objective = Objective::preset("percentile").unwrap();
    let mut training = objective.begin(PLAN);
    assert!(training.pulls(&[token(1.0, 0, 0)]).unwrap_err().to_string().contains("survey"));
    let base: Vec<TokenStats> = (0..100).map(|i| token(-libm::log(f64::from(i + 1) / 100.0), 0, i)).collect();
    training.survey(&base[..50]).unwrap();
    training.survey(&base[50..]).unwrap();
    // The threshold is the 10 % percentile of the base: 0.11 is the number of rank 10 in 0.01, 0.02, … .
    let p = |p: f64| token(-libm::log(p), 1, (p * 1000.0) as u32);
    for _ in 0..3 {
        assert_eq!(
            training.pulls(&[p(0.05), p(0.10), p(0.12), p(0.9)]).unwrap().selected,
            [false, false, true, true]
        );
    }
    assert!(training.survey(&base).is_err());
    assert!(Objective::preset("mle").unwrap().begin(PLAN).survey(&base).is_err());
}

#[test]
fn schedules_move_the_band() {
    let stats: Vec<TokenStats> = (0..100).map(|i| token(f64::from(i), 0, i)).collect();
    let from = Band::ALL;
    let mut ramp = mle(Selection { schedule: Schedule::Ramp { from, over: 0.5 }, ..by_loss(0.8, 1.0) });
    let kept: Vec<usize> = (0..100).map(|_| ramp.pulls(&stats).unwrap().kept).collect();
    assert_eq!((kept[0], kept[25], kept[50], kept[99]), (100, 60, 20, 20));
    assert!(kept.windows(2).all(|pair| pair[1] <= pair[0]));

    let mut adaptive = mle(Selection { schedule: Schedule::Adaptive { from }, ..by_loss(0.8, 1.0) });
    let scaled = |scale: f64| -> Vec<TokenStats> {
        stats.iter().map(|token| TokenStats { loss: token.loss * scale, ..*token }).collect()
    };
    let mut kept = |scale: f64| (0..20).fold(0, |_, _| adaptive.pulls(&scaled(scale)).unwrap().kept);
    assert_eq!(kept(1.0), 100);
    assert_eq!(kept(0.5), 60);
    assert_eq!(kept(0.0), 20);
    assert_eq!(kept(3.0), 100);

    // A short run follows from its second step on.
    let short = Selection { schedule: Schedule::Adaptive { from }, ..by_loss(0.8, 1.0) };
    let mut adaptive = MLE.select(short).unwrap().begin(Plan { steps: 8, ..PLAN });
    let kept = [1.0, 0.5, 0.5, 2.0, 1.0].map(|scale| adaptive.pulls(&scaled(scale)).unwrap().kept);
    assert_eq!(kept, [100, 100, 60, 60, 100]);

    // Batches in which everything is masked say nothing of what has been learnt.
    let by = Selection { schedule: Schedule::Adaptive { from }, ..by_loss(0.8, 1.0) };
    let run = |masked: bool| -> Vec<usize> {
        let mut adaptive = MLE.select(by.clone()).unwrap().begin(Plan { steps: 30, ..PLAN });
        let batches = [1.0, 1.0, 0.9, 0.8, 0.7, 0.7, 0.6, 0.6];
        let kept = batches.iter().map(|scale| {
            if masked {
                let empty: Vec<TokenStats> =
                    stats.iter().map(|token| TokenStats { weight: 0.0, ..*token }).collect();
                assert_eq!(adaptive.pulls(&empty).unwrap().kept, 0);
            }
            adaptive.pulls(&scaled(*scale)).unwrap().kept
        });
        kept.collect()
    };
    assert_eq!(run(false), run(true));
    assert!(run(false).last() < run(false).first());
}

#[test]
fn a_run_continues_from_its_checkpoint() {
    let batch = |step: u64| -> Vec<TokenStats> {
        (0..300).map(|i| token(uniform(step * 300 + i) * 4.0, (i / 30) as u32, (i % 30) as u32)).collect()
    };
    let schedule = Schedule::Adaptive { from: Band::ALL };
    let selection = Selection { within: Within::Running { window: 700 }, schedule, ..by_loss(0.5, 1.0) };
    let mut whole = mle(selection.clone());
    for step in 0..20 {
        whole.pulls(&batch(step)).unwrap();
    }
    let saved = serde_json::to_string(&whole.state()).unwrap();
    let mut resumed = mle(selection);
    resumed.resume(serde_json::from_str(&saved).unwrap()).unwrap();
    for step in 20..40 {
        assert_eq!(whole.pulls(&batch(step)).unwrap(), resumed.pulls(&batch(step)).unwrap());
    }
    assert!(mle(by_loss(0.5, 1.0)).resume(whole.state()).is_err());
}
