//! Shares of equal length.

use std::cmp::Reverse;

/// Deals items of these lengths among processes: the longest first, each to the process that has least. Returns every
/// item's process; which depends on nothing but the lengths.
pub fn deal(lengths: &[usize], processes: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|item| Reverse(lengths[*item]));
    let (mut loads, mut owners) = (vec![0; processes.max(1)], vec![0; lengths.len()]);
    for item in order {
        let least = (0..loads.len()).min_by_key(|process| loads[*process]).unwrap_or(0);
        loads[least] += lengths[item];
        owners[item] = least;
    }
    owners
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_process_has_more_than_another_by_more_than_an_item(
            lengths in proptest::collection::vec(1_usize..500, 0..60),
            processes in 1_usize..9,
        ) {
            let owners = deal(&lengths, processes);
            let load = |process: usize| -> usize {
                lengths.iter().zip(&owners).filter(|(_, owner)| **owner == process).map(|(length, _)| length).sum()
            };
            let loads: Vec<usize> = (0..processes).map(load).collect();
            let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            prop_assert!(most - least <= lengths.iter().copied().max().unwrap_or(0));
            prop_assert_eq!(loads.iter().sum::<usize>(), lengths.iter().sum::<usize>());
        }
    }

    #[test]
    fn equal_items_go_round() {
        assert_eq!(deal(&[5, 5, 5, 5, 5], 2), [0, 1, 0, 1, 0]);
        assert_eq!(deal(&[1, 9, 2, 8], 2), [0, 0, 1, 1]);
        assert_eq!(deal(&[3, 4], 1), [0, 0]);
    }
}
