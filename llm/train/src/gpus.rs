//! Connects the GPUs of a run's processes by NCCL, where each has one of its own.

use std::env;
use std::time::Duration;

use tch::Device;
use tokensieve_kernels::nccl::{self, Communicator};
use tokensieve_model::Error;
use tokensieve_processes::Group;

/// `off` leaves sums to the processors' memory.
const VARIABLE: &str = "TOKENSIEVE_NCCL";

/// For all GPUs to find each other (choice).
const PATIENCE: Duration = Duration::from_secs(120);

/// GPUs that are connected, or why gradients go through the processors' memory instead.
type Outcome = Result<&'static Communicator, String>;

/// Connects the GPUs of all processes, which make this call together and have the same outcome: `None` on CPUs.
pub(crate) fn connect(group: &Group, device: Device) -> tokensieve_model::Result<Option<Outcome>> {
    let off = env::var_os(VARIABLE).is_some_and(|value| value == "off");
    let own = match device {
        Device::Cuda(_) if off => Err(format!("{VARIABLE} is off")),
        Device::Cuda(index) => nccl::place(index),
        _ => Err("computes on a CPU".to_owned()),
    };
    let places = share(group, own)?;
    let Device::Cuda(index) = device else { return Ok(None) };
    match places.and_then(|places| distinct(&places)) {
        Ok(()) => join(group, index).map(Some),
        Err(why) => Ok(Some(Err(why))),
    }
}

/// All processes are connected, or none is.
fn join(group: &Group, index: usize) -> tokensieve_model::Result<Outcome> {
    let own = if group.rank() == 0 { nccl::new_id().map(Vec::from) } else { Ok(Vec::new()) };
    let id = match share(group, own)? {
        Ok(mut ids) => ids.swap_remove(0),
        Err(why) => return Ok(Err(why)),
    };
    let own = nccl::Id::try_from(id)
        .map_err(|_| "process 0 has another NCCL".to_owned())
        .and_then(|id| Communicator::join(index, &id, group.rank(), group.size(), PATIENCE));
    let all = share(group, own.as_ref().map(|_| Vec::new()).map_err(Clone::clone))?;
    Ok(all.and(own))
}

/// What every process has, by rank; or why the first one that has nothing has nothing.
fn share(
    group: &Group,
    own: Result<impl Into<Vec<u8>>, String>,
) -> tokensieve_model::Result<Result<Vec<Vec<u8>>, String>> {
    let mut bytes = vec![u8::from(own.is_ok())];
    bytes.extend(own.map_or_else(String::into_bytes, Into::into));
    let all = group.gather(&bytes).map_err(Error::other)?;
    let each = all.into_iter().enumerate().map(|(rank, bytes)| match bytes.split_first() {
        Some((1, bytes)) => Ok(bytes.to_vec()),
        said => {
            let why = said.map_or(&[][..], |(_, why)| why);
            Err(format!("process {rank}: {}", String::from_utf8_lossy(why)))
        }
    });
    Ok(each.collect())
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
    fn all_have_what_each_has_or_the_reason_of_the_first_that_has_nothing() {
        let found = two(|group| share(group, Ok::<_, String>(vec![group.rank() as u8; 3])).unwrap());
        assert_eq!(found, [Ok(vec![vec![0; 3], vec![1; 3]]), Ok(vec![vec![0; 3], vec![1; 3]])]);
        let own = |group: &Group| if group.rank() == 1 { Err("no NCCL".to_owned()) } else { Ok("here") };
        let found = two(|group| share(group, own(group)).unwrap());
        assert_eq!(found, [Err("process 1: no NCCL".to_owned()), Err("process 1: no NCCL".to_owned())]);
    }

    /// Where one process computes on a CPU, the other one learns it and goes on.
    #[test]
    fn processors_are_not_connected() {
        let device = |group: &Group| if group.rank() == 0 { Device::Cpu } else { Device::Cuda(0) };
        let found = two(|group| connect(group, device(group)).unwrap().map(|outcome| outcome.map(|_| ())));
        assert_eq!(found, [None, Some(Err("process 0: computes on a CPU".to_owned()))]);
    }

    #[test]
    fn two_processes_on_one_gpu_are_named() {
        let places =
            ["a/0000:0f:00.0", "b/0000:0f:00.0", "a/0000:0f:00.0"].map(|place| place.as_bytes().to_vec());
        assert_eq!(distinct(&places[..2]), Ok(()));
        assert_eq!(distinct(&places), Err("processes 0 and 2 share a GPU".to_owned()));
    }
}
