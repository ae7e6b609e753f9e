//! Which of how many processes this one is, and where the others are found: from the environment.

use std::env;

use crate::error::Error;

/// Which of how many processes this one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Its number, counted from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// Its number among those of this machine.
    pub local_rank: usize,
    /// How many of them are on this machine, where the launcher says so.
    pub local_size: Option<usize>,
    /// Where the store is.
    pub address: String,
    /// The store's port.
    pub port: u16,
    /// Whether the launcher keeps the store; otherwise process 0 does.
    pub store_is_kept: bool,
    /// Which start of the same processes this is, where the launcher starts them again.
    pub attempt: String,
}

/// The size of the step: a batch script that srun did not start has a rank and a number of tasks too.
const SLURM_STEP: &str = "SLURM_STEP_NUM_TASKS";

/// Names of what launchers set: rank, size, local rank, local size.
const LAUNCHERS: [[&str; 4]; 4] = [
    ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"],
    ["SLURM_PROCID", SLURM_STEP, "SLURM_LOCALID", ""],
    [
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ],
    ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
];

/// torch's usual port.
const PORT: u16 = 29_500;

impl World {
    /// What torchrun, srun or mpirun said to this process; `None` if it is alone.
    pub fn from_environment() -> Result<Option<Self>, Error> {
        Self::from(|name| env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let number = |name: &str| -> Result<Option<usize>, Error> {
            let Some(text) = variable(name) else { return Ok(None) };
            let wrong = |_| wrong(name, format!("`{text}` is not a number of processes"));
            text.trim().parse().map(Some).map_err(wrong)
        };
        for [rank, size, local_rank, local_size] in LAUNCHERS {
            let Some(processes) = number(size)? else { continue };
            let Some(own) = number(rank)? else { continue };
            if processes < 2 && size == SLURM_STEP {
                // The shell of an interactive step, in which mpirun may start several.
                continue;
            }
            if processes < 2 {
                return Ok(None);
            }
            if own >= processes {
                return Err(wrong(rank, format!("is {own}, and {size} is {processes}: ranks count from 0")));
            }
            let local_size = number(local_size)?;
            let address = variable("MASTER_ADDR").filter(|address| !address.is_empty());
            let address = address.or_else(|| (local_size == Some(processes)).then(|| "127.0.0.1".to_owned()));
            let port = match variable("MASTER_PORT") {
                Some(text) => text
                    .trim()
                    .parse()
                    .map_err(|_| wrong("MASTER_PORT", format!("`{text}` is not a port")))?,
                None => PORT,
            };
            return Ok(Some(Self {
                rank: own,
                size: processes,
                local_rank: number(local_rank)?.unwrap_or(0),
                local_size,
                address: address.ok_or_else(|| {
                    let what = "is not set: where process 0 runs; with srun, for example $(scontrol show hostnames \
                                \"$SLURM_JOB_NODELIST\" | head -n 1)";
                    wrong("MASTER_ADDR", what.to_owned())
                })?,
                port,
                store_is_kept: variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True"),
                attempt: attempt(rank, &variable),
            }));
        }
        Ok(None)
    }
}

/// The launcher's name for this start of its processes; `rank` is the launcher's variable of the rank. Two launchers that run
/// on one machine find the same store at the usual port.
fn attempt(rank: &str, variable: &impl Fn(&str) -> Option<String>) -> String {
    let named = match rank {
        "RANK" => variable("TORCHELASTIC_RESTART_COUNT"),
        "SLURM_PROCID" => {
            variable("SLURM_JOB_ID").zip(variable("SLURM_STEP_ID")).map(|(job, step)| format!("{job}.{step}"))
        }
        "OMPI_COMM_WORLD_RANK" => variable("PMIX_NAMESPACE"),
        _ => None,
    };
    named.unwrap_or_default()
}

fn wrong(variable: &str, what: String) -> Error {
    Error::Environment { variable: variable.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(variables: &[(&str, &str)]) -> Result<Option<World>, String> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        World::from(find).map_err(|error| error.to_string())
    }

    #[test]
    fn every_launcher_is_understood() {
        assert_eq!(world(&[]), Ok(None));
        assert_eq!(world(&[("RANK", "0"), ("WORLD_SIZE", "1")]), Ok(None));
        let torchrun = [
            ("RANK", "5"),
            ("WORLD_SIZE", "8"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "4"),
            ("MASTER_ADDR", "node0"),
            ("MASTER_PORT", "1234"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
        ];
        let expected = World {
            rank: 5,
            size: 8,
            local_rank: 1,
            local_size: Some(4),
            address: "node0".to_owned(),
            port: 1234,
            store_is_kept: true,
            attempt: "2".to_owned(),
        };
        assert_eq!(world(&torchrun), Ok(Some(expected)));
        let slurm =
            [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2"), ("SLURM_LOCALID", "0"), ("MASTER_ADDR", "a")];
        assert_eq!(world(&slurm), Ok(None), "a batch script is not a step");
        let step = [&slurm[..], &[("SLURM_STEP_NUM_TASKS", "2")]].concat();
        let found = world(&step).unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.port, found.local_size), (1, 2, PORT, None));
        // Of two steps on one machine each finds its own processes.
        let attempts = ["0", "1"].map(|id| {
            let named = [&step[..], &[("SLURM_JOB_ID", "7"), ("SLURM_STEP_ID", id)]].concat();
            world(&named).unwrap().unwrap().attempt
        });
        assert_eq!(attempts, ["7.0", "7.1"]);
        // Ranks by hand, a step for each: all of them find each other.
        let attempts = ["0", "1"].map(|id| {
            let variables = [
                ("RANK", id),
                ("WORLD_SIZE", "2"),
                ("MASTER_ADDR", "a"),
                ("SLURM_JOB_ID", "7"),
                ("SLURM_STEP_ID", id),
            ];
            world(&variables).unwrap().unwrap().attempt
        });
        assert_eq!(attempts, ["", ""]);
        let mpi = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ];
        let shell = [("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_LOCALID", "0")];
        assert_eq!(world(&shell), Ok(None));
        for mpi in [&mpi[..], &[&shell[..], &mpi].concat()] {
            let found = world(mpi).unwrap().unwrap();
            assert_eq!((found.rank, found.local_rank, found.address.as_str()), (1, 1, "127.0.0.1"));
        }
    }

    #[test]
    fn what_is_impossible_names_its_variable() {
        for (variables, complaint) in [
            (
                vec![("RANK", "2"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")],
                "RANK: is 2, and WORLD_SIZE is 2",
            ),
            (vec![("RANK", "0"), ("WORLD_SIZE", "two")], "WORLD_SIZE: `two`"),
            (vec![("RANK", "0"), ("WORLD_SIZE", "2")], "MASTER_ADDR: is not set"),
            (vec![("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_PORT", "x")], "MASTER_PORT: `x`"),
        ] {
            let error = world(&variables).unwrap_err();
            assert!(error.starts_with(complaint), "{error}");
        }
    }
}
