//! Claims of the training figures on hand-made tables, and on recorded ones.

use super::claims::{STAND_IN, units};
use super::compare::{above_floor, wins_of};
use super::corpus::OF_CHAT;
use super::*;
use crate::recorded::Recorded;
use crate::{Claim, Figure, Profile, Run, Table, Verdict, engine, figures};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use tokensieve_plot::Theme;

fn figure(id: &str) -> Result<&'static dyn Figure> {
    let found = figures::registry().iter().map(|entry| entry.figure).find(|figure| figure.about().id == id);
    found.with_context(|| format!("no figure {id}"))
}

fn svg(id: &str, table: &Table) -> Result<String> {
    Ok(figure(id)?.draw(table)?.svg("title", "description", &Theme::LIGHT))
}

fn verdict(claims: &[Claim], id: &str) -> Result<Verdict> {
    let claim = claims.iter().find(|claim| claim.id == id);
    Ok(claim.with_context(|| format!("no claim {id}"))?.verdict.clone())
}

/// A mean in distribution against plain training, on GSM8K from three seeds.
fn row(model: &str, arm: Arm, unit: Unit, [low, high]: [f64; 2]) -> Gain {
    Gain {
        model: model.into(),
        trained_on: Corpora::One(Corpus::Gsm8k),
        arm,
        versus: Arm::Mle,
        measure: Measure::Mean,
        distribution: Distribution::In,
        unit,
        seeds: 3,
        questions: 24,
        of: "gsm8k".into(),
        value: Some(0.5),
        versus_value: Some(0.5),
        gain: f64::midpoint(low, high),
        gain_low: low,
        gain_high: high,
    }
}

const UP: [f64; 2] = [0.1, 0.2];
const DOWN: [f64; 2] = [-0.2, -0.1];
const OPEN: [f64; 2] = [-0.1, 0.1];

#[test]
fn each_model_is_tested_and_drawn_by_its_own_rows() -> Result<()> {
    let rows = [
        row("first", Arm::Masked, Unit::Nats, UP),
        row("first", Arm::EntropyTokens, Unit::Nats, DOWN),
        Gain { value: Some(0.01), versus_value: Some(0.02), ..row("first", Arm::Masked, Unit::Share, UP) },
        row("second", Arm::Masked, Unit::Nats, DOWN),
        row("second", Arm::EntropyTokens, Unit::Nats, UP),
        row("second", Arm::Masked, Unit::Share, UP),
    ];
    let table = Table::from_rows(&rows)?;
    let claims = figure("a-3")?.claims(&table)?;
    for (name, verdicts) in [
        ("loss-gains-gsm8k-nats", [Verdict::Holds, Verdict::DoesNotHold]),
        ("entropy-does-not-gsm8k-nats", [Verdict::Holds, Verdict::DoesNotHold]),
    ] {
        for (model, expected) in ["first", "second"].iter().zip(verdicts) {
            assert_eq!(verdict(&claims, &format!("a-3/{name}-{model}"))?, expected, "{name} {model}");
        }
    }
    let floor = verdict(&claims, "a-3/loss-gains-gsm8k-share-first")?;
    assert!(matches!(&floor, Verdict::NotTested(why) if why.starts_with("at the floor")), "{floor:?}");
    assert_eq!(verdict(&claims, "a-3/loss-gains-gsm8k-share-second")?, Verdict::Holds);
    assert!(claims.iter().any(|claim| claim.statement.starts_with("second: gsm8k: training on")));
    let drawn = svg("a-3", &table)?;
    assert!(drawn.contains("first, gsm8k: loss") && drawn.contains("second, gsm8k: loss"), "{drawn}");
    // Of one model the name is left out.
    let alone = Table::from_rows(&rows[..3])?;
    let claims = figure("a-3")?.claims(&alone)?;
    assert_eq!(verdict(&claims, "a-3/loss-gains-gsm8k-nats")?, Verdict::Holds);
    assert!(claims.iter().all(|claim| !claim.statement.contains("first: ")));
    assert!(!svg("a-3", &alone)?.contains("first, "));
    Ok(())
}

#[test]
fn a_recorded_table_of_two_models_says_of_each_what_it_says_of_one() -> Result<()> {
    let recorded = Recorded::load()?;
    for id in [
        "a-2b",
        "a-3",
        "a-4",
        "a-5",
        "a-6a",
        "a-6b",
        "a-compute",
        "a-epistemic",
        "a-threshold",
        "a-rank",
        "a-curriculum",
    ] {
        let (one, _) = recorded.table(id)?.with_context(|| format!("{id} is not recorded"))?;
        let csv = one.to_csv()?;
        let (_, rows) = csv.split_once('\n').context("a header")?;
        let two = Table::from_csv(&format!("{csv}{}", rows.replace("smollm2-135m", "other")))?;
        assert!(svg(id, &two)?.contains(">other, "), "{id}");
        let [one, two] = [figure(id)?.claims(&one)?, figure(id)?.claims(&two)?];
        // These name the model and the data set, a model of which nothing is measured, or all models together.
        let named = |claim: &&Claim| {
            claim.id.contains("smollm2")
                || ["when-large", "architectures"].iter().any(|end| claim.id.ends_with(end))
        };
        for claim in one.iter().filter(|claim| !named(claim)) {
            for model in ["smollm2-135m", "other"] {
                assert_eq!(verdict(&two, &format!("{}-{model}", claim.id))?, claim.verdict, "{}", claim.id);
            }
        }
    }
    Ok(())
}

#[test]
fn the_loss_alone_gains_where_no_other_criterion_does() -> Result<()> {
    let decided = |loss: [f64; 2], others: &[(Arm, [f64; 2], u64)]| {
        let of = |arm: Arm, ends: [f64; 2], seeds: u64| Gain { seeds, ..row("m", arm, Unit::Nats, ends) };
        let others = others.iter().map(|(arm, ends, seeds)| of(*arm, *ends, *seeds));
        let rows: Vec<Gain> = std::iter::once(of(Arm::Masked, loss, 3)).chain(others).collect();
        let claims = figure("a-3")?.claims(&Table::from_rows(&rows)?)?;
        verdict(&claims, "a-3/only-loss-gains-gsm8k-nats")
    };
    let [entropy, rho, random] = [Arm::EntropyTokens, Arm::RhoTokens, Arm::RandomTokens];
    let others = [(entropy, DOWN, 3), (rho, OPEN, 3), (random, OPEN, 3)];
    assert_eq!(decided(UP, &others)?, Verdict::Holds);
    assert_eq!(decided(OPEN, &others)?, Verdict::Undecided);
    assert_eq!(decided(DOWN, &others)?, Verdict::DoesNotHold);
    assert_eq!(decided(UP, &[(entropy, UP, 3), (rho, OPEN, 3), (random, DOWN, 3)])?, Verdict::DoesNotHold);
    for others in
        [vec![(entropy, UP, 3), (rho, UP, 3)], vec![(entropy, UP, 3), (rho, UP, 1), (random, UP, 3)]]
    {
        assert!(matches!(decided(UP, &others)?, Verdict::NotTested(_)), "{others:?}");
    }
    Ok(())
}

#[test]
fn a_trade_of_home_for_abroad_is_a_difference_of_gains() -> Result<()> {
    let of = |arm: Arm, versus: Arm, distribution: Distribution, ends: [f64; 2]| Gain {
        trained_on: Corpora::One(Corpus::Alpaca),
        versus,
        distribution,
        value: None,
        versus_value: None,
        ..row("m", arm, Unit::Nats, ends)
    };
    let both = Arm::MaskedDistill;
    let rows = [
        // It loses abroad, and as much at home: no trade.
        of(Arm::Masked, Arm::Mle, Distribution::Out, DOWN),
        of(Arm::Masked, Arm::Mle, Distribution::OutMinusIn, OPEN),
        of(both, Arm::Masked, Distribution::Out, UP),
        of(both, Arm::Masked, Distribution::OutMinusIn, UP),
    ];
    let claims = figure("a-5")?.claims(&Table::from_rows(&rows)?)?;
    for (name, expected) in [
        ("masked-out", Verdict::Holds),
        ("masked-out-beyond-in", Verdict::Undecided),
        ("distillation-helps-out", Verdict::Holds),
        ("distillation-helps-out-beyond-in", Verdict::Holds),
    ] {
        assert_eq!(verdict(&claims, &format!("a-5/{name}-alpaca-nats"))?, expected, "{name}");
    }
    Ok(())
}

/// The difference is paired: of what is shared by both gains nothing is left in its interval.
#[test]
fn recorded_differences_of_gains_are_those_of_the_means_and_paired() -> Result<()> {
    let (table, _) = Recorded::load()?.table("a-5")?.context("recorded")?;
    let rows: Vec<Gain> = table.rows()?;
    let key = |row: &Gain| (row.model.clone(), row.trained_on, row.arm, row.versus, row.measure, row.unit);
    let of = |row: &Gain, distribution: Distribution| {
        let same = |known: &&Gain| key(known) == key(row) && known.distribution == distribution;
        rows.iter().find(same).cloned().with_context(|| format!("no mean {distribution}"))
    };
    let differences: Vec<&Gain> =
        rows.iter().filter(|row| row.distribution == Distribution::OutMinusIn).collect();
    assert!(!differences.is_empty());
    for row in differences {
        let [home, abroad] = [of(row, Distribution::In)?, of(row, Distribution::Out)?];
        assert!((row.gain - (abroad.gain - home.gain)).abs() < 1e-12, "{row:?}");
        let width = |row: &Gain| row.gain_high - row.gain_low;
        assert!(width(row) < width(&home) + width(&abroad), "{row:?}");
    }
    Ok(())
}

#[test]
fn a_mean_leaves_out_what_no_model_answers() {
    let kept = |all: &[(&'static str, [f64; 2])]| -> Vec<&'static str> {
        let kept = above_floor(all.to_vec(), |(_, values)| values.map(Some));
        kept.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(kept(&[("a", [0.5, 0.4]), ("b", [0.0, 0.01])]), ["a"]);
    // One of the two answers: a gain, or a loss.
    assert_eq!(kept(&[("a", [0.5, 0.4]), ("b", [0.0, 0.1])]), ["a", "b"]);
    // Where nothing is left all stay, for the claim to say that they are at the floor.
    assert_eq!(kept(&[("a", [0.0, 0.0]), ("b", [0.01, 0.0])]), ["a", "b"]);
}

#[test]
fn every_rival_can_refute_that_an_objective_wins_most() -> Result<()> {
    let won = |model: &str, versus: Arm, ends: [f64; 2]| Gain {
        trained_on: Corpora::All,
        versus,
        measure: Measure::Won,
        distribution: Distribution::All,
        ..row(model, Arm::MaskedDistill, Unit::Tasks, ends)
    };
    let rows = [
        won("first", Arm::Mle, [0.6, 0.9]),
        won("first", Arm::Masked, UP),
        won("second", Arm::Mle, [0.1, 0.3]),
        won("second", Arm::Masked, [-0.5, 0.2]),
        won("second", Arm::Distill, [-0.3, -0.1]),
    ];
    let claims = figure("a-6b")?.claims(&Table::from_rows(&rows)?)?;
    for name in ["both-wins-most", "both-highest"] {
        assert_eq!(verdict(&claims, &format!("a-6b/{name}-first"))?, Verdict::Holds, "{name}");
        assert_eq!(verdict(&claims, &format!("a-6b/{name}-second"))?, Verdict::DoesNotHold, "{name}");
    }
    Ok(())
}

#[test]
fn a_judge_is_counted_among_the_measures_and_subtitles_say_where_there_is_none() -> Result<()> {
    let run = Run::new(Profile::Smoke, "a-6b", "", None).with_synthetic_data();
    let without = Study::new(run.profile, run.lab());
    let with = Study { judge: Some("local:judge"), ..without.clone() };
    let of = |study: &Study| wins_of(&run, study, vec![Arm::MaskedDistill]);
    let [without, with] = [of(&without)?, of(&with)?];
    for (plain, judged) in without.iter().zip(&with) {
        assert_eq!(judged.of, format!("{} + alpaca-eval", plain.of));
        // Twelve questions of each of three outcomes, and the judge's twelve.
        assert_eq!((plain.questions, judged.questions), (36, 48));
        let count = 4.0 * judged.gain - 3.0 * plain.gain;
        assert!([0.0, 0.5, 1.0].iter().any(|won| (count - won).abs() < 1e-9), "{count}");
    }
    let [without, with] = [Table::from_rows(&without)?, Table::from_rows(&with)?];
    for id in ["a-3", "a-5", "a-6a", "a-6b"] {
        assert_eq!(figure(id)?.subtitle(&with)?, None);
        assert_eq!(figure(id)?.subtitle(&without)?, Some(STAND_IN));
    }
    Ok(())
}

#[test]
fn shares_stay_between_nothing_and_all() -> Result<()> {
    let wide = row("m", Arm::Distill, Unit::Tasks, [-0.2, 1.2]).possible();
    assert_eq!((wide.gain_low, wide.gain_high), (0.0, 1.0));
    let difference = Gain { versus: Arm::Masked, ..row("m", Arm::Distill, Unit::Tasks, [-0.2, 1.2]) };
    assert_eq!(difference.clone().possible(), difference);
    let (recorded, _) = Recorded::load()?.table("a-6b")?.context("recorded")?;
    let within = |row: &Gain| row.versus != Arm::Mle || row.gain_low >= 0.0 && row.gain_high <= 1.0;
    assert!(Gain::won(&recorded)?.iter().all(within));
    Ok(())
}

#[test]
fn gains_of_the_papers_objectives_are_crosses() -> Result<()> {
    let rows = [(Arm::Masked, UP), (Arm::Distill, OPEN), (Arm::EntropyTokens, OPEN)].map(|(arm, ends)| {
        let home = row("m", arm, Unit::Nats, ends);
        [Gain { distribution: Distribution::Out, ..home.clone() }, home]
    });
    let drawn = svg("a-6a", &Table::from_rows(&rows.concat())?)?;
    assert_eq!(drawn.matches(r#"stroke-width="0.8""#).count(), 4, "{drawn}");
    Ok(())
}

#[test]
fn shares_are_asked_of_what_a_task_measures() {
    for corpus in Corpus::ALL.iter().copied() {
        let measured = Outcome::ALL.iter().any(|one| one.of() == Some(corpus) && one.unit() == Unit::Share);
        assert_eq!(units(corpus).contains(&Unit::Share), measured, "{}", corpus.name());
    }
}

/// The figures that read training runs, on made-up results: whole tables, the same twice, and every verdict that an interval
/// can give; each says what stands in `ShareGPT`'s place.
#[test]
fn training_figures_are_made_from_made_up_results_and_reach_every_verdict() -> Result<()> {
    let ids = ["a-3", "a-4", "a-5", "a-6a", "a-6b", "a-epistemic", "a-threshold", "a-rank", "a-curriculum"];
    assert!(OF_CHAT.contains(&Corpus::Chat.rows()?.to_string()));
    let mut reached = BTreeSet::new();
    for entry in figures::registry().iter().filter(|entry| ids.contains(&entry.figure.about().id)) {
        let made = engine::make_synthetic(entry)?;
        let id = made.about.id;
        let columns: Vec<&str> = made.about.columns.iter().map(|column| column.name).collect();
        assert_eq!(made.table.header(), columns, "{id}");
        assert!(!made.table.is_empty() && !made.claims.is_empty(), "{id}");
        assert_eq!(engine::make_synthetic(entry)?.table, made.table, "{id}");
        reached.extend(made.claims.iter().map(|claim| claim.verdict.name()));
        assert!(made.svg(&Theme::LIGHT).contains("</svg>"), "{id}");
        assert!(made.about.deviations.contains(&OF_CHAT), "{id}");
    }
    let of_intervals = Verdict::NAMES.into_iter().filter(|name| *name != Verdict::PracticallyEqual.name());
    assert_eq!(reached, of_intervals.collect());
    Ok(())
}
