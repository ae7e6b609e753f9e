//! NCCL's functions in the processor's memory, between threads that stand for processes.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Condvar;

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

/// What becomes of a communicator's sums.
#[derive(Clone, Copy)]
enum Fate {
    Done,
    /// The first number is wrong.
    Wrong,
    Refused,
    Pending,
}

/// Ids of communicators whose trial sum fails.
const REFUSED: u8 = 7;
const WRONG: u8 = 8;

thread_local! {
    /// How often this thread's stream is not ready yet.
    static BUSY: Cell<usize> = const { Cell::new(0) };
    /// What went wrong after a call had returned.
    static LATER: Cell<Status> = const { Cell::new(0) };
}

struct Fake {
    id: Id,
    rank: usize,
    size: usize,
    fate: Mutex<Fate>,
    aborted: AtomicBool,
}

impl Fake {
    fn becomes(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }
}

/// How long threads wait for each other, on an emulated processor that is busy too; then a test has failed.
const LATE: Duration = Duration::from_secs(120);

/// Changes a meeting, and waits until it is as wanted.
fn meet(id: Id, change: impl FnOnce(&mut Meeting), wanted: impl Fn(&Meeting) -> bool) {
    let mut meetings = MEETINGS.lock().unwrap();
    change(meetings.get_or_insert_default().entry(id).or_default());
    CHANGED.notify_all();
    while !wanted(&meetings.as_ref().unwrap()[&id]) {
        let (woken, waited) = CHANGED.wait_timeout(meetings, LATE).unwrap();
        assert!(!waited.timed_out(), "the others do not come");
        meetings = woken;
    }
}

unsafe extern "C" fn join(into: *mut Handle, size: c_int, id: IdValue, rank: c_int) -> Status {
    let (size, rank) = (size as usize, rank as usize);
    if rank >= size {
        return 4;
    }
    meet(id.0, |meeting| meeting.joined += 1, |meeting| meeting.joined == size);
    let fate = Mutex::new(match id.0[0] {
        REFUSED => Fate::Refused,
        WRONG => Fate::Wrong,
        _ => Fate::Done,
    });
    let fake = Box::new(Fake { id: id.0, rank, size, fate, aborted: AtomicBool::new(false) });
    // SAFETY: the caller's handle.
    unsafe { *into = Box::into_raw(fake).cast() };
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
    match *fake.fate.lock().unwrap() {
        Fate::Done => {}
        // SAFETY: the caller's numbers.
        Fate::Wrong => unsafe { receive.cast::<f32>().write(0.0) },
        Fate::Refused => return 5,
        Fate::Pending => return 0,
    }
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

unsafe extern "C" fn new_id(_: *mut IdValue) -> Status {
    0
}

unsafe extern "C" fn later_error(_: Handle, into: *mut Status) -> Status {
    // SAFETY: the caller's status.
    unsafe { *into = LATER.get() };
    0
}

unsafe extern "C" fn abort(communicator: Handle) -> Status {
    // SAFETY: made by `join`, and never freed.
    unsafe { &*communicator.cast::<Fake>() }.aborted.store(true, Ordering::SeqCst);
    0
}

unsafe extern "C" fn message(status: Status) -> *const c_char {
    let text = match status {
        4 => c"invalid argument",
        5 => c"invalid usage",
        _ => c"remote process exited",
    };
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

fn communicator(id: u8, place: [usize; 2], patience: Duration) -> Result<&'static Communicator, Unconnected> {
    let own = Communicator {
        functions: FAKES,
        connected: Mutex::new(None),
        stuck: AtomicBool::new(false),
        device: Device::Cpu,
        gpu: None,
        query,
    };
    own.joined(&[id; 128], place, 1000, patience)
}

/// A process alone, and what stands for NCCL's part of it.
fn alone(id: u8) -> (&'static Communicator, &'static Fake) {
    let own = communicator(id, [0, 1], LATE).unwrap();
    let handle = own.connected.lock().unwrap().as_ref().unwrap().0;
    // SAFETY: made by `join`, and never freed.
    (own, unsafe { &*handle.cast::<Fake>() })
}

fn numbers() -> Tensor {
    Tensor::arange(1000, (Kind::Float, Device::Cpu))
}

#[test]
fn every_process_has_the_sum() {
    let found: Vec<Tensor> = thread::scope(|scope| {
        let started: Vec<_> = (0..3)
            .map(|rank| {
                scope.spawn(move || {
                    let own = communicator(1, [rank, 3], LATE).unwrap();
                    let values = numbers() * (rank as f64 + 1.0);
                    for _ in 0..2 {
                        BUSY.set(rank);
                        assert_eq!(own.all_reduce_sum(&values, || None::<()>), Ok(None));
                        assert_eq!(BUSY.get(), 0);
                    }
                    values
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // (1 + 2 + 3) i, and then three times that.
    assert!(found.iter().all(|sums| *sums == numbers() * 18.0));
}

#[test]
fn what_ends_a_sum_is_told_and_frees_the_gpu() {
    let given_up = |own: &Communicator, fake: &Fake| {
        assert!(fake.aborted.load(Ordering::SeqCst));
        fake.becomes(Fate::Done);
        let error = own.all_reduce_sum(&numbers(), || None::<()>).unwrap_err();
        assert_eq!(error, "the connections between the GPUs were given up");
    };
    let (own, fake) = alone(2);
    fake.becomes(Fate::Refused);
    let error = own.all_reduce_sum(&numbers(), || None::<()>).unwrap_err();
    assert_eq!(error, "ncclAllReduce: invalid usage");
    given_up(own, fake);

    let (own, fake) = alone(3);
    fake.becomes(Fate::Pending);
    BUSY.set(usize::MAX);
    LATER.set(IN_PROGRESS);
    let lost = own.all_reduce_sum(&numbers(), || Some("process 1 is lost"));
    assert_eq!(lost, Ok(Some("process 1 is lost")));
    given_up(own, fake);

    let (own, fake) = alone(4);
    fake.becomes(Fate::Pending);
    LATER.set(6);
    let error = own.all_reduce_sum(&numbers(), || None::<()>).unwrap_err();
    assert_eq!(error, "ncclAllReduce: remote process exited");
    given_up(own, fake);
}

#[test]
fn who_is_not_connected_says_why() {
    let why = |id: u8, place: [usize; 2], patience: Duration| communicator(id, place, patience).unwrap_err();
    let unconnected = |why: &str| Unconnected { why: why.to_owned(), stuck: false };
    assert_eq!(
        why(5, [0, 2], Duration::from_millis(20)),
        unconnected("ncclCommInitRank did not end within 20ms")
    );
    assert_eq!(why(6, [2, 2], LATE), unconnected("ncclCommInitRank: invalid argument"));
    assert_eq!(why(REFUSED, [0, 1], LATE), unconnected("ncclAllReduce: invalid usage"));
    assert_eq!(why(WRONG, [0, 1], LATE), unconnected("NCCL's trial sum is wrong"));
}
