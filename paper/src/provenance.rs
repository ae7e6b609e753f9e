//! Where a table comes from: the file that lies beside it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tokensieve_base::clock::Moment;

/// Everything needed to make a table again, and the machine that made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The figure's id.
    pub figure: String,
    /// Size of the protocol.
    pub profile: String,
    /// Version of this program.
    pub version: String,
    /// Commit of the checkout, with `-dirty` when files differed from it.
    pub commit: String,
    /// Hash of the sources that compute.
    pub code_sha256: String,
    /// Hash of the configurations of all units.
    pub config_sha256: String,
    /// Configuration of every unit, by its name.
    pub units: Vec<Unit>,
    /// Data sets that were read.
    pub data: Vec<DataSet>,
    /// Hash of the table's CSV text.
    pub table_sha256: String,
    /// When the table was assembled (UTC).
    pub date: String,
    /// Computing time of all units when they were computed, cached ones included.
    pub seconds: f64,
    /// The machine.
    pub host: Host,
}

/// One cached unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Name.
    pub name: String,
    /// Configuration, seeds included.
    pub config: serde_json::Value,
    /// Time it took when it was computed.
    pub seconds: f64,
    /// Where results that the repository keeps are from; this checkout and machine otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptOrigin>,
}

/// Where results that the repository keeps are from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOrigin {
    /// Commits, in alphabetical order.
    pub commits: BTreeSet<String>,
    /// Processors, as far as they are known.
    pub processors: BTreeSet<String>,
}

impl Provenance {
    /// What replaced data sets that could not be obtained, as a sentence for titles.
    pub fn replacement(&self) -> Option<String> {
        let replaced: Vec<String> = self
            .data
            .iter()
            .filter_map(|data| Some(format!("{} instead of {}", data.replaced_by.as_ref()?, data.name)))
            .collect();
        (!replaced.is_empty()).then(|| format!("Drawn on {}", replaced.join(", ")))
    }

    /// The commit that computed: the checkout's, or those of kept results, which are many.
    pub fn computed_by(&self) -> String {
        let commits: BTreeSet<&String> = self.kept().flat_map(|kept| &kept.commits).collect();
        match commits.len() {
            0 => self.commit.clone(),
            1 => commits.into_iter().cloned().collect(),
            many => format!("{many} commits (units in {}.json)", self.figure),
        }
    }

    /// The machine that computed, or the processors of kept results.
    pub fn computed_on(&self) -> String {
        if self.kept().next().is_none() {
            return self.host.cpu.clone();
        }
        let known: BTreeSet<&str> =
            self.kept().flat_map(|kept| &kept.processors).map(String::as_str).collect();
        if known.is_empty() {
            "not known".into()
        } else {
            known.into_iter().collect::<Vec<_>>().join(" and ")
        }
    }

    fn kept(&self) -> impl Iterator<Item = &KeptOrigin> {
        self.units.iter().filter_map(|unit| unit.kept.as_ref())
    }
}

/// A commit as people read it: its first twelve characters, and whether files differed from it.
pub fn short(commit: &str) -> String {
    match commit.strip_suffix("-dirty") {
        Some(commit) => format!("{} with local changes", short(commit)),
        // A hash, and no sentence that is as long.
        None if commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            commit.chars().take(12).collect()
        }
        None => commit.to_owned(),
    }
}

/// One data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSet {
    /// Name that the figure asked for.
    pub name: String,
    /// Hash of its files' contents.
    pub sha256: String,
    /// Licence.
    pub licence: String,
    /// What replaced it, if it could not be obtained.
    pub replaced_by: Option<String>,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Processor.
    pub cpu: String,
    /// The GPU that computed, if one did, as the program names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Threads used.
    pub threads: usize,
    /// Architecture and operating system.
    pub platform: String,
}

impl Host {
    /// This machine.
    pub fn here() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            cpu: processor(&cpuinfo),
            device: None,
            threads: rayon::current_num_threads(),
            platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }

    /// What computed: the processor, or a GPU beside it.
    pub fn computed_on(&self) -> String {
        match &self.device {
            Some(_) => format!("a GPU beside {}", self.cpu),
            None => self.cpu.clone(),
        }
    }
}

/// The processor, by its name and, as some names fit several generations, the numbers of its family and model.
fn processor(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        fields
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let name = field("model name").unwrap_or("unknown");
    match field("cpu family").zip(field("model")) {
        Some((family, model)) => format!("{name} (family {family}, model {model})"),
        None => name.to_owned(),
    }
}

/// Now, to the second, UTC.
pub fn now() -> String {
    Moment::now().timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_shortened_and_a_sentence_of_its_length_is_not() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(short(hash), "0123456789ab");
        assert_eq!(short(&format!("{hash}-dirty")), "0123456789ab with local changes");
        let sentence = "43 commits (units in oracle-growth.json)";
        assert_eq!((sentence.len(), short(sentence).as_str()), (hash.len(), sentence));
    }

    #[test]
    fn a_processor_is_named_with_its_generation() {
        let cpuinfo = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel\t: 3\n";
        assert_eq!(processor(cpuinfo), "AMD EPYC (family 26, model 2)");
        assert_eq!(processor("model name : a: b\n"), "a: b");
        assert_eq!(processor("BogoMIPS : 50\n"), "unknown");
    }
}
