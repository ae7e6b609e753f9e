//! Where a table comes from: the file that lies beside it.

use serde::{Deserialize, Serialize};
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
    /// Threads used.
    pub threads: usize,
    /// Architecture and operating system.
    pub platform: String,
}

impl Host {
    /// This machine.
    pub fn here() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        Self {
            cpu: cpu.unwrap_or_else(|| "unknown".into()),
            threads: rayon::current_num_threads(),
            platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }
}

/// Now, to the second, UTC.
pub fn now() -> String {
    Moment::now().strftime("%FT%TZ")
}
