//! Which definitions of an objective are accepted, and the errors for the others. Run: `cargo test -p tokensieve-objective`.

#![allow(clippy::float_cmp, reason = "small whole numbers are exact")]

use tokensieve_objective::{
    Criterion, Error, Expression, KEYS, Objective, Plan, Pull, Pulls, Selection, TokenStats, Variable,
    Within, presets,
};

const PLAN: Plan = Plan { steps: 10, seed: 0 };

/// The message about a table that is refused.
fn refusal(text: &str) -> String {
    match Objective::from_toml(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

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

#[test]
fn the_keys_are_these() {
    let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    let expected = "preset name about source selected weight otherwise reference against temperature direction top_k normalise match \
                    parameters select.by select.keep select.of select.within select.window select.schedule \
                    select.from select.over";
    assert_eq!(names.join(" "), expected);
    assert!(KEYS.iter().all(|key| !key.about.is_empty() && !key.default.is_empty()));
}

#[test]
fn every_preset_is_named_as_its_file_says_and_documented() {
    // Name and the pull of selected tokens: what the papers' tables say.
    let pulls = [
        ("mle", "a = 1"),
        ("masked-mle", "a = 1"),
        ("distill", "a = 0, b = 1 on mle"),
        ("masked-mle+distill", "a = 1"),
        ("-p", "a = p"),
        ("-p^10", "a = 10 * p^10"),
        ("f-alpha", "a = p^0.5"),
        ("log(1-p)", "a = p / (1 - p + 0.001)"),
        ("threshold-above", "a = p >= 0.2"),
        ("threshold-below", "a = p <= 0.2"),
        ("percentile", "a = 1"),
        ("dft", "a = sg(p)"),
        ("eaft", "a = entropy_top20 / 2.995732273553991"),
        ("asft", "a = sg(p), b = 0.1 on base"),
        ("rho", "a = 1"),
        ("token-cleaning", "a = 1"),
        ("focal", "a = (1 - p)^2 - 2 * (1 - p) * p * log(p)"),
        ("label-smoothing", "a = 0.9, b = 0.1 on uniform"),
        ("iw-sft", "a = clamp(sg(p) / p_ref, 0.2, 1.8)"),
        ("psft", "a = if(p / p_ref <= 1.28, p / p_ref, 0)"),
        ("deft", "a = p^concentration"),
        ("cayley", "a = p^(0.5 * mean(p) + (1 - 0.5 * mean(p)) * sg(p) / (2 - sg(p)))"),
        ("profit", "a = p >= 0.1"),
        ("prift-prob", "a = p_base"),
        ("prift-mass", "a = mass_ref >= 0.5"),
        (
            "minor-sft",
            "a = exp(0.1 * (loss - reference_loss)) * 0.1 / (1 + exp(0.1 * (loss - reference_loss)))",
        ),
        ("ss-token", "a = 1"),
        ("tail-sft", "a = 1"),
        ("gem", "a = 1, b = -1 on self at temperature 0.7"),
        ("truncated-kd", "a = 0, b = 1 on reference's top 32"),
        ("reverse-kl", "a = 0, b = 1 on reference, reverse"),
        ("policy-gradient", "a = advantage"),
        ("oracle", "a = 0, b = 1 on oracle"),
        ("bald", "a = 1"),
        ("random", "a = 1"),
    ];
    assert_eq!(presets::names().collect::<Vec<_>>(), pulls.map(|(name, _)| name));
    for (name, pull) in pulls {
        let objective = Objective::preset(name).unwrap();
        assert_eq!(objective.name(), name);
        let description = objective.describe();
        assert_eq!(description.selected_pull, pull, "{name}");
        assert!(description.about.ends_with('.') && !description.source.is_empty(), "{name}");
        assert!(description.to_string().contains(&description.selection));
        // A table that only names the preset is the preset, and so is its file.
        assert_eq!(Objective::from_toml(&format!("preset = {name:?}")).unwrap().describe(), description);
        assert_eq!(Objective::from_toml(presets::text(name).unwrap()).unwrap(), objective);
    }
}

#[test]
fn a_description_says_what_it_does_and_needs() {
    let asft = Objective::preset("asft").unwrap().describe();
    assert_eq!(asft.selected, "-sg(p) * log(p) + 0.1 * distill(base)");
    assert_eq!((asft.selection.as_str(), asft.otherwise), ("every token", None));
    let rho = Objective::preset("rho").unwrap().describe();
    assert_eq!(rho.selection, "top 60% of tokens by excess-loss, within the batch");
    assert_eq!(rho.otherwise.as_deref(), Some("none"));
    assert_eq!(rho.needs, [("reference_loss", "a forward pass of the model named by `against`")]);
    let divergent = "against = 'reference'\nselect.by = 'divergence'\nselect.keep = 'top 25%'";
    let divergent = Objective::from_toml(divergent).unwrap().describe();
    assert_eq!(divergent.selection, "top 25% of tokens by divergence, within the batch");
    assert_eq!(divergent.needs, [("divergence", "a forward pass of the model named by `against`")]);
    let ramp =
        "preset = 'masked-mle'\nselect.schedule = 'ramp'\nselect.over = '50%'\nselect.of = 'documents'";
    assert_eq!(
        Objective::from_toml(ramp).unwrap().describe().selection,
        "top 25% of documents by loss, within the batch, on a ramp from all over 50% of the run"
    );
    let band = Selection::band(Criterion::named("p_ref * entropy").unwrap(), 0.1, 0.2).unwrap();
    assert_eq!(band.to_string(), "10%..20% of tokens by p_ref * entropy, within the batch");
}

#[test]
fn a_table_starts_from_a_preset_and_overrides_it() {
    let text = "preset = 'masked-mle'\nname = 'mine'\nselected = '-p'\nselect.keep = '10%..20%'";
    let objective = Objective::from_toml(text).unwrap();
    assert_eq!(objective.name(), "mine");
    assert_eq!(objective.describe().selection, "10%..20% of tokens by loss, within the batch");
    assert_eq!(objective.describe().selected_pull, "a = p");
    // Saying the weight takes back the loss, and the other way round.
    let weight = Objective::from_toml("preset = 'mle'\nweight = 'entropy / log(vocabulary)'").unwrap();
    assert_eq!(weight.describe().selected, "-(entropy / log(vocabulary)) * log p");
    let loss = Objective::from_toml("preset = 'policy-gradient'\nselected = '-p'").unwrap();
    assert_eq!(loss.describe().selected_pull, "a = p");
    let steep = Objective::preset("f-alpha").unwrap().with("alpha", 3.0).unwrap();
    assert_eq!(steep.describe().selected_pull, "a = p^3");
    // The selection of an objective survives a change of parameter.
    let band = Selection::band(Criterion::Random, 0.0, 0.5).unwrap();
    let both =
        Objective::preset("f-alpha").unwrap().select(band.clone()).unwrap().with("alpha", 0.0).unwrap();
    assert_eq!(both.selection(), Some(&band));
}

#[test]
fn unknown_names_are_rejected_with_the_nearest_known_one() {
    for (text, part) in [
        ("selectd = '-p'", "unknown key `selectd`; did you mean `selected`?"),
        ("[select]\nkep = 'all'", "unknown key `select.kep`; did you mean `keep`?"),
        ("preset = 'masked-mel'", "no preset is called `masked-mel`; did you mean `masked-mle`?"),
        ("selected = 'distill(mel)'", "`mel` is not a reference; did you mean `mle`?"),
        ("selected = '-log q'", "column 6 of `-log q`: unknown name `q`"),
        (
            "[select]\nwithin = 'bach'",
            "`select.within`: `bach` is not one of its values; did you mean `batch`?",
        ),
        ("[select]\nby = 'los'", "did you mean `loss`?"),
        ("normalise = 'pull'", "did you mean `pulled`?"),
        (
            "preset = 'f-alpha'\nparameters.alfa = 1",
            "`parameters.alfa`: no expression reads it; did you mean `alpha`?",
        ),
        ("a = 1 b = 2", "one key per line"),
    ] {
        let message = refusal(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn invalid_definitions_are_rejected_with_the_reason() {
    for (text, part) in [
        ("selected = '-log p'\nweight = 'p'", "stands instead of `selected`"),
        ("otherwise = 'distill(mle)'", "without a table `select` every token is selected"),
        ("selected = 'none'", "`selected`: nothing would be trained"),
        ("weight = 0", "`selected`: nothing would be trained"),
        ("preset = 'masked-mle'\nselected = 'none'", "`selected`: nothing would be trained"),
        ("reference = 0.1", "say which: base, mle, uniform"),
        ("selected = '-p / p_ref'", "reads a reference; say which"),
        ("[select]\nby = 'excess-loss'", "reads a reference; say which"),
        ("[select]\nby = 'divergence'", "reads a reference; say which"),
        ("weight = 'divergence'", "reads a reference; say which"),
        ("[select]\nby = 'loss > mean(loss)'\nwithin = 'corpus'", "`select.by`: reads a mean over the batch"),
        ("selected = 'distill(mle)'\nagainst = 'base'", "an objective has one reference"),
        ("selected = 'distill(mle)'\nreference = 1", "distills already"),
        ("selected = 'distill mle'", "is not a loss f(p)"),
        ("top_k = 5", "no token is pulled onto a reference"),
        ("selected = 'distill(mle)'\ntop_k = 0", "a whole number above 0"),
        ("selected = 'distill(uniform)'\ntop_k = 5", "`top_k`: of a uniform reference"),
        ("selected = 'loss - reference_loss'", "reads a reference; say which"),
        ("selected = 'distill(self)'", "`temperature`: the model's own prediction as reference needs one"),
        ("selected = 'distill(self)'\ntemperature = 0", "`temperature`: expected a number above 0, found 0"),
        ("selected = 'distill(self)'\ntemperature = '1'", "expected a number above 0, found \"1\""),
        ("selected = 'distill(self)'\ntemperature = inf", "expected a number above 0, found inf"),
        ("selected = 'distill(base)'\ntemperature = 0.7", "`temperature`: applies only to the model's own"),
        ("temperature = 0.7", "`temperature`: applies only to the model's own"),
        ("preset = 'gem'\ntop_k = 5", "`top_k`: the model's own prediction is not truncated"),
        ("preset = 'gem'\nmatch = 'grad-norm'", "`match`: \"grad-norm\" does not know the model's own"),
        ("preset = 'gem'\nselect.by = 'divergence'", "`against`: `self` has no `divergence`"),
        ("preset = 'gem'\nselected = '-p / p_ref'", "`against`: `self` has no `p_ref`"),
        ("direction = 'reverse'", "`direction`: is that of pulls onto a reference, and no token has one"),
        (
            "preset = 'distill'\ndirection = 'back'",
            "`back` is not one of its values (there are forward, reverse)",
        ),
        (
            "preset = 'reverse-kl'\nmatch = 'grad-norm'",
            "`match`: \"grad-norm\" does not know the size of a reverse",
        ),
        (
            "preset = 'truncated-kd'\nmatch = 'grad-norm'",
            "`match`: \"grad-norm\" does not know the size of pulls onto a truncated reference",
        ),
        ("selected = ['-p']", "expected text, found array"),
        ("select = 'loss'", "expected a table, found string"),
        ("[select]\nkeep = 'top 0%'", "is not a band of quantiles"),
        ("[select]\nkeep = '30%..20%'", "is not a band of quantiles"),
        ("[select]\nkeep = 'top 120%'", "is not a band of quantiles"),
        ("[select]\nover = '50%'", "only to a `schedule`"),
        ("[select]\nwindow = 5", "only to `within = \"running\"`"),
        ("[select]\nschedule = 'ramp'\nover = '0%'", "a share of the run"),
        ("[parameters]\nentropy = 1", "is the name of a statistic"),
        ("[parameters]\nx = nan", "expected a finite number"),
        ("[parameters]\nx = 1", "no expression reads it"),
        ("preset = [5]", "expected text"),
        ("against = 'mle'", "`against`: no token is pulled onto a reference, and no expression reads one"),
        ("against = 'self'\ntemperature = 0.7", "`against`: no token is pulled onto a reference"),
        ("normalise = 'all'\nmatch = 'grad-norm'", "`normalise`: has no effect with `match = \"grad-norm\"`"),
        (
            "otherwise = 'distill(mle)'\n[select]\nby = 'loss'",
            "`otherwise`: no token is left over: `select.keep`",
        ),
    ] {
        let message = refusal(text);
        assert!(message.contains(part), "{text}: {message}");
    }
    assert!(Selection::band(Criterion::loss(), 0.5, 0.5).is_err());
    assert!(Selection::band(Criterion::loss(), f64::NAN, 1.0).is_err());
    let mut band = Selection::band(Criterion::loss(), 0.0, 0.5).unwrap();
    band.keep.high = 2.0;
    assert!(Objective::preset("mle").unwrap().select(band).is_err());
    let excess = Selection::band(Criterion::named("excess-loss").unwrap(), 0.0, 0.5).unwrap();
    assert!(Objective::preset("mle").unwrap().select(excess).is_err());
}

#[test]
fn documents_are_read_where_they_are_selected_or_counted() {
    for (text, reads) in
        [("preset = 'tail-sft'", true), ("normalise = 'documents'", true), ("preset = 'masked-mle'", false)]
    {
        assert_eq!(Objective::from_toml(text).unwrap().reads_documents(), reads, "{text}");
    }
}

#[test]
fn keys_of_a_preset_may_lose_their_effect() {
    for text in [
        "preset = 'rho'\nselect.by = 'loss'",
        "preset = 'masked-mle+distill'\nselected = 'none'",
        "preset = 'policy-gradient'\nmatch = 'grad-norm'",
        "preset = 'masked-mle+distill'\nselect.keep = 'all'",
        "otherwise = 'distill(mle)'\nselect = { schedule = 'ramp', from = 'top 25%' }",
    ] {
        Objective::from_toml(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn a_reference_that_only_a_divergence_is_from_may_be_truncated() {
    let text = "against = 'reference'\ntop_k = 32\nselect = { by = 'divergence', keep = 'top 25%' }";
    let objective = Objective::from_toml(text).unwrap();
    assert!(!objective.distills() && objective.top_k() == Some(32));
}

#[test]
fn losses_that_cannot_be_trained_with_are_refused_with_the_place() {
    for (loss, part) in [
        ("p", "it increases"),
        ("log p", "it increases"),
        ("-log p * log p", "it increases"),
        ("(p - 0.3)^2", "at p = 0.3"),
        ("-1 / p", "it increases"),
        ("p^-20", "not finite"),
        ("-log(p - 0.5)", "not finite"),
        ("-1 / (0.5 - p)", "not finite"),
        ("sqrt(1 - p)", "its pull -p·f′(p) is inf, not finite, at p = 1"),
        ("3", "its pull is zero everywhere"),
        ("sg(-log p)", "its pull is zero everywhere"),
        ("(p >= 0.5)", "its pull is zero everywhere"),
        // Where the sign follows from another statistic, the error names its value.
        ("loss * log(entropy) * (entropy < 1)", "it increases"),
        ("loss * (1.5 - entropy)", "it increases, so it would push the label away, at p = 0.0"),
        ("-log p * (entropy - 0.5)", "000001, entropy = 0\n"),
        ("loss * log(concentration + 0.9)", ", concentration = 0.01\n"),
        ("-log p * (entropy_top20 - 1)", "it increases"),
        ("-log p * (bald - 0.05)", "it increases"),
        ("-log p * (0.2 - bald)", "it increases"),
        ("loss / entropy", "not finite, at p = 1, entropy = 0"),
    ] {
        let error = Objective::loss(loss).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{loss}: {error}");
        assert!(format!("{error}\n").contains(part), "{loss}: {error}");
    }
    for loss in [
        "log(1-p)",
        "-p^10",
        "(1-p^0.5)/0.5",
        "-sqrt p",
        "1/p",
        "max(-log p, 1)",
        "-advantage * log p",
        "-log p * (entropy > 2)",
        "-log p * (score >= 5)",
        "-log p * (base_loss > 6)",
        // Of one sign at any prediction, though not of any numbers.
        "-log p * (log(20) - entropy_top20)",
        "-log p * (1 - entropy / log(vocabulary))",
        "-log p * (1 - concentration)",
        "-log p * (entropy + log concentration)",
        "-log p * (entropy - bald)",
        "-log p * sqrt(concentration - sg(p)^2 + 1e-9)",
    ] {
        Objective::loss(loss).unwrap_or_else(|error| panic!("{loss}: {error}"));
    }
    // Where two other models differ, and in batches whose mean is not the token's own value.
    for (loss, beside) in [
        ("-log p * (base_loss - reference_loss)", "reference_loss = 0.7, base_loss = 0.05"),
        ("-log p * (divergence - reference_loss)", "divergence = 0.05"),
        ("loss * (loss - mean(loss))", ""),
        ("-log p * (mean(p) - p)", ""),
    ] {
        let text = format!("selected = '{loss}'\nagainst = 'reference'");
        let text = if loss.contains("mean") { format!("selected = '{loss}'") } else { text };
        let error = refusal(&text);
        assert!(error.contains("it increases") && error.contains(beside), "{loss}: {error}");
    }
    for loss in ["-mean(p) * log p", "loss * (loss > mean(loss))"] {
        Objective::loss(loss).unwrap_or_else(|error| panic!("{loss}: {error}"));
    }
    // A weight may have either sign, but must be a number.
    assert!(Objective::from_toml("weight = 'advantage - 3'").is_ok());
    assert!(refusal("weight = '1 / (p - 0.5)'").contains("not finite"));
}

#[test]
fn an_objective_knows_whether_it_chooses_documents() {
    let chooses = |otherwise: &str, of: &str| {
        let text = format!(
            "selected = \"-log p\"\notherwise = \"{otherwise}\"\n[select]\nby = \"loss\"\nkeep = \"top 25%\"\nof = \"{of}\""
        );
        Objective::from_toml(&text).unwrap().chooses_documents()
    };
    assert!(chooses("none", "documents"));
    assert!(!chooses("none", "tokens"));
    assert!(!chooses("distill(base)", "documents"));
    assert!(!chooses("-p", "documents"));
    assert!(!Objective::preset("mle").unwrap().chooses_documents());
    let averages = "selected = '-mean(p) * log p'\n[select]\nkeep = 'top 25%'\nof = 'documents'";
    assert!(!Objective::from_toml(averages).unwrap().chooses_documents());
}

#[test]
fn an_objective_knows_what_the_trainer_must_supply() {
    let rho = Objective::preset("rho").unwrap();
    assert!(rho.reads(Variable::ReferenceLoss) && !rho.distills());
    let both = Objective::preset("masked-mle+distill").unwrap();
    assert!(!both.reads(Variable::ReferenceLoss) && both.distills());
    assert_eq!(both.against().map(|against| against.to_string()).as_deref(), Some("mle"));
    assert_eq!(Objective::preset("truncated-kd").unwrap().top_k(), Some(32));
    // A uniform reference gives every label 1 / vocabulary, which the match compares with p.
    let matched = |text: &str| Objective::from_toml(&format!("{text}\nmatch = 'grad-norm'")).unwrap();
    assert!(matched("preset = 'label-smoothing'").reads(Variable::Vocabulary));
    assert!(!matched("preset = 'distill'").reads(Variable::Vocabulary));
    assert!(!Objective::preset("label-smoothing").unwrap().reads(Variable::Vocabulary));
    assert!(Expression::parse("-log p").unwrap().reads(Variable::P));
    // What moves no pull moves the loss that is reported.
    assert!(Objective::loss("loss - base_loss").unwrap().reads(Variable::BaseLoss));
    assert!(Objective::from_toml("selected = 'loss - reference_loss'\nagainst = 'reference'").is_ok());
}

/// A selected token's pull is known without the batch's other tokens, and is the one that the batch gives it.
#[test]
fn selected_pulls_are_the_batches() {
    let everything = || Selection::band(Criterion::Random, 0.0, 1.0).unwrap();
    for name in presets::names() {
        let objective = Objective::preset(name).unwrap();
        let token = |i: u32| TokenStats {
            top_entropy: Some(0.4),
            concentration: Some(0.3),
            reference_loss: Some(0.7),
            reference_mass: Some(0.6),
            divergence: Some(0.2),
            base_loss: Some(0.9),
            bald: Some(0.1),
            advantage: Some(-0.3),
            weight: f64::from(i % 3),
            position: i,
            ..TokenStats::new(0.2 * f64::from(i), 0.5)
        };
        let stats: Vec<TokenStats> = (0..12).map(token).collect();
        let mut single = objective.select(everything()).unwrap().begin(PLAN);
        let alone: Vec<Pull> = stats.iter().map(|token| single.pulls(&[*token]).unwrap().pulls[0]).collect();
        assert_eq!(objective.is_local(), objective.selection().is_none() && !objective.averages());
        if objective.averages() {
            continue;
        }
        let mut training = objective.begin(PLAN);
        if objective.selection().is_some_and(|selection| selection.within == Within::Corpus) {
            training.survey(&stats).unwrap();
        }
        let pulls = training.pulls(&stats).unwrap();
        assert!(pulls.kept > 0, "{name}");
        for ((pull, alone), selected) in pulls.pulls.iter().zip(&alone).zip(&pulls.selected) {
            assert!(!selected || pull == alone, "{name}: {pull:?} {alone:?}");
        }
    }
    let own = Pulls::of(vec![Pull { label: 2.0, reference: 0.0 }, Pull::default()]);
    assert_eq!((own.normaliser, own.pulled, own.kept, own.tokens), (1.0, 1, 1, 2));
    assert_eq!(Pulls::of(Vec::new()).pulled, 0);
}
