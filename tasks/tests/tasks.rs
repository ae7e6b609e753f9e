//! Every task on its real data.

mod data;

use std::collections::HashSet;

use data::at_hand;
use tokensieve_tasks::{Answer, Ask, Measure, Options, make, measures, names, open};

/// What a model that knows nothing says.
fn nonsense(ask: &Ask) -> Answer {
    match ask {
        Ask::Reply { .. } => Answer::Reply { text: "— {\\boxed{$#### ,".into(), tokens: 5, ended: false },
        Ask::Likelihood { replies } => {
            Answer::Likelihood { probabilities: vec![vec![0.5, 0.0]; replies.len()] }
        }
    }
}

#[test]
fn every_task_asks_and_marks() {
    for name in names() {
        let Some(task) = at_hand(open(name, &Options { limit: Some(150), seed: 0 })) else { continue };
        assert_eq!(task.name(), name);
        let named = |of: &[Measure]| of.iter().map(|measure| measure.name).collect::<Vec<_>>();
        assert_eq!(named(task.measures()), named(measures(name).unwrap()));
        let ids: HashSet<&str> = task.questions().iter().map(|question| question.id.as_str()).collect();
        assert!(!ids.is_empty() && ids.len() == task.questions().len(), "{name}: {} ids", ids.len());
        let mut sums: Vec<Vec<f64>> = Vec::new();
        for (index, question) in task.questions().iter().enumerate() {
            assert_eq!(question.messages.last().unwrap().role, "user", "{name}");
            assert!(!question.messages.last().unwrap().content.trim().is_empty(), "{name}");
            let tally = task.tally(index, &nonsense(&question.ask)).unwrap();
            assert_eq!(tally.len(), task.measures().len(), "{name}");
            sums.resize(tally.len(), Vec::new());
            for (sum, numbers) in sums.iter_mut().zip(tally) {
                sum.resize(numbers.len(), 0.0);
                sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
            }
        }
        for (measure, sums) in task.measures().iter().zip(&sums) {
            assert!((measure.of)(sums).is_finite(), "{name}: {}", measure.name);
        }
    }
}

#[test]
fn the_right_answers_are_marked_right() {
    for (name, split, task) in [
        ("arithmetic", "test", "arithmetic"),
        ("instructions", "test", "instructions"),
        ("figfont", "test", "figfont"),
        ("figfont", "unseen", "figfont-unseen"),
    ] {
        let task = open(task, &Options::default()).unwrap();
        for (index, row) in make(name, split, 0..50, 0).unwrap().enumerate() {
            let turn = |n: usize| row["messages"][n]["content"].as_str().unwrap().to_owned();
            assert_eq!(task.questions()[index].messages.last().unwrap().content, turn(0));
            let tally = task.tally(index, &Answer::Reply { text: turn(1), tokens: 9, ended: true }).unwrap();
            assert_eq!(tally[0], [1.0, 1.0], "{row}");
        }
    }
}

#[test]
fn training_never_sees_what_is_asked() {
    for (name, tasks) in [
        ("arithmetic", &["arithmetic"][..]),
        ("instructions", &["instructions"]),
        ("figfont", &["figfont", "figfont-unseen"]),
        ("alpaca", &["alpaca-overlap"]),
    ] {
        let rows = match name {
            "alpaca" => 60_000,
            "instructions" => 500,
            _ => 5000,
        };
        let Some(made) = at_hand(make(name, "train", 0..rows, 1)) else { continue };
        let trained: HashSet<String> =
            made.map(|row| row["messages"][0]["content"].as_str().unwrap().to_owned()).collect();
        for task in tasks {
            let task = open(task, &Options::default()).unwrap();
            assert!(task.questions().iter().all(|question| !trained.contains(&question.messages[0].content)));
        }
    }
}
