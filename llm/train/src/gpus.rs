//! Connects the GPUs of a run's processes by NCCL, where each has one of its own.

use std::env;
use std::time::Duration;

use tch::Device;
use tokensieve_kernels::nccl::{self, Communicator, Id, Unconnected};
use tokensieve_model::{Error, Result};
use tokensieve_processes::Group;

/// `off` leaves sums to the processors' memory.
const VARIABLE: &str = "TOKENSIEVE_NCCL";

/// For all GPUs to find each other (choice).
const PATIENCE: Duration = Duration::from_secs(120);

/// GPUs that are connected, or why gradients go through the processors' memory instead.
type Outcome<T = &'static Communicator> = Result<T, String>;

/// Connects the GPUs of all processes, which make this call together, for gradients of so many `numbers`. All GPUs are
/// connected or none is; `None` where this process computes on a CPU.
pub(crate) fn connect(group: &Group, device: Device, numbers: usize) -> Result<Option<Outcome>> {
    let off = is_off(env::var(VARIABLE).ok().as_deref())?;
    let own = match device {
        Device::Cuda(_) if off => Err(format!("{VARIABLE} is off")),
        Device::Cuda(index) => nccl::place(index),
        _ => Err("computes on a CPU".to_owned()),
    };
    let places = share(group, own)?;
    let Device::Cuda(index) = device else { return Ok(None) };
    let place = [group.rank(), group.size()];
    match places.and_then(|places| distinct(&places)) {
        Ok(()) => {
            let join = |id: &Id| Communicator::join(index, id, place, numbers, PATIENCE);
            together(group, nccl::new_id, join).map(Some)
        }
        Err(why) => Ok(Some(Err(why))),
    }
}

fn is_off(value: Option<&str>) -> Result<bool> {
    match value {
        None | Some("") => Ok(false),
        Some("off") => Ok(true),
        Some(other) => Err(Error::Run(format!("{VARIABLE} is `{other}`; it may be `off`"))),
    }
}

/// All processes join with one id, or none does.
fn together<T>(
    group: &Group,
    new_id: impl FnOnce() -> Result<Id, String>,
    join: impl FnOnce(&Id) -> Result<T, Unconnected>,
) -> Result<Outcome<T>> {
    let own = if group.rank() == 0 { new_id().map(Vec::from) } else { Ok(Vec::new()) };
    let id = match share(group, own)? {
        Ok(mut ids) => ids.swap_remove(0),
        Err(why) => return Ok(Err(why)),
    };
    let id = Id::try_from(id).map_err(|_| Error::Run("process 0 sent an id of another length".to_owned()))?;
    let own = match join(&id) {
        Err(Unconnected { why, stuck: true }) => {
            return Err(Error::Run(format!(
                "{why}, and NCCL still occupies the GPU; {VARIABLE}=off avoids it"
            )));
        }
        outcome => outcome.map_err(|unconnected| unconnected.why),
    };
    let all = share(group, own.as_ref().map(|_| Vec::new()).map_err(Clone::clone))?;
    Ok(all.and(own))
}

/// What every process has, by rank; or why those that have nothing have nothing.
fn share(group: &Group, own: Result<impl Into<Vec<u8>>, String>) -> Result<Result<Vec<Vec<u8>>, String>> {
    let mut bytes = vec![u8::from(own.is_ok())];
    bytes.extend(own.map_or_else(String::into_bytes, Into::into));
    let (mut found, mut lacking) = (Vec::new(), Vec::new());
    for (rank, bytes) in group.gather(&bytes).map_err(Error::other)?.into_iter().enumerate() {
        let (there, rest) = bytes.split_first().map_or((&0, &[][..]), |both| both);
        if *there == 1 {
            found.push(rest.to_vec());
        } else {
            lacking.push(format!("process {rank}: {}", String::from_utf8_lossy(rest)));
        }
    }
    Ok(if lacking.is_empty() { Ok(found) } else { Err(lacking.join("; ")) })
}

/// NCCL takes one process for each GPU.
fn distinct(places: &[Vec<u8>]) -> Result<(), String> {
    for (rank, place) in places.iter().enumerate() {
        if let Some(first) = places[..rank].iter().position(|earlier| earlier == place) {
            return Err(format!("processes {first} and {rank} share a GPU"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use tokensieve_processes::{Store, Timing, World};

    use super::*;

    /// Runs `body` in each of two processes, which are threads here.
    fn two<T: Send>(body: impl Fn(&Group) -> T + Sync) -> Vec<T> {
        let store = Store::keep("127.0.0.1", 0, Duration::from_secs(20)).unwrap();
        let (port, mut kept) = (store.port(), Some(store));
        thread::scope(|scope| {
            let started: Vec<_> = (0..2)
                .map(|rank| {
                    let (kept, body) = (kept.take(), &body);
                    let world = World {
                        rank,
                        size: 2,
                        local_rank: rank,
                        local_size: Some(2),
                        address: "127.0.0.1".to_owned(),
                        port,
                        store_is_kept: false,
                        attempt: String::new(),
                    };
                    scope.spawn(move || {
                        let group = Group::join(&world, kept, Timing::default(), |_| {}).unwrap();
                        (body(&group), group)
                    })
                })
                .collect();
            let ended: Vec<_> = started.into_iter().map(|thread| thread.join().unwrap()).collect();
            ended.into_iter().map(|(found, _group)| found).collect()
        })
    }

    #[test]
    fn all_have_what_each_has_or_the_reasons_of_those_that_have_nothing() {
        let found = two(|group| share(group, Ok::<_, String>(vec![group.rank() as u8; 3])).unwrap());
        assert_eq!(found, [Ok(vec![vec![0; 3], vec![1; 3]]), Ok(vec![vec![0; 3], vec![1; 3]])]);
        let found = two(|group| {
            let own = if group.rank() == 1 { Err("no NCCL".to_owned()) } else { Ok("here") };
            share(group, own).unwrap()
        });
        assert_eq!(found, [Err("process 1: no NCCL".to_owned()), Err("process 1: no NCCL".to_owned())]);
        let found = two(|group| share(group, Err::<String, _>(group.rank().to_string())).unwrap());
        assert_eq!(found[0], Err("process 0: 0; process 1: 1".to_owned()));
    }

    #[test]
    fn all_join_with_the_id_of_the_first_or_none_does() {
        let id = |group: &Group| Ok([7 + group.rank() as u8; 128]);
        let found = two(|group| together(group, || id(group), |id| Ok(id[0])).unwrap());
        assert_eq!(found, [Ok(7), Ok(7)]);
        let found = two(|group| together(group, || Err("no NCCL".to_owned()), |_| Ok(())).unwrap());
        assert_eq!(found, [Err("process 0: no NCCL".to_owned()), Err("process 0: no NCCL".to_owned())]);
        let found = two(|group| {
            let join = |_: &Id| {
                if group.rank() == 0 { Ok(()) } else { Err(Unconnected::from("unhandled error".to_owned())) }
            };
            together(group, || id(group), join).unwrap()
        });
        let why = "process 1: unhandled error".to_owned();
        assert_eq!(found, [Err(why.clone()), Err(why)]);
    }

    /// The others learn it as the loss of the process.
    #[test]
    fn a_process_whose_gpu_stays_occupied_cannot_go_on() {
        let found = two(|group| {
            let stuck = |_: &Id| {
                if group.rank() == 0 {
                    return Ok(());
                }
                Err(Unconnected { why: "NCCL's trial sum did not come in time".to_owned(), stuck: true })
            };
            let outcome = together(group, || Ok([0; 128]), stuck).map_err(|error| error.to_string());
            if let Err(why) = &outcome {
                group.fail(why);
            }
            outcome
        });
        let why = "NCCL's trial sum did not come in time, and NCCL still occupies the GPU; TOKENSIEVE_NCCL=off avoids it";
        assert_eq!(found[1], Err(why.to_owned()));
        assert!(found[0].as_ref().unwrap_err().contains(why), "{found:?}");
    }

    /// Where one process computes on a CPU, the other one learns it and goes on.
    #[test]
    fn processors_are_not_connected() {
        let device = |group: &Group| if group.rank() == 0 { Device::Cpu } else { Device::Cuda(0) };
        let found = two(|group| connect(group, device(group), 8).unwrap().map(|outcome| outcome.map(|_| ())));
        let Some(Err(why)) = &found[1] else { panic!("{found:?}") };
        assert_eq!(found[0], None);
        assert!(why.starts_with("process 0: computes on a CPU"), "{why}");
    }

    #[test]
    fn two_processes_on_one_gpu_are_named() {
        let places =
            ["a/0000:0f:00.0", "b/0000:0f:00.0", "a/0000:0f:00.0"].map(|place| place.as_bytes().to_vec());
        assert_eq!(distinct(&places[..2]), Ok(()));
        assert_eq!(distinct(&places), Err("processes 0 and 2 share a GPU".to_owned()));
    }

    #[test]
    fn only_off_is_off() {
        assert!(!is_off(None).unwrap() && !is_off(Some("")).unwrap() && is_off(Some("off")).unwrap());
        let error = is_off(Some("0")).unwrap_err().to_string();
        assert_eq!(error, "TOKENSIEVE_NCCL is `0`; it may be `off`");
    }
}
