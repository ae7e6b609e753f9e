use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::{Error, Store, World};

#[test]
fn the_process_that_differs_is_named_and_what_differs() {
    let models = |all: [&str; 3]| all_same("model", &all.map(|model| model.as_bytes().to_vec()));
    assert_eq!(models(["a", "a", "a"]), Ok(()));
    let error = models(["a", "a", "b"]).unwrap_err();
    assert_eq!(error, "process 2 has another model than process 0: all must have the same files");
}

fn timing() -> Timing {
    let ms = Duration::from_millis;
    Timing { join: ms(20_000), beat: ms(50), silence: ms(4_000), grace: ms(300) }
}

fn world(rank: usize, size: usize, port: u16) -> World {
    let (address, attempt) = ("127.0.0.1".to_owned(), String::new());
    World {
        rank,
        size,
        local_rank: rank,
        local_size: Some(size),
        address,
        port,
        store_is_kept: false,
        attempt,
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs `body` in each of so many processes, which are threads here; returns what they return, by rank. None leaves before
/// all have returned, unless its body does.
fn processes<T: Send>(size: usize, body: impl Fn(&mut Group) -> T + Sync) -> Vec<T> {
    let store = Store::keep("127.0.0.1", 0, timing().join).unwrap();
    let (port, body) = (store.port(), &body);
    let mut kept = Some(store);
    thread::scope(|scope| {
        let started: Vec<_> = (0..size)
            .map(|rank| {
                let kept = kept.take();
                scope.spawn(move || {
                    let mut group = Group::join(&world(rank, size, port), kept, timing(), |_| {}).unwrap();
                    (body(&mut group), group)
                })
            })
            .collect();
        let (found, _groups): (Vec<_>, Vec<_>) =
            started.into_iter().map(|thread| thread.join().unwrap()).unzip();
        found
    })
}

/// Numbers whose sum depends on the order.
fn numbers(rank: usize, length: usize) -> Vec<f32> {
    (0..length).map(|i| ((rank * 7919 + i * 104_729) as f32).sin() * 10_f32.powi((i % 7) as i32)).collect()
}

#[test]
fn sums_are_those_of_the_processes_in_their_order() {
    for size in [2, 3, 5] {
        for length in [0, 1, 4, 1000, 3 * VALUES * size + 17] {
            let found = processes(size, |group| {
                let mut values = numbers(group.rank(), length);
                group.all_reduce_sum(&mut values).unwrap();
                values
            });
            let mut expected = vec![0.0; length];
            for rank in 0..size {
                expected.iter_mut().zip(numbers(rank, length)).for_each(|(sum, value)| *sum += value);
            }
            assert!(found.iter().all(|sums| *sums == expected), "{size} processes, {length} numbers");
        }
    }
}

#[test]
fn letters_arrive_while_their_taker_computes() {
    // More than connections hold, of several parts, one of which is full.
    let letter = |rank: usize, number: usize| vec![(rank * 31 + number) as u8; number * LARGEST / 2];
    let found = processes(3, |group| {
        if group.rank() > 0 {
            (0..12).for_each(|number| group.send_letter(0, &letter(group.rank(), number)).unwrap());
        }
        // Calls that all make are not disturbed by them.
        assert_eq!(group.gather(&[group.rank() as u8]).unwrap(), [[0], [1], [2]]);
        let mut next = [0; 3];
        while group.rank() == 0 && next.iter().sum::<usize>() < 24 {
            let Some((from, bytes)) = group.letter(LOOK).unwrap() else { continue };
            assert_eq!(bytes, letter(from, next[from]));
            next[from] += 1;
        }
        group.wait().unwrap();
        next
    });
    assert_eq!(found[0], [0, 12, 12]);
}

#[test]
fn nobody_waits_for_a_letter_of_a_lost_process() {
    let found = processes(2, |group| {
        if group.rank() == 1 {
            group.fail("no such file");
            return None;
        }
        loop {
            if let Err(lost) = group.letter(LOOK) {
                return Some(lost);
            }
        }
    });
    assert_eq!(found[0].as_ref().unwrap().why, "stopped: no such file");
}

#[test]
fn everybody_has_everybodys_bytes() {
    let found = processes(3, |group| {
        let own = vec![group.rank() as u8; group.rank() * (LARGEST + 1)];
        let all = group.gather(&own).unwrap();
        assert_eq!(group.broadcast(b"of process 0").unwrap(), b"of process 0");
        assert_eq!(group.sums([1.0, group.rank() as f64]).unwrap(), [3.0, 3.0]);
        assert!(!group.any(false).unwrap());
        assert!(group.any(group.rank() == 2).unwrap());
        group.wait().unwrap();
        all
    });
    for all in found {
        let lengths: Vec<usize> = all.iter().map(Vec::len).collect();
        assert_eq!(lengths, [0, LARGEST + 1, 2 * (LARGEST + 1)]);
        assert!(all.iter().enumerate().all(|(rank, bytes)| bytes.iter().all(|byte| *byte == rank as u8)));
    }
}

#[test]
fn a_process_that_computes_for_long_is_not_lost() {
    processes(2, |group| {
        if group.rank() == 1 {
            thread::sleep(2 * timing().silence);
        }
        let mut values = vec![1.0; 4 * VALUES];
        group.all_reduce_sum(&mut values).unwrap();
    });
}

/// Messages: more than connections hold.
const CHUNKS: usize = 72;

/// Waits before one of these messages: all of them take longer than anybody may be silent.
fn pause() {
    thread::sleep(timing().silence * 5 / 4 / CHUNKS as u32);
}

/// Process 0 sends its sums for longer than anybody may be silent, and process 1 meanwhile more than connections hold.
#[test]
fn a_process_that_sends_slowly_does_not_hold_up_another() {
    let found = processes(3, |group| {
        let group = &*group;
        let mut values = vec![1.0; 3 * CHUNKS * VALUES];
        if group.rank() > 0 {
            group.all_reduce_sum(&mut values).unwrap();
            return values == vec![3.0; values.len()];
        }
        group.meet(Call::Sum, values.len()).unwrap();
        let (part, others) = values.split_at_mut(CHUNKS * VALUES);
        let (shared, others) = (&group.shared, &*others);
        let send =
            |to: usize| send_values(shared, to, &others[(to - 1) * CHUNKS * VALUES..to * CHUNKS * VALUES]);
        group.sending(send, || group.add_up(part)).unwrap();
        let sums: &[f32] = part;
        let slowly = |to| {
            sums.chunks(VALUES).try_for_each(|chunk| {
                pause();
                send_values(shared, to, chunk)
            })
        };
        let receive =
            || (0..CHUNKS).try_for_each(|_| (1..3).try_for_each(|from| group.receive(from).map(drop)));
        group.sending(slowly, receive).unwrap();
        true
    });
    assert_eq!(found, [true; 3]);
}

/// Process 0 sends its bytes for longer than anybody may be silent, and the others meanwhile more than connections hold.
#[test]
fn bytes_that_come_slowly_do_not_hold_up_others() {
    let bytes = |rank: usize| vec![rank as u8; CHUNKS * LARGEST];
    let found = processes(3, |group| {
        let group = &*group;
        let own = bytes(group.rank());
        if group.rank() > 0 {
            return group.gather(&own).unwrap() == [0, 1, 2].map(bytes);
        }
        group.meet(Call::Gather, own.len()).unwrap();
        let shared = &group.shared;
        let slowly = |to| {
            own.chunks(LARGEST).try_for_each(|chunk| {
                pause();
                shared.send(to, Kind::Data, chunk)
            })
        };
        let receive =
            || (0..CHUNKS).try_for_each(|_| (1..3).try_for_each(|from| group.receive(from).map(drop)));
        group.sending(slowly, receive).unwrap();
        true
    });
    assert_eq!(found, [true; 3]);
}

/// The losses that the other two report when process 1 of 3 ends.
fn reported(end: impl Fn(&mut Group) + Sync) -> Vec<String> {
    let reported = processes(3, |group| {
        if group.rank() == 1 {
            group.wait().unwrap();
            end(group);
            return None;
        }
        let start = Instant::now();
        // Who still waits for the third may learn it there.
        let lost = group.wait().and_then(|()| group.all_reduce_sum(&mut vec![0.0; 4 * VALUES])).unwrap_err();
        assert_eq!(lost.rank, 1, "{lost}");
        assert!(start.elapsed() < Duration::from_secs(30));
        Some(lost.to_string())
    });
    reported.into_iter().flatten().collect()
}

#[test]
fn a_process_that_is_killed_is_named() {
    for text in reported(|group| group.shared.vanish()) {
        assert_eq!(text, "process 1 of 0 to 2 on 127.0.0.1 ended without a word: it was killed, or crashed");
    }
}

#[test]
fn a_process_that_fails_says_why() {
    for text in reported(|group| group.fail("the disk is full")) {
        assert!(text.ends_with("stopped: the disk is full"), "{text}");
    }
}

#[test]
fn a_process_that_falls_silent_is_named_and_told_so() {
    let hangs = |group: &mut Group| {
        group.beats = None;
        let start = Instant::now();
        while group.lost().is_none() && start.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(group.lost().unwrap().rank, 1);
    };
    for text in reported(hangs) {
        assert!(text.contains("has been silent for 4 s"), "{text}");
    }
}

#[test]
fn a_process_that_leaves_early_is_named() {
    let leaves = |group: &mut Group| {
        group.beats = None;
        // What writes a beat just now is done with it.
        thread::sleep(LOOK);
        group.shared.leave(None);
    };
    for text in reported(leaves) {
        assert!(text.ends_with("ended before the others"), "{text}");
    }
}

#[test]
fn a_process_that_does_something_else_is_noticed() {
    let errors = processes(2, |group| match group.rank() {
        0 => group.gather(&[1]).map(drop).unwrap_err(),
        _ => group.all_reduce_sum(&mut [1.0]).unwrap_err(),
    });
    assert!(errors.iter().all(|lost| lost.why.contains("does something else")), "{errors:?}");
    let errors = processes(2, |group| group.all_reduce_sum(&mut vec![1.0; group.rank() + 1]).unwrap_err());
    assert!(errors.iter().all(|lost| lost.why.contains("does something else")), "{errors:?}");
}

/// A process of two, which sends the losses that are reported to it.
fn one_of_two(rank: usize, port: u16, kept: Option<Store>, sender: mpsc::Sender<Lost>) -> Group {
    let told = move |lost: &Lost| sender.send(lost.clone()).unwrap();
    Group::join(&world(rank, 2, port), kept, timing(), told).unwrap()
}

#[test]
fn who_computes_while_another_is_lost_is_told_in_time() {
    let store = Store::keep("127.0.0.1", 0, timing().join).unwrap();
    let port = store.port();
    let (sender, told) = mpsc::channel();
    let join = |rank, kept, sender| one_of_two(rank, port, kept, sender);
    let (ours, theirs) = (sender.clone(), sender);
    let other = thread::scope(|scope| {
        let first = scope.spawn(|| join(0, Some(store), ours));
        let second = join(1, None, theirs);
        second.shared.vanish();
        first.join().unwrap()
    });
    // It makes no call, and learns it.
    let lost = told.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(lost.rank, 1);
    drop(other);
}

#[test]
fn who_has_done_its_part_may_leave() {
    let store = Store::keep("127.0.0.1", 0, timing().join).unwrap();
    let port = store.port();
    let (sender, told) = mpsc::channel();
    let join = |rank, kept, sender| one_of_two(rank, port, kept, sender);
    let theirs = sender.clone();
    thread::scope(|scope| {
        let other = scope.spawn(|| join(1, None, theirs).wait().unwrap());
        let group = join(0, Some(store), sender);
        group.wait().unwrap();
        other.join().unwrap();
        // It works on, alone.
        assert!(told.recv_timeout(4 * (timing().beat + timing().grace)).is_err());
        assert_eq!(group.lost(), None);
        // A letter that is waited for does not come any more.
        let why = group.letter(Duration::from_millis(10)).unwrap_err().why;
        assert_eq!(why, "ended before the others");
    });
}

#[test]
fn nobody_waits_for_a_process_that_cannot_come() {
    let store = Store::keep("127.0.0.1", 0, timing().join).unwrap();
    let world = world(0, 2, store.port());
    let patient = Timing { join: Duration::from_secs(60), ..timing() };
    let mut coming = || Err(Error::Join("it ended".to_owned()));
    let error = Group::join_while(&world, Some(store), patient, &mut coming, |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "it ended");
}

/// What these processes say when one of `size` does not come. A busy machine needs longer until those that come have found
/// each other: where one of them is missed too, they wait again, ten times as long.
fn wait_in_vain<const N: usize>(ranks: [usize; N], size: usize, missing: usize) {
    let mut texts = Vec::new();
    for join in [300, 3_000, 30_000].map(Duration::from_millis) {
        let mut kept = ranks.contains(&0).then(|| Store::keep("127.0.0.1", 0, timing().join).unwrap());
        let port = kept.as_ref().map_or_else(free_port, Store::port);
        texts = thread::scope(|scope| {
            let started = ranks.map(|rank| {
                let kept = kept.take();
                let timing = Timing { join, ..timing() };
                // Not another test's processes, if one has this port by now.
                let world = World { attempt: "in vain".to_owned(), ..world(rank, size, port) };
                scope.spawn(move || Group::join(&world, kept, timing, |_| {}).unwrap_err())
            });
            started.map(|thread| thread.join().unwrap().to_string()).to_vec()
        });
        let expected = format!(
            "process {missing} of 0 to {} did not join within {} s through 127.0.0.1:{port}",
            size - 1,
            join.as_secs_f32()
        );
        if texts.iter().all(|text| text.starts_with(&expected)) {
            return;
        }
    }
    panic!("{texts:?}");
}

#[test]
fn who_does_not_come_is_named() {
    wait_in_vain([0], 2, 1);
    wait_in_vain([1], 2, 0);
    wait_in_vain([0, 1], 3, 2);
}

#[test]
fn a_port_that_another_program_has_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = world(0, 2, taken.local_addr().unwrap().port());
    let text = Group::join(&world, None, timing(), |_| {}).unwrap_err().to_string();
    assert!(text.contains("cannot listen at") && text.contains("another MASTER_PORT"), "{text}");
}

#[test]
fn a_second_command_of_the_same_workers_finds_the_others_too() {
    // The launcher's store, which outlives both.
    let store = Store::keep("127.0.0.1", 0, timing().join).unwrap();
    let port = store.port();
    for _ in 0..2 {
        thread::scope(|scope| {
            let joined = [0, 1].map(|rank| {
                let world = World { store_is_kept: true, ..world(rank, 2, port) };
                scope.spawn(move || Group::join(&world, None, timing(), |_| {}).unwrap())
            });
            let groups = joined.map(|thread| thread.join().unwrap());
            assert_eq!(groups.map(|group| group.rank()), [0, 1]);
        });
    }
}

#[test]
fn strangers_are_ignored() {
    let store = Store::keep("127.0.0.1", 0, timing().join).unwrap();
    let port = store.port();
    let lookup = Store::connect("127.0.0.1", port, timing().join).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| Group::join(&world(0, 2, port), Some(store), timing(), |_| {}).unwrap());
        let address = String::from_utf8(lookup.get("tokensieve//1/0", timing().join).unwrap()).unwrap();
        let stranger = std::net::TcpStream::connect(&address).unwrap();
        std::io::Write::write_all(&mut &stranger, &[7; 20]).unwrap();
        let second = Group::join(&world(1, 2, port), None, timing(), |_| {}).unwrap();
        let first = first.join().unwrap();
        assert_eq!((first.rank(), second.rank()), (0, 1));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn parts_of_any_length_are_added_up(length in 0_usize..40, size in 2_usize..5) {
        let found = processes(size, |group| {
            let mut values = vec![group.rank() as f32 + 1.0; length];
            group.all_reduce_sum(&mut values).unwrap();
            values
        });
        let sum = (size * (size + 1) / 2) as f32;
        prop_assert!(found.iter().all(|values| values.iter().all(|value| *value == sum)));
    }
}

#[test]
fn errors_are_those_of_the_crate() {
    let lost = Lost { rank: 1, size: 2, host: "node1".to_owned(), why: "stopped: no".to_owned() };
    assert_eq!(Error::from(lost).to_string(), "process 1 of 0 to 1 on node1 stopped: no");
}
