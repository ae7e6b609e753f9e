//! NCCL's functions in the processor's memory, between threads that stand for processes.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex};

use tch::Device;

use super::*;

/// What the threads of one id have brought: by rank, where their numbers are.
#[derive(Default)]
struct Meeting {
    joined: usize,
    vectors: HashMap<usize, usize>,
    /// How many sums are done.
    sums: usize,
}

static MEETINGS: Mutex<Option<HashMap<Id, Meeting>>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// How often this thread's stream is not ready yet.
    static BUSY: Cell<usize> = const { Cell::new(0) };
    /// What went wrong after a call had returned.
    static LATER: Cell<Status> = const { Cell::new(0) };
    static ABORTED: Cell<bool> = const { Cell::new(false) };
}

struct Fake {
    id: Id,
    rank: usize,
    size: usize,
}

/// Changes a meeting, and waits until it is as wanted.
fn meet(id: Id, change: impl FnOnce(&mut Meeting), wanted: impl Fn(&Meeting) -> bool) {
    let mut meetings = MEETINGS.lock().unwrap();
    change(meetings.get_or_insert_default().entry(id).or_default());
    CHANGED.notify_all();
    while !wanted(&meetings.as_ref().unwrap()[&id]) {
        meetings = CHANGED.wait(meetings).unwrap();
    }
}

unsafe extern "C" fn join(into: *mut Handle, size: c_int, id: IdValue, rank: c_int) -> Status {
    let (size, rank) = (size as usize, rank as usize);
    if rank >= size {
        return 4;
    }
    meet(id.0, |meeting| meeting.joined += 1, |meeting| meeting.joined == size);
    // SAFETY: the caller's handle.
    unsafe { *into = Box::into_raw(Box::new(Fake { id: id.0, rank, size })).cast() };
    0
}

unsafe extern "C" fn all_reduce(
    send: *const c_void,
    receive: *mut c_void,
    count: usize,
    kind: c_int,
    operation: c_int,
    communicator: Handle,
    _: Handle,
) -> Status {
    assert_eq!((send, kind, operation), (receive.cast_const(), 7, 0));
    // SAFETY: made by `join`.
    let fake = unsafe { &*communicator.cast::<Fake>() };
    // The last one adds up, while all others wait.
    let own = Cell::new(0);
    let add_up = |meeting: &mut Meeting| {
        own.set(meeting.sums);
        meeting.vectors.insert(fake.rank, receive as usize);
        if meeting.vectors.len() < fake.size {
            return;
        }
        for i in 0..count {
            // SAFETY: every vector has so many numbers, and its owner waits.
            let number = |rank: usize| unsafe { (meeting.vectors[&rank] as *mut f32).add(i) };
            // SAFETY: as above.
            let sum: f32 = (0..fake.size).map(|rank| unsafe { *number(rank) }).sum();
            // SAFETY: as above.
            (0..fake.size).for_each(|rank| unsafe { *number(rank) = sum });
        }
        meeting.vectors.clear();
        meeting.sums += 1;
    };
    meet(fake.id, add_up, |meeting| meeting.sums > own.get());
    0
}

unsafe extern "C" fn refuse(
    _: *const c_void,
    _: *mut c_void,
    _: usize,
    _: c_int,
    _: c_int,
    _: Handle,
    _: Handle,
) -> Status {
    5
}

unsafe extern "C" fn accept(
    _: *const c_void,
    _: *mut c_void,
    _: usize,
    _: c_int,
    _: c_int,
    _: Handle,
    _: Handle,
) -> Status {
    0
}

unsafe extern "C" fn new_id(_: *mut IdValue) -> Status {
    0
}

unsafe extern "C" fn later_error(_: Handle, into: *mut Status) -> Status {
    // SAFETY: the caller's status.
    unsafe { *into = LATER.get() };
    0
}

unsafe extern "C" fn abort(_: Handle) -> Status {
    ABORTED.set(true);
    0
}

unsafe extern "C" fn message(status: Status) -> *const c_char {
    let text = if status == 5 { c"invalid usage" } else { c"remote process exited" };
    text.as_ptr()
}

unsafe extern "C" fn query(_: Handle) -> Status {
    if BUSY.get() == 0 {
        return 0;
    }
    BUSY.set(BUSY.get() - 1);
    NOT_READY
}

const FAKES: Functions = Functions { new_id, join, all_reduce, later_error, abort, message };

fn communicator(functions: Functions, id: u8, place: [usize; 2]) -> Result<&'static Communicator, String> {
    Communicator::joined(functions, None, query, &[id; 128], place, Duration::from_secs(20))
}

#[test]
fn every_process_has_the_sum() {
    let found: Vec<Tensor> = thread::scope(|scope| {
        let started: Vec<_> = (0..3)
            .map(|rank| {
                scope.spawn(move || {
                    let communicator = communicator(FAKES, 1, [rank, 3]).unwrap();
                    let values = Tensor::arange(1000, (Kind::Float, Device::Cpu)) * (rank as f64 + 1.0);
                    for _ in 0..2 {
                        BUSY.set(rank);
                        assert_eq!(communicator.all_reduce_sum(&values, || None::<()>), Ok(None));
                        assert_eq!(BUSY.get(), 0);
                    }
                    assert!(!ABORTED.get());
                    values
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // (1 + 2 + 3) i, and then three times that.
    let expected = Tensor::arange(1000, (Kind::Float, Device::Cpu)) * 18.0;
    assert!(found.iter().all(|sums| *sums == expected));
}

#[test]
fn what_ends_a_sum_is_told_and_frees_the_gpu() {
    let values = Tensor::zeros([4], (Kind::Float, Device::Cpu));
    let refused = communicator(Functions { all_reduce: refuse, ..FAKES }, 2, [0, 1]).unwrap();
    let error = refused.all_reduce_sum(&values, || None::<()>).unwrap_err();
    assert_eq!(error, "ncclAllReduce: invalid usage");
    assert!(ABORTED.replace(false));

    let waiting = communicator(Functions { all_reduce: accept, ..FAKES }, 3, [0, 1]).unwrap();
    BUSY.set(usize::MAX);
    assert_eq!(waiting.all_reduce_sum(&values, || Some("process 1 is lost")), Ok(Some("process 1 is lost")));
    assert!(ABORTED.replace(false));
    LATER.set(IN_PROGRESS);
    assert_eq!(waiting.all_reduce_sum(&values, || Some(1)), Ok(Some(1)));
    LATER.set(6);
    let error = waiting.all_reduce_sum(&values, || None::<()>).unwrap_err();
    assert_eq!(error, "ncclAllReduce: remote process exited");
    assert!(ABORTED.get());
}

#[test]
fn who_is_not_joined_says_so() {
    let alone = Communicator::joined(FAKES, None, query, &[4; 128], [0, 2], Duration::from_millis(20));
    let error = alone.unwrap_err();
    assert_eq!(error, "ncclCommInitRank: the GPUs did not find each other within 20ms");
    let error = communicator(FAKES, 5, [2, 2]).unwrap_err();
    assert_eq!(error, "ncclCommInitRank: remote process exited");
}
