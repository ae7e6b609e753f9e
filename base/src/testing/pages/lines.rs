//! Command lines: which program they call, and whether it has what they ask for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Folders of the repository that git does not keep.
const MADE: [&str; 4] = ["dist", "out", "runs", "target"];

/// The simple commands of a line, as words without quotes and brackets around them.
pub(super) fn simple_commands(line: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
    let mut commands = vec![Vec::new()];
    for word in words {
        if ["&&", "||", "&", "|", ";"].contains(&word) {
            commands.push(Vec::new());
            continue;
        }
        let bare = word.trim_matches(|c| "()\"';".contains(c));
        commands.last_mut().expect("never empty").extend((!bare.is_empty()).then_some(bare));
        if word.ends_with(';') {
            commands.push(Vec::new());
        }
    }
    commands
}

/// A program and what it is called with.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) program: String,
    pub(super) words: Vec<String>,
}

/// The recipes of the justfile.
#[derive(Debug)]
pub(super) struct Recipes(BTreeMap<String, Recipe>);

#[derive(Debug, Default)]
struct Recipe {
    /// The most arguments that it takes; none: any number.
    arguments: Option<usize>,
    /// The program that they are handed to, with the words before them.
    calls: Option<(String, Vec<String>)>,
}

impl Recipes {
    pub(super) fn new(justfile: &str) -> Self {
        let mut recipes = BTreeMap::<String, Recipe>::new();
        let mut name = String::new();
        for line in justfile.lines().filter(|line| !line.contains(":=") && !line.starts_with(['#', '['])) {
            if let Some((program, words)) =
                line.trim_start().strip_prefix("{{ ").and_then(|call| call.split_once(" }}"))
            {
                let words =
                    words.split_whitespace().take_while(|word| !word.contains('$')).map(str::to_owned);
                if let Some(recipe) = recipes.get_mut(&name) {
                    recipe.calls.get_or_insert((program.to_owned(), words.collect()));
                }
            } else if let Some((head, _)) = line.split_once(':').filter(|_| !line.starts_with([' ', '@'])) {
                let mut words = head.split_whitespace();
                words.next().unwrap_or_default().clone_into(&mut name);
                let parameters: Vec<&str> = words.collect();
                let any = parameters.iter().any(|parameter| parameter.starts_with(['*', '+']));
                let arguments = (!any).then_some(parameters.len());
                recipes.insert(name.clone(), Recipe { arguments, calls: None });
            }
        }
        Self(recipes)
    }

    /// What a command calls of our programs, if it does. What starts it comes before: `srun`, `torchrun` with flags of its
    /// own.
    pub(super) fn call(&self, words: &[&str]) -> Result<Option<Call>, String> {
        let is_ours = |word: &str| ["just", "paper", "tokensieve"].contains(&word.trim_start_matches("./"));
        let Some(at) = words.iter().position(|word| is_ours(word)) else { return Ok(None) };
        let program = words[at].trim_start_matches("./").to_owned();
        let words = &words[at + 1..];
        if program != "just" {
            return Ok(Some(Call { program, words: words.iter().map(|&word| word.to_owned()).collect() }));
        }
        let Some((name, arguments)) = words.split_first().filter(|(name, _)| is_name(name)) else {
            return Ok(None);
        };
        let recipe = self.0.get(*name).ok_or_else(|| format!("the justfile has no recipe {name}"))?;
        if let Some(most) = recipe.arguments.filter(|most| arguments.len() > *most) {
            return Err(format!("just {name} takes {most} arguments, not {}", arguments.len()));
        }
        Ok(recipe.calls.clone().map(|(program, mut words)| {
            words.extend(arguments.iter().map(|&word| word.to_owned()));
            Call { program, words }
        }))
    }

    /// A `./just` that runs the programs as they are in the path, and compiles nothing.
    pub(super) fn script(&self) -> String {
        let mut script = "#!/bin/sh\nrecipe=$1\nshift\ncase $recipe in\n".to_owned();
        for (name, recipe) in &self.0 {
            if let Some((program, words)) = &recipe.calls {
                let _ = writeln!(script, "{name}) exec {program} {} \"$@\" ;;", words.join(" "));
            }
        }
        script + "*) echo \"no program of $recipe\" >&2; exit 1 ;;\nesac\n"
    }
}

/// Whether a word is a verb or a recipe, and no flag, `…` or PLACEHOLDER.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
}

/// A program and its help.
#[derive(Debug)]
pub struct Program {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    /// By verb; nothing of a verb that it does not have.
    help: Mutex<BTreeMap<Vec<String>, Option<String>>>,
}

impl Program {
    /// A program by the name that pages call it by.
    pub fn new(name: &'static str, path: impl Into<PathBuf>) -> Self {
        Self { name, path: path.into(), help: Mutex::default() }
    }

    fn help(&self, verb: &[String]) -> Option<String> {
        let mut kept = self.help.lock().expect("nothing panics there");
        let help = kept.entry(verb.to_owned()).or_insert_with(|| {
            let output = Command::new(&self.path).args(verb).arg("--help").output().expect("the program");
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        help.clone()
    }

    /// Whether it has the verb and the flags.
    pub(super) fn knows(&self, words: &[String]) -> Result<(), String> {
        let (mut verb, mut rest) = (Vec::new(), words);
        let no_verb = |verb: &[String]| format!("{} has no {}", self.name, verb.join(" "));
        let mut help = self.help(&verb).ok_or_else(|| no_verb(&verb))?;
        while let Some((next, after)) = rest.split_first()
            && is_name(next)
            && help.contains("\nCommands:")
        {
            verb.push(next.clone());
            help = self.help(&verb).ok_or_else(|| no_verb(&verb))?;
            rest = after;
        }
        let mut flags = rest.iter().map(|word| word.split('=').next().unwrap_or(word)).filter(|word| {
            let letters = word.trim_start_matches('-');
            (word.starts_with("--") || word.starts_with('-') && letters.len() == 1)
                && letters.starts_with(|c: char| c.is_ascii_alphabetic())
        });
        let is_known = |flag: &str| {
            help.split(|c: char| !(c == '-' || c.is_ascii_alphanumeric())).any(|word| word == flag)
        };
        match flags.find(|flag| !is_known(flag)) {
            Some(flag) if verb.is_empty() => Err(format!("{} has no {flag}", self.name)),
            Some(flag) => Err(format!("{} {} has no {flag}", self.name, verb.join(" "))),
            None => Ok(()),
        }
    }
}

/// A crate's folder, and the text of its manifest.
type Manifest = (PathBuf, String);

/// The repository's files and crates.
pub(super) struct Repository<'a> {
    root: &'a Path,
    /// What lies in its root.
    top: Vec<String>,
    /// Every crate's manifest.
    manifests: Vec<Manifest>,
}

impl<'a> Repository<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        let text = |path: &Path| fs::read_to_string(path).expect("a manifest");
        let workspace = text(&root.join("Cargo.toml"));
        let (_, members) = workspace.split_once("\nmembers = [").expect("a list of members");
        let members = members.split(']').next().unwrap_or_default();
        let manifests = members.split('"').skip(1).step_by(2).map(|member| {
            let folder = root.join(member);
            let manifest = text(&folder.join("Cargo.toml"));
            (folder, manifest)
        });
        let names = fs::read_dir(root).expect("the root").flatten().map(|entry| entry.file_name());
        let top =
            names.filter_map(|name| name.into_string().ok()).filter(|name| !MADE.contains(&name.as_str()));
        Self { root, top: top.collect(), manifests: manifests.collect() }
    }

    /// Whether it has the files of its own that a command names, and the crates and tests that cargo is to find.
    pub(super) fn has(&self, words: &[&str]) -> Result<(), String> {
        for word in words {
            // Of a pattern, the folder.
            let path = word.split('*').next().unwrap_or(word);
            let path =
                if path == *word { path } else { path.rsplit_once('/').map_or("", |(folder, _)| folder) };
            let first = path.split('/').next().unwrap_or_default();
            let is_own = word.contains('/') && self.top.iter().any(|name| name == first);
            if is_own && !self.root.join(path).exists() {
                return Err(format!("there is no {path}"));
            }
        }
        if !words.iter().any(|word| ["cargo", "just"].contains(&word.trim_start_matches("./"))) {
            return Ok(());
        }
        let after = |flag: &'static str| {
            words
                .windows(2)
                .filter(move |pair| pair[0] == flag)
                .map(|pair| (format!("name = \"{}\"", pair[1]), pair[1]))
        };
        let is_named = |(_, manifest): &&Manifest, named: &str| manifest.lines().any(|line| line == named);
        let mut crates: Vec<&Manifest> = Vec::new();
        for (named, name) in after("-p") {
            let found = self.manifests.iter().find(|manifest| is_named(manifest, &named));
            crates.push(found.ok_or_else(|| format!("there is no crate {name}"))?);
        }
        if crates.is_empty() {
            crates.extend(&self.manifests);
        }
        for (named, name) in after("--test").chain(after("--example")) {
            let has = |manifest: &&Manifest| {
                let test = manifest.0.join("tests").join(name);
                is_named(manifest, &named)
                    || test.with_extension("rs").exists()
                    || test.join("main.rs").exists()
            };
            if !crates.iter().any(has) {
                return Err(format!("there is no test or example {name}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Call, Program, Recipes, Repository, simple_commands};

    const JUSTFILE: &str = "p := \"x: y\"\n# Comment: text\n[group('a')]\nlab *arguments: _programs\n    \
        {{ paper }} lab \"$@\"\n\nreproduce profile=\"laptop\": _programs\n    {{ paper }} reproduce --profile \"$1\"\n    \
        {{ paper }} claims\n\ntokensieve *arguments: (setup \"x\")\n    {{ tokensieve }} \"$@\"\nlint: x\n    @scripts/lint\n";

    fn calls(line: &str) -> Result<Vec<(String, String)>, String> {
        let recipes = Recipes::new(JUSTFILE);
        let calls: Result<Vec<Option<Call>>, String> =
            simple_commands(line).iter().map(|words| recipes.call(words)).collect();
        Ok(calls?.into_iter().flatten().map(|call| (call.program, call.words.join(" "))).collect())
    }

    #[test]
    fn a_call_is_found_whatever_starts_the_program() {
        let call = |program: &str, words: &str| Ok(vec![(program.to_owned(), words.to_owned())]);
        assert_eq!(calls("X=1 taskset -c 0 tokensieve train a.toml --set a=b & # --x"), {
            call("tokensieve", "train a.toml --set a=b")
        });
        assert_eq!(calls("torchrun --nnodes 2 --no-python tokensieve train"), call("tokensieve", "train"));
        assert_eq!(calls("(cd ../a && ./just lab run --jobs 2)"), call("paper", "lab run --jobs 2"));
        assert_eq!(calls("just reproduce study"), call("paper", "reproduce --profile study"));
        assert_eq!(calls("./just tokensieve show 'a b'; cd x"), call("tokensieve", "show a b"));
        assert_eq!(calls("./just lint"), Ok(vec![]));
        assert_eq!(calls("./just --list"), Ok(vec![]));
        assert_eq!(calls("./just lunt"), Err("the justfile has no recipe lunt".to_owned()));
        assert_eq!(calls("./just lint a"), Err("just lint takes 0 arguments, not 1".to_owned()));
        assert!(
            Recipes::new(JUSTFILE)
                .script()
                .contains("\nreproduce) exec paper reproduce --profile \"$@\" ;;\n")
        );
    }

    #[test]
    fn files_crates_and_tests_are_looked_up() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b/c\"]\n");
        write("a/Cargo.toml", "[package]\nname = \"t-a\"\n");
        write("b/c/Cargo.toml", "[package]\nname = \"t-c\"\n[[example]]\nname = \"e\"\n");
        write("a/tests/docs.rs", "");
        let repository = Repository::new(root.path());
        let has = |line: &str| repository.has(&simple_commands(line)[0]);
        assert_eq!(has("cp a/tests/*.rs a/tests/docs.rs out/x gsm8k/test"), Ok(()));
        assert_eq!(has("sh a/tests/other.rs"), Err("there is no a/tests/other.rs".to_owned()));
        assert_eq!(has("mkdir -p x"), Ok(()));
        assert_eq!(has("./just test -p t-a -p t-c --test docs"), Ok(()));
        assert_eq!(has("cargo test -p t-c --test docs"), Err("there is no test or example docs".to_owned()));
        assert_eq!(has("cargo run -p t-c --example e"), Ok(()));
        assert_eq!(has("cargo run -p t-b"), Err("there is no crate t-b".to_owned()));
    }

    #[test]
    fn verbs_and_flags_are_looked_up_in_the_help() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paper");
        let script = "#!/bin/sh\ncase $* in\n--help) printf 'Usage\\n\\nCommands:\\n' ;;\n\
            'lab --help') printf 'x\\n\\nCommands:\\n' ;;\n'lab run --help') echo '  -n, --jobs <N>  text' ;;\n*) exit 2\nesac\n";
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let program = Program::new("paper", path);
        let knows = |line: &str| program.knows(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(knows("lab run --jobs=2 a-b -n 3 -p^10 x=--y"), Ok(()));
        assert_eq!(knows("VERB --other"), Err("paper has no --other".to_owned()));
        assert_eq!(knows("lab run --job 2"), Err("paper lab run has no --job".to_owned()));
        assert_eq!(knows("lab run -m 2"), Err("paper lab run has no -m".to_owned()));
        assert_eq!(knows("lab rum"), Err("paper has no lab rum".to_owned()));
        assert_eq!(knows("list"), Err("paper has no list".to_owned()));
    }
}
