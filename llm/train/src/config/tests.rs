use super::*;
use tokensieve_model::LoraConfig;

fn parse(text: &str, overrides: &[&str]) -> Result<Config> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Config::parse(Path::new("my.toml"), text, &overrides)
}

const PLAIN: &str = "[data]\ntrain = \"gsm8k\"\n";

#[test]
fn the_smallest_configuration_is_a_data_set() {
    let config = parse(PLAIN, &[]).unwrap();
    assert_eq!(config.model.source, "smollm2-135m");
    assert_eq!(config.objective.name(), "mle");
    assert_eq!(config.train.out, Path::new("runs/my"));
    assert_eq!(config.train.length, Length::Epochs(1.0));
    assert_eq!(config.lora.unwrap()["lora_alpha"].as_integer(), Some(64));
    let missing = parse("", &[]).unwrap_err().to_string();
    assert!(missing.contains("my.toml: `data.train` is missing: training data"), "{missing}");
}

#[test]
fn overrides_win_and_need_no_quotes() {
    let config = parse(
        &format!("objective = \"dft\"\n{PLAIN}[train]\nlr = 1e-3"),
        &["train.lr=2e-4", "data.train=rows.jsonl", "objective=masked-mle", "objective.select.keep=top 10%"],
    );
    let config = config.unwrap();
    assert_eq!(config.train.lr, 2e-4);
    assert_eq!(config.data.source, "rows.jsonl");
    assert_eq!(config.objective.describe().selection, "top 10% of tokens by loss, within the batch");
}

#[test]
fn an_override_that_is_a_table_leaves_the_other_keys() {
    let file = format!(
        "objective.preset = \"dft\"\n{PLAIN}[train]\nlr = 1e-3\nepochs = 2\neval_every = 5\nearly_stop.on = \"a\"\n\
         early_stop.patience = 9\n[eval.a]\ndata = \"gsm8k\"\n"
    );
    let set = |set: &str| parse(&file, &[set]).unwrap();
    let train = set("train={steps=1, early_stop={min_delta=0.5}}").train;
    assert_eq!((train.lr, train.length), (1e-3, Length::Steps(1)));
    let stop = train.early_stop.unwrap();
    assert_eq!((stop.patience, stop.min_delta), (9, 0.5));
    assert_eq!(set("train={}").train.lr, parse(PLAIN, &[]).unwrap().train.lr);
    // An objective is one value.
    let alone = parse(PLAIN, &["objective={selected=\"-p\"}"]).unwrap();
    assert_eq!(set("objective={selected=\"-p\"}").objective, alone.objective);
}

#[test]
fn overrides_are_text_where_the_key_is_and_keys_may_be_in_quotes() {
    let config = parse(
        PLAIN,
        &[
            "train.out=2024",
            "data.train=2024-01-01",
            "model.source=\"true\"",
            "lora.rank_pattern.\"layers.0.self_attn.q_proj\"=8",
            "eval.'held'.data=1.5",
        ],
    );
    let config = config.unwrap();
    assert_eq!((config.train.out.as_path(), config.data.source.as_str()), (Path::new("2024"), "2024-01-01"));
    assert_eq!((config.model.source.as_str(), config.evaluations[0].1.source.as_str()), ("true", "1.5"));
    let pattern = &config.lora.unwrap()["rank_pattern"];
    assert_eq!(pattern["layers.0.self_attn.q_proj"].as_integer(), Some(8));
}

#[test]
fn a_missing_file_or_set_is_reported_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cfg.toml");
    let read = |text: &str, overrides: &[&str]| {
        std::fs::write(&file, format!("{PLAIN}{text}")).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Config::read(&file, &overrides)
    };
    for (text, overrides, wanted) in [
        (
            "[model]\nsource = \"nowhere\"",
            &[][..],
            "cfg.toml:4: `model.source`: there is no file or folder `nowhere`",
        ),
        (
            "[model]\nsource = \"gsm8k\"",
            &[],
            "cfg.toml:4: `model.source`: `gsm8k` is a data set, not a model",
        ),
        (
            "[reference]\nmodel = \"nowhere\"",
            &["objective=distill"],
            "cfg.toml:4: `reference.model`: there is no file or folder",
        ),
        ("", &["model.source=nowhere"], "--set model.source: there is no file or folder `nowhere`"),
        (
            "[eval.b]\ndata = \"gsm8k/dev\"",
            &[],
            "cfg.toml:4: `eval.b.data`: the data set `gsm8k` has no split `dev`",
        ),
        (
            "[eval.b]\ndata = \"alpaca\"",
            &[],
            "cfg.toml:4: `eval.b.data`: the data set `alpaca` has no split `test`",
        ),
        (
            "[eval.b]\ndata = \"gsm8k\"\nsplit = \"dev\"",
            &[],
            "cfg.toml:5: `eval.b.split`: the data set `gsm8k` has no split `dev`",
        ),
        (
            "[eval.b]\ndata = \"gsm8k/test\"\nsplit = \"train\"",
            &[],
            "cfg.toml:5: `eval.b.split`: `gsm8k/test` already names a split, which is not `train`",
        ),
    ] {
        let error = read(text, overrides).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}\n{error}\n{wanted}");
    }
    let config = read("[reference]\ntopk = \"nowhere\"", &["objective=distill"]).unwrap();
    let error = config.check_topk().unwrap_err().to_string();
    assert!(
        error.contains("cfg.toml:4: `reference.topk`: there is no file `nowhere`; `tokensieve topk`"),
        "{error}"
    );
}

#[test]
fn an_override_of_the_length_takes_back_the_other() {
    let epochs = format!("{PLAIN}[train]\nepochs = 2");
    assert_eq!(parse(&epochs, &["train.steps=7"]).unwrap().train.length, Length::Steps(7));
    let steps = format!("{PLAIN}[train]\nsteps = 2");
    assert_eq!(parse(&steps, &["train.epochs=0.5"]).unwrap().train.length, Length::Epochs(0.5));
    assert!(parse(PLAIN, &["train.epochs=0.5", "train.steps=7"]).is_err());
}

#[test]
fn mistakes_are_named_with_their_place_and_what_would_be_right() {
    for (text, wanted) in [
        ("[train]\nlearning_rate = 1", "my.toml:4: `train.learning_rate`: there is no such key"),
        ("[train]\nbatchsize = 1", "did you mean `train.batch_size`?"),
        ("[data2]\nlimit = 1", "my.toml:3: `data2`: there is no such key"),
        ("[train]\nmax_length = 1", "did you mean `data.max_length`?"),
        ("[train]\n\nlr = \"fast\"", "my.toml:5: `train.lr`: expected a number, at least 0, found \"fast\""),
        (
            "[train]\nschedule = \"cosin\"",
            "expected one of \"cosine\", \"linear\", \"constant\", found \"cosin\"",
        ),
        ("[train]\ngrow_rank = [{ step = 9, rank = 8 }, { step = 3, rank = 16 }]", "both rising"),
        ("[eval]\ntest = 3", "my.toml:4: `eval.test`: expected a table, found 3"),
        (
            "[objective]\nselectd = \"-p\"",
            "my.toml:4: `objective.selectd`: unknown key `selectd`; did you mean `selected`?",
        ),
        (
            "[objective]\nselected = \"p\"",
            "my.toml:4: `objective.selected`: the loss `p` is rejected: it increases",
        ),
        (
            "[objective]\npreset = \"(1-p^0.5)/0.5\"",
            "no preset is called `(1-p^0.5)/0.5`; an expression is given as `objective.selected`",
        ),
        ("[lora]\nr = 65537", "my.toml:4: `lora.r`: expected a whole number from 1 to 65536, found 65537"),
        (
            "[train]\nbetas = [0.9, 0.99999999]",
            "my.toml:4: `train.betas`: is 1 as the f32 that steps are computed in; at most 0.9999999",
        ),
        ("[eval.dev]", "my.toml:3: `eval.dev`: names no data set; give eval.dev.data, or leave it out"),
        ("[train]\neps = 0", "my.toml:4: `train.eps`: expected a number above 0, at most 1, found 0"),
        ("[train]\nsteps = 3\nepochs = 2", "my.toml:5: `train.epochs`: give train.steps or train.epochs"),
        ("[train]\nmomentum = 0.9", "has no effect with train.optimizer = \"adamw\""),
        ("[train]\nschedule = \"constant\"\nlr_end = 0.1", "my.toml:5: `train.lr_end`: has no effect with"),
        (
            "[objective]\npreset = \"asft\"\n[reference]\nadapter = \"a\"",
            "my.toml:6: `reference.adapter`: `against = \"base\"` compares with the model without its adapter",
        ),
        ("[train]\nfull = true\n[lora]\nr = 8", "my.toml:5: `lora`: has no effect with"),
        (
            "[train]\nearly_stop.on = \"tset\"\n[eval.test]\ndata = \"gsm8k\"",
            "no eval set is called `tset` (there are test)",
        ),
        ("[eval.test]\nsplit = \"test\"", "`eval.test.data` is missing"),
        ("[train]\neval_every = 2", "my.toml:4: `train.eval_every`: has no effect without a held-out set"),
        ("[model]\ndevice = \"gpu\"", "`gpu` is not auto, cpu, cuda or cuda:N"),
        ("[reference]\nadapter = \"a\"\nmodel = \"b\"", "give one of adapter, model and topk"),
        (
            "[train]\ngrow_rank = [{ step = 2, rank = 4 }]",
            "my.toml:4: `train.grow_rank`: an adapter of rank 32 (lora.r)",
        ),
        (
            "[lora]\nr = 8\n[train]\nsteps = 5\ngrow_rank = [{ step = 2, rank = 16 }, { step = 5, rank = 32 }]",
            "my.toml:7: `train.grow_rank`: the rank grows to 32 after step 5, but the run has 5 steps",
        ),
        (
            "[lora]\nrank_pattern = { q_proj = 8.5 }",
            "my.toml:4: `lora.rank_pattern`: expected a table of names and whole numbers from 1 to 65536, found {",
        ),
        ("[train]\nranking = \"int8\"", "`train.ranking`: `int8` needs an objective that chooses documents"),
        (
            "[train]\nranking = \"int8\"\n[objective]\npreset = \"masked-mle\"",
            "`train.ranking`: `int8` needs an objective that chooses documents",
        ),
        (
            "date = \"2024-02-30\"",
            "my.toml:3: `data.date`: expected a date from 1970 on, like \"2024-07-26\", found \"2024-02-30\"",
        ),
        ("lr = [", "my.toml:3: "),
        ("[train]\nout = \"\"", "my.toml:4: `train.out`: expected text in quotes, not empty, found \"\""),
        ("[eval.\"a/b\"]\ndata = \"gsm8k\"", "my.toml:3: `eval.a/b`: is not a valid name for a held-out set"),
        ("[eval.\"a.b\"]\ndata = \"gsm8k\"", "my.toml:3: `eval.a.b`: is not a valid name for a held-out set"),
        ("[eval.\"\"]\ndata = \"gsm8k\"", "my.toml:3: `eval.`: is not a valid name for a held-out set"),
    ] {
        let error = parse(&format!("{PLAIN}{text}"), &[]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}\n{error}\n{wanted}");
    }
    for (set, wanted) in [
        ("train.lr", "--set train.lr: expected key=value"),
        ("train.lr=fast", "--set train.lr: expected a number, at least 0, found \"fast\""),
        ("train.lr.x=1", "--set train.lr.x: expected a number"),
        ("train={lr=\"fast\"}", "--set train.lr: expected a number"),
        ("train={lx=1}", "--set train.lx: there is no such key; did you mean `train.lr`?"),
        ("train.out=", "--set train.out: expected text in quotes, not empty"),
        ("eval.a/b.data=gsm8k", "--set eval.a/b.data: is not a valid name for a held-out set"),
        ("tran.lr=1", "--set tran.lr: there is no such key; did you mean `train.lr`?"),
    ] {
        let error = parse(PLAIN, &[set]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{set}\n{error}");
    }
}

#[test]
fn the_type_is_written_as_what_it_is_on_this_machine() {
    let fastest = Backend::of(Device::Cpu).fastest_kind();
    for (word, nf4) in [("auto", false), ("nf4", true)] {
        let config = parse(PLAIN, &[&format!("model.dtype={word}"), "model.device=cpu"]).unwrap();
        let precision = Precision { kind: fastest, nf4 };
        assert_eq!(config.model.precision, precision);
        assert!(config.derived().contains(&format!("dtype = \"{}\"", precision.name())));
    }
    let error = parse(PLAIN, &["model.dtype=nf4", "train.full=true"]).unwrap_err().to_string();
    assert!(error.contains("--set model.dtype: weights in four bits are frozen"), "{error}");
}

#[test]
fn what_an_objective_reads_must_be_supplied() {
    let full = "train.full=true";
    let model = "reference.model=smollm2-135m";
    for preset in ["distill", "rho", "psft", "iw-sft", "oracle", "truncated-kd", "token-cleaning"] {
        let objective = format!("objective={preset}");
        let error = parse(PLAIN, &[&objective]).unwrap_err().to_string();
        let wanted = "--set objective: compares with a reference: name one as reference.adapter";
        assert!(error.contains(wanted), "{preset}: {error}");
        parse(PLAIN, &[&objective, "reference.adapter=a"]).unwrap();
        let error = parse(PLAIN, &[&objective, "reference.adapter=a", full]).unwrap_err().to_string();
        assert!(error.contains("--set reference.adapter: compares with the base"), "{preset}: {error}");
    }
    parse(PLAIN, &["objective=asft"]).unwrap();
    let error = parse(PLAIN, &["objective=asft", full]).unwrap_err().to_string();
    assert!(
        error.contains("--set objective: compares with the base model, which full fine-tuning overwrites"),
        "{error}"
    );
    parse(PLAIN, &["objective=asft", full, model]).unwrap();
    let by_base = "objective.select.by=base_loss";
    parse(PLAIN, &["objective=masked-mle", by_base]).unwrap();
    let error = parse(PLAIN, &["objective=masked-mle", by_base, full]).unwrap_err().to_string();
    assert!(error.contains("`data.uncertainty`: is missing: the objective reads `base_loss`"), "{error}");
    parse(PLAIN, &["objective=masked-mle", by_base, full, "data.uncertainty=u.jsonl"]).unwrap();
    let error = parse(PLAIN, &["objective=bald"]).unwrap_err().to_string();
    assert!(error.contains("`data.uncertainty`: is missing: the objective reads `bald`"), "{error}");
    parse(PLAIN, &["objective=label-smoothing", full]).unwrap();
}

#[test]
fn what_an_objective_does_not_read_is_refused() {
    for key in ["adapter", "model", "topk"] {
        for objective in ["mle", "masked-mle", "label-smoothing", "gem"] {
            let set = [format!("objective={objective}"), format!("reference.{key}=a")];
            let error = parse(PLAIN, &[&set[0], &set[1]]).unwrap_err().to_string();
            let wanted = format!(
                "--set reference.{key}: has no effect with the objective `{objective}`, which reads no reference"
            );
            assert!(error.contains(&wanted), "{error}");
        }
    }
    let estimates = "data.uncertainty=u.jsonl";
    let error = parse(PLAIN, &[estimates]).unwrap_err().to_string();
    let wanted = "--set data.uncertainty: has no effect with the objective `mle`, which reads neither `bald` nor \
                  `base_loss`";
    assert!(error.contains(wanted), "{error}");
    for read in ["objective=bald", "objective.select.by=base_loss"] {
        parse(PLAIN, &["objective=masked-mle", read, estimates]).unwrap();
    }
}

#[test]
fn a_warm_up_ends_within_the_run() {
    parse(PLAIN, &["train.steps=8", "train.warmup=8"]).unwrap();
    let error = parse(PLAIN, &["train.steps=8", "train.warmup=9"]).unwrap_err().to_string();
    assert!(
        error.contains("--set train.warmup: the warm-up takes 9 steps, but the run has 8 steps"),
        "{error}"
    );
    assert!(parse(PLAIN, &["train.warmup=9"]).unwrap().check_steps(8).is_err());
}

#[test]
fn growth_past_the_last_step_is_refused_once_the_steps_are_known() {
    let config = parse(PLAIN, &["train.grow_rank=[{step=9,rank=64}]"]).unwrap();
    config.check_steps(10).unwrap();
    let error = config.check_steps(9).unwrap_err().to_string();
    assert!(error.contains("--set train.grow_rank: the rank grows to 64 after step 9"), "{error}");
}

#[test]
fn what_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    std::fs::write(&file, "[data]\ntrain = \"gsm8k\"\n[eval.test]\ndata = \"gsm8k\"\n").unwrap();
    let read =
        |set: &[&str]| Config::read(&file, &set.iter().map(|set| (*set).to_owned()).collect::<Vec<_>>());
    read(&[]).unwrap();
    // A file of probable tokens may be made for the run.
    read(&["objective=distill", "reference.topk=nowhere"]).unwrap();
    for (set, wanted) in [
        ("data.train=nowhere", "--set data.train: there is no file `nowhere`, and no data set of that name"),
        ("data.train=src", "--set data.train: `src` is a folder; name a file in it"),
        ("data.split=dev", "--set data.split: the data set `gsm8k` has no split `dev`, only test, train"),
        ("eval.test.data=nowhere", "--set eval.test.data: there is no file `nowhere`"),
    ] {
        let error = read(&[set]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{set}\n{error}");
    }
    for (objective, set, wanted) in [
        ("bald", "data.uncertainty=nowhere", "--set data.uncertainty: there is no file `nowhere`"),
        ("distill", "reference.adapter=nowhere", "--set reference.adapter: there is no folder `nowhere`"),
    ] {
        let error = read(&[&format!("objective={objective}"), set]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{set}\n{error}");
    }
    std::fs::write(&file, "[data]\ntrain = \"gsm8k\"\n[eval.test]\ndata = \"nowhere\"\n").unwrap();
    let error = read(&[]).unwrap_err().to_string();
    assert!(error.contains("my.toml:4: `eval.test.data`: there is no file `nowhere`"), "{error}");
}

#[test]
fn the_derived_configuration_says_everything_and_can_be_run_again() {
    let text = format!(
        "{PLAIN}[eval.test]\ndata = \"gsm8k\"\n[objective]\npreset = \"masked-mle\"\nselect.keep = \"top 10%\"\n\
         [train]\ngrow_rank = [{{ step = 5, rank = 64 }}]\nearly_stop.on = \"test\"\neval_every = 5\n\
         [lora.rank_pattern]\n\"layers.0.self_attn.q_proj\" = 8"
    );
    let config = parse(&text, &["train.steps=7"]).unwrap();
    let derived = config.derived();
    assert!(derived.contains("micro_tokens = "), "{derived}");
    let again = Config::parse(Path::new("other.toml"), &derived, &[]).unwrap();
    assert_eq!(again.derived(), derived);
    assert_eq!(again.hash(), config.hash());
    assert_eq!(
        (&again.train, &again.lora, &again.objective),
        (&config.train, &config.lora, &config.objective)
    );
}

#[test]
fn the_day_is_the_same_on_any_unless_another_is_given() {
    let config = parse(PLAIN, &[]).unwrap();
    assert_eq!(config.date, Moment::default());
    assert!(config.derived().contains("\ndate = \"2024-07-26\"\n"), "{}", config.derived());
    let day = "2025-01-31";
    let other = parse(PLAIN, &[&format!("data.date={day}")]).unwrap();
    assert_eq!(other.date.to_string(), day);
    for quoted in [format!("\"{day}\""), day.to_owned()] {
        assert_eq!(parse(&format!("{PLAIN}date = {quoted}"), &[]).unwrap().derived(), other.derived());
    }
    let differences = config.differences(&other.derived()).unwrap();
    assert_eq!(differences, ["data.date: \"2025-01-31\" there, \"2024-07-26\" here"]);
    for wrong in ["3", "07:32:00", "2025-01-31T07:32:00"] {
        assert!(
            parse(&format!("{PLAIN}date = {wrong}"), &[]).unwrap_err().to_string().contains("a date from")
        );
    }
}

#[test]
fn patterns_keep_the_order_of_the_file_and_nothing_else_does() {
    let patterns = |one: &str, other: &str| {
        let lora = format!("[lora.rank_pattern]\n\"{one}\" = 4\n\"{other}\" = 8\n");
        parse(&format!("{PLAIN}{lora}"), &[]).unwrap()
    };
    let (all, first) = ("self_attn.q_proj", "layers.0.self_attn.q_proj");
    let names = |config: &Config| {
        let lora = Value::Table(config.lora.clone().unwrap()).try_into::<LoraConfig>().unwrap();
        lora.rank_pattern.0.into_iter().map(|(pattern, _)| pattern).collect::<Vec<_>>()
    };
    for [one, other] in [[all, first], [first, all]] {
        let config = patterns(one, other);
        assert_eq!(names(&config), [one, other]);
        assert_eq!(names(&Config::parse(Path::new("x"), &config.derived(), &[]).unwrap()), [one, other]);
        let set = format!("lora.rank_pattern={{\"{one}\"=4,\"{other}\"=8}}");
        assert_eq!(names(&parse(PLAIN, &[&set]).unwrap()), [one, other]);
    }
    let set = |set: &str| parse(PLAIN, &[set]).unwrap();
    let [one, other] = [[all, first], [first, all]]
        .map(|[one, other]| set(&format!("lora.rank_pattern={{\"{one}\"=4,\"{other}\"=4}}")));
    assert_ne!(one.hash(), other.hash());
    assert_eq!(one.differences(&other.derived()).unwrap().len(), 1);
    let [one, other] =
        ["{step=5,rank=64}", "{rank=64,step=5}"].map(|one| set(&format!("train.grow_rank=[{one}]")));
    assert_eq!((one.hash(), one.derived()), (other.hash(), other.derived()));
}

#[test]
fn documents_may_be_ranked_in_int8() {
    let text = format!("{PLAIN}[objective]\npreset = \"masked-mle\"\nselect.of = \"documents\"");
    assert_eq!(parse(&text, &[]).unwrap().train.ranking, Ranking::Exact);
    assert_eq!(parse(&text, &["train.ranking=int8"]).unwrap().train.ranking, Ranking::Int8);
}

#[test]
fn every_word_of_every_key_has_a_meaning_of_its_own() {
    let text = format!("{PLAIN}[objective]\npreset = \"masked-mle\"\nselect.of = \"documents\"");
    for key in KEYS {
        let Kind::Word(words) = key.kind else { continue };
        let text = if key.name.starts_with("model.init") { RANDOM } else { &text };
        let meaning = |word: &&str| {
            let config = parse(text, &[&format!("{}={word}", key.name)]).unwrap();
            format!("{:?} {:?} {:?}", config.model, config.data, config.train)
        };
        // These mean one of the others, whichever is fast here.
        let words: Vec<&str> = words.iter().copied().filter(|word| !["auto", "nf4"].contains(word)).collect();
        let meanings: std::collections::BTreeSet<String> = words.iter().map(meaning).collect();
        assert_eq!(meanings.len(), words.len(), "{}", key.name);
    }
}

#[test]
fn a_word_without_a_meaning_is_an_error() {
    let settings = Settings::read(Path::new("my.toml"), PLAIN, &[]).unwrap();
    let error = settings.choice("train.schedule", &[("linear", Shape::Linear)]).unwrap_err().to_string();
    assert_eq!(error, "my.toml: `train.schedule`: `cosine` is not one of linear");
    assert!(
        settings.required::<u64>("data.limit").is_err() && settings.required::<f64>("train.out").is_err()
    );
}

#[test]
fn only_keys_that_move_numbers_make_another_run() {
    let config = parse(PLAIN, &[]).unwrap();
    let free = ["train.out=elsewhere", "train.save_every=7", "train.keep_last=5", "train.save_at=[3]"];
    let same =
        parse(PLAIN, &[&free[..], &["log.tensorboard=false", "log.selection=false"]].concat()).unwrap();
    assert_eq!(same.hash(), config.hash());
    assert!(same.differences(&config.derived()).unwrap().is_empty());
    // A number is the same with and without a fraction; steps and shares of a run are not.
    let written = ["train.weight_decay=1", "train.betas=[0, 0.5]", "lora.rank_pattern={q=8}"];
    let same = written.map(|set| set.replace("=1", "=1.0").replace("[0,", "[0.0,"));
    let same: Vec<&str> = same.iter().map(String::as_str).collect();
    let (one, other) = (parse(PLAIN, &written).unwrap(), parse(PLAIN, &same).unwrap());
    assert_eq!((one.hash(), one.differences(&other.derived()).unwrap().len()), (other.hash(), 0));
    let [one, other] = ["train.warmup=0", "train.warmup=0.0"].map(|set| parse(PLAIN, &[set]).unwrap());
    assert_ne!(one.hash(), other.hash());
    let other = parse(PLAIN, &["train.lr=1e-5", "train.steps=3"]).unwrap();
    assert_ne!(other.hash(), config.hash());
    assert_eq!(
        other.differences(&config.derived()).unwrap(),
        [
            "train.epochs: 1.0 there, not set here",
            "train.lr: 0.0002 there, 0.00001 here",
            "train.steps: not set there, 3 here"
        ]
    );
}

#[test]
fn a_configuration_of_another_machine_or_version_can_be_compared() {
    let config = parse(PLAIN, &["model.device=cpu"]).unwrap();
    let elsewhere = config.derived().replace("device = \"cpu\"", "device = \"cuda:999\"");
    assert!(Config::parse(Path::new("there"), &elsewhere, &[]).is_err());
    assert_eq!(config.differences(&elsewhere).unwrap(), ["model.device: \"cuda:999\" there, \"cpu\" here"]);
    // A key of a version to come, and one that an older version did not have.
    let later = config.derived().replace("[train]\n", "[train]\nsharpness = 3\n");
    assert_eq!(config.differences(&later).unwrap(), ["train.sharpness: 3 there, not set here"]);
    let older = config.derived().replace("ranking = \"exact\"\n", "");
    assert!(older != config.derived() && config.differences(&older).unwrap().is_empty());
    assert!(config.differences("[train").is_err());
}

#[test]
fn the_examples_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(files.len() >= 3);
    for file in files {
        // The twin that one of them compares with is trained first.
        let text = std::fs::read_to_string(&file).unwrap();
        let config = Config::parse(&file, &text, &[]).unwrap_or_else(|error| panic!("{error}"));
        let needs_reference = config.objective.against().is_some();
        assert_eq!(config.reference.is_some(), needs_reference, "{}", file.display());
    }
}

const RANDOM: &str = "[data]\ntrain = \"rows.jsonl\"\n[train]\nfull = true\n[model.init]\nhidden_size = 16\n\
                      layers = 2\nheads = 2\nintermediate_size = 8\ncontext = 32\ncharacters = \"abc$\"\nend = \"$\"\n";

#[test]
fn a_model_may_be_initialised_at_random() {
    let config = parse(RANDOM, &["model.init.seed=7"]).unwrap();
    let model = config.model.init.clone().unwrap();
    assert_eq!((model.kv_heads, model.seed, model.end.as_deref()), (2, 7, Some("$")));
    assert_eq!(model.config().unwrap().vocab_size, 5);
    let derived = config.derived();
    assert!(derived.contains("[model.init]\n") && !derived.contains("source"), "{derived}");
    let again = Config::parse(Path::new("again.toml"), &derived, &[]).unwrap();
    assert_eq!((again.hash(), &again.model), (config.hash(), &config.model));
    assert_eq!(parse(PLAIN, &[]).unwrap().model.init, None);

    let other = parse(RANDOM, &["model.init.seed=8"]).unwrap();
    assert_eq!(other.differences(&derived).unwrap(), ["model.init.seed: 7 there, 8 here"]);
    for (set, wanted) in [
        ("model.source=smollm2-135m", "`model.init`: give model.source or model.init, not both"),
        ("train.full=false", "needs `train.full = true`"),
        ("model.init.heads=3", "hidden_size 16 is not a multiple of 3 heads"),
        ("model.init.kv_heads=3", "2 query heads are not a multiple of 3 key-value heads"),
        ("model.init.characters=aba$", "`characters` has `a` twice"),
        ("model.init.end=!", "`end` is `!`; it must be one of `characters`"),
        ("model.init.architecture=mamba", "one of \"llama\""),
    ] {
        let error = parse(RANDOM, &[set]).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let error = parse(&RANDOM.replace("heads = 2\n", ""), &[]).unwrap_err().to_string();
    assert!(error.contains("`model.init.heads` is missing: number of query heads"), "{error}");
}

#[test]
fn what_is_saved_on_the_way_lies_within_the_run() {
    let config = parse(PLAIN, &["train.steps=9", "train.save_at=[3, 9]"]).unwrap();
    assert_eq!(config.train.save_at, [3, 9]);
    let error = parse(PLAIN, &["train.steps=8", "train.save_at=[3, 9]"]).unwrap_err().to_string();
    assert!(error.contains("the run has 8 steps and does not get to step 9"), "{error}");
    assert!(parse(PLAIN, &["train.save_at=[3, 9]"]).unwrap().check_steps(8).is_err());
    for wrong in ["[0]", "[3, 3]", "[3, 2]", "3"] {
        assert!(parse(PLAIN, &[&format!("train.save_at={wrong}")]).is_err(), "{wrong}");
    }
}

#[test]
fn of_a_steps_documents_some_are_kept() {
    let parsed = |batch_size: u32, within: &str| {
        let objective =
            format!("objective={{preset=\"masked-mle\",select={{of=\"documents\",within=\"{within}\"}}}}");
        parse(PLAIN, &[&format!("train.batch_size={batch_size}"), &objective])
    };
    for batch_size in [1, 2] {
        let error = parsed(batch_size, "batch").unwrap_err().to_string();
        let what =
            format!("select.keep: keeps none of the {batch_size} documents of a step (train.batch_size)");
        assert!(error.contains(&what), "{error}");
        parsed(batch_size, "running").unwrap();
    }
    parsed(3, "batch").unwrap();
}
