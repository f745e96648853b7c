//! One arena for all buffers: buffers that are never needed at one time may share bytes.

/// Bytes to which arena offsets are aligned: what WebGPU asks of a bound range.
const ARENA_ALIGN: u64 = 256;

/// A buffer to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Its size.
    pub(crate) bytes: u64,
    /// The first kernel that writes it; 0 for what is there before the first.
    pub(crate) first: usize,
    /// The last kernel that reads or writes it.
    pub(crate) last: usize,
}

impl Life {
    fn meets(&self, other: &Life) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn room(&self) -> u64 {
        self.bytes.max(1).next_multiple_of(ARENA_ALIGN)
    }
}

/// Offsets of all buffers, and the bytes they span.
pub(crate) struct Arena {
    pub(crate) offsets: Vec<u64>,
    pub(crate) bytes: u64,
}

/// The most bytes needed at any one time: no placement takes less.
pub(crate) fn lower_bound(lives: &[Life]) -> u64 {
    let at = |time: usize| lives.iter().filter(|life| life.first <= time && time <= life.last).map(|life| life.bytes).sum();
    lives.iter().map(|life| at(life.first)).max().unwrap_or(0)
}

/// Places buffers greedily, in several orders, and keeps the smallest arena.
pub(crate) fn place(lives: &[Life]) -> Arena {
    // The largest first, the largest over its life first, the first needed first.
    let keys: [fn(&Life) -> [u64; 2]; 3] = [
        |life| [u64::MAX - life.bytes, life.first as u64],
        |life| [u64::MAX - life.bytes * (life.last - life.first + 1) as u64, life.first as u64],
        |life| [life.first as u64, u64::MAX - life.bytes],
    ];
    let arenas = keys.into_iter().map(|key| {
        let mut order: Vec<usize> = (0..lives.len()).collect();
        order.sort_by_key(|&index| key(&lives[index]));
        place_in(lives, &order)
    });
    arenas.min_by_key(|arena| arena.bytes).expect("there are three orders")
}

/// Places buffers in that order, each in the smallest gap between those placed before that are needed at the same time.
fn place_in(lives: &[Life], order: &[usize]) -> Arena {
    let mut offsets: Vec<Option<u64>> = vec![None; lives.len()];
    let mut bytes = 0;
    for &index in order {
        let life = &lives[index];
        let mut taken: Vec<(u64, u64)> = (0..lives.len())
            .filter(|&other| lives[other].meets(life))
            .filter_map(|other| offsets[other].map(|offset| (offset, offset + lives[other].room())))
            .collect();
        taken.sort_unstable();
        let (mut end, mut best) = (0, None);
        for (start, stop) in taken {
            let gap = start.saturating_sub(end);
            if gap >= life.room() && best.is_none_or(|(size, _)| gap < size) {
                best = Some((gap, end));
            }
            end = end.max(stop);
        }
        let offset = best.map_or(end, |(_, offset)| offset);
        offsets[index] = Some(offset);
        bytes = bytes.max(offset + life.room());
    }
    Arena { offsets: offsets.into_iter().map(|offset| offset.expect("every buffer is placed")).collect(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(bytes: u64, first: usize, last: usize) -> Life {
        Life { bytes, first, last }
    }

    #[test]
    fn a_chain_takes_its_two_largest_neighbours() {
        let lives = [life(1024, 0, 1), life(4096, 1, 2), life(2048, 2, 3), life(512, 3, 4)];
        let arena = place(&lives);
        assert_eq!(arena.bytes, lower_bound(&lives));
        assert_eq!(arena.bytes, 4096 + 2048);
    }

    #[test]
    fn buffers_needed_together_lie_apart() {
        let lives: Vec<Life> = (0..40).map(|i| life(100 + (i * 7919) % 5000, i as usize, (i + (i * 31) % 6) as usize)).collect();
        let arena = place(&lives);
        for (a, x) in lives.iter().enumerate() {
            for (b, y) in lives.iter().enumerate().skip(a + 1) {
                let apart = arena.offsets[a] + x.bytes <= arena.offsets[b] || arena.offsets[b] + y.bytes <= arena.offsets[a];
                assert!(apart || !x.meets(y), "{a} and {b} overlap");
            }
        }
        assert!(arena.bytes >= lower_bound(&lives));
    }
}
