//! Which nodes of a cluster hold the keys of which slots while slots may be moving, and which slots must be read again because they moved.
//!
//! A slot that moves has keys at two nodes: its owner and the node that it moves to. Keys only go from the first to the second, so that
//! whoever reads the owner first and the other then sees each of them. (Redis cluster specification, live resharding.)

use std::collections::BTreeSet;

use super::options::Address;
use super::slots::SLOTS;

/// The masters of a cluster as each of them tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Topology {
    nodes: Vec<Node>,
    /// For each slot its nodes, in the order in which they are to be read.
    holders: Vec<Vec<usize>>,
}

/// A master.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    id: String,
    address: Address,
}

impl Topology {
    /// From what masters answer to CLUSTER NODES, each with the address it was asked at.
    ///
    /// # Errors
    /// A sentence: an answer that is none, or a slot that no master has.
    pub(super) fn parse(answers: &[(Address, String)]) -> Result<Self, String> {
        let mut found = Self { nodes: Vec::new(), holders: vec![Vec::new(); SLOTS] };
        let mut leaving = Vec::new();
        for (address, text) in answers {
            let myself = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let myself = myself.into_iter().find(|words| words.get(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself")));
            let Some(words) = myself else { return Err("a node does not tell its own slots".to_owned()) };
            let number = found.nodes.len();
            found.nodes.push(Node { id: words.first().copied().unwrap_or_default().to_owned(), address: address.clone() });
            for word in words.iter().skip(8) {
                if let Some(moving) = word.strip_prefix('[') {
                    leaving.extend(moving.trim_end_matches(']').split_once("->-").map(|(slot, to)| (slot.to_owned(), to.to_owned())));
                    continue;
                }
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
                    return Err(format!("'{word}' is no range of slots"));
                };
                found.holders.iter_mut().take(last + 1).skip(first).for_each(|holders| holders.push(number));
            }
        }
        for (slot, to) in leaving {
            let holders = slot.parse().ok().and_then(|slot: usize| found.holders.get_mut(slot));
            let to = found.nodes.iter().position(|node| node.id == to);
            let (Some(holders), Some(to)) = (holders, to) else { return Err(format!("slot {slot} moves to a node that is not known")) };
            if !holders.contains(&to) {
                holders.push(to);
            }
        }
        match found.holders.iter().position(Vec::is_empty) {
            Some(slot) => Err(match absent(answers, slot) {
                Some(node) => format!("the node {node}, which has slot {slot}, does not answer"),
                None => format!("no known node has slot {slot}"),
            }),
            None => Ok(found),
        }
    }

    /// The addresses of all masters.
    pub(super) fn masters(&self) -> impl Iterator<Item = &Address> {
        self.nodes.iter().map(|node| &node.address)
    }

    /// The nodes of a slot, in the order in which they are to be read.
    pub(super) fn holders(&self, slot: usize) -> impl Iterator<Item = &Address> {
        self.of(slot).map(|node| &node.address)
    }

    fn of(&self, slot: usize) -> impl Iterator<Item = &Node> {
        self.holders.get(slot).into_iter().flatten().filter_map(|number| self.nodes.get(*number))
    }

    /// Slots of which keys may have been missed by a reader who has read `read` between this topology and `after`. All nodes, in any order, if
    /// `read` is none; else the nodes of each of these slots, in the order that this topology gives.
    pub(super) fn missed(&self, after: &Self, read: Option<&BTreeSet<usize>>) -> BTreeSet<usize> {
        let moved = |slot: &usize| !self.of(*slot).map(|node| &node.id).eq(after.of(*slot).map(|node| &node.id));
        let moving = |slot: &usize| self.of(*slot).count() > 1;
        match read {
            None => (0..SLOTS).filter(|slot| moved(slot) || moving(slot)).collect(),
            Some(read) => read.iter().copied().filter(moved).collect(),
        }
    }
}

/// The address of the node that has a slot, as others tell it.
fn absent(answers: &[(Address, String)], slot: usize) -> Option<&str> {
    let has = |word: &&str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        matches!((first.parse::<usize>(), last.parse::<usize>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    };
    let lines = answers.iter().flat_map(|(_, text)| text.lines());
    let mut nodes = lines.map(|line| line.split(' ')).filter(|words| words.clone().skip(8).any(|word| has(&word)));
    nodes.find_map(|mut words| words.nth(1)?.split('@').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two masters, `a` with the slots of `a` and `b` with those of `b`, as they write them.
    fn topology(a: &str, b: &str) -> Result<Topology, String> {
        let line = |id: &str, slots: &str| {
            format!("other 127.0.0.1:9@19 slave a 0 0 1 connected\n{id} 127.0.0.1:1@11,host myself,master - 0 0 1 connected {slots}\n")
        };
        Topology::parse(&[(("h".to_owned(), 1), line("a", a)), (("h".to_owned(), 2), line("b", b))])
    }

    fn ports(topology: &Topology, slot: usize) -> Vec<u16> {
        topology.holders(slot).map(|(_, port)| *port).collect()
    }

    #[test]
    fn a_slot_that_moves_is_read_at_its_owner_first() {
        let moving = topology("8000-16383", "0-7999 [7->-a] [9-<-a]").expect("topology");
        assert_eq!((ports(&moving, 7), ports(&moving, 9), ports(&moving, 8000)), (vec![2, 1], vec![2], vec![1]));
        let both = topology("0-9 10-16383", "9").expect("topology");
        assert_eq!((ports(&both, 9), ports(&both, 10)), (vec![1, 2], vec![1]), "both say that they have it, for a moment");
        assert_eq!(both.masters().count(), 2);
    }

    #[test]
    fn slots_that_nobody_has_and_nodes_that_nobody_knows_are_told() {
        assert_eq!(topology("0-5", "7-16383").expect_err("a gap"), "no known node has slot 6");
        assert_eq!(topology("0-5", "6-16383 [7->-c]").expect_err("a stranger"), "slot 7 moves to a node that is not known");
        assert!(Topology::parse(&[(("h".to_owned(), 1), String::new())]).is_err());
    }

    #[test]
    fn a_node_that_does_not_answer_is_named_after_what_the_others_know() {
        let line = |id: &str, port: u16, flags: &str, slots: &str| format!("{id} 127.0.0.1:{port}@1{port},host {flags} - 0 0 1 connected {slots}\n");
        let text = line("a", 1, "myself,master", "0-5") + &line("b", 2, "master,fail", "6-16383 [7->-a]") + &line("c", 3, "slave", "");
        let told = Topology::parse(&[(("h".to_owned(), 1), text)]).expect_err("b is away");
        assert_eq!(told, "the node 127.0.0.1:2, which has slot 6, does not answer");
    }

    #[test]
    fn what_moved_or_was_moving_while_all_was_read_is_read_again_until_it_stands() {
        let before = topology("0-99", "100-16383 [200->-a]").expect("topology");
        let after = topology("0-99 200 300", "100-199 201-299 301-16383 [400->-a]").expect("topology");
        let missed = before.missed(&after, None);
        assert_eq!(missed, BTreeSet::from([200, 300, 400]));
        assert_eq!(after.missed(&after, Some(&missed)), BTreeSet::new(), "400 is moving, and was read at both nodes in their order");
        let later = topology("0-99 200 300 400", "100-199 201-299 301-399 401-16383").expect("topology");
        assert_eq!(after.missed(&later, Some(&missed)), BTreeSet::from([400]));
        assert_eq!(before.missed(&before, None), BTreeSet::from([200]));
    }
}
