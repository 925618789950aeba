//! Which shard does which image.

use std::num::NonZeroU32;

use crate::cycle::plan::CyclePlan;

/// What an image weighs beside its bytes: starting the tools and asking the registry takes about
/// as long as reading so many.
const OVERHEAD: u64 = 10 << 20;

/// For each image of a plan its shard, from 1.
///
/// Images that share their work stay together, and those that follow each other in the plan stay
/// near each other, since they are of one repository and share layers. So the plan is cut into
/// consecutive pieces, such that the heaviest is as light as it can be.
pub(super) fn assign(plan: &CyclePlan, shards: NonZeroU32) -> Vec<u32> {
    let groups: Vec<(u32, u64)> = (0_u32..)
        .zip(plan.images())
        .filter(|(index, _)| plan.leader(*index) == *index)
        .map(|(index, _)| (index, weight(plan, index)))
        .collect();
    let weights: Vec<u64> = groups.iter().map(|(_, weight)| *weight).collect();
    let limit = lightest_limit(&weights, shards);
    let mut shard_of = vec![1; plan.images().len()];
    let (mut shard, mut load) = (1_u32, 0_u64);
    for ((leader, weight), left) in groups.iter().zip((0..groups.len()).rev()) {
        let is_full = load > 0 && load.saturating_add(*weight) > limit;
        // As long as there are images for them, no shard stays empty.
        let is_owed = load > 0 && left < idle(shards, shard);
        if (is_full || is_owed) && shard < shards.get() {
            (shard, load) = (shard.saturating_add(1), 0);
        }
        load = load.saturating_add(*weight);
        for (member, _) in plan.group_of(*leader) {
            let member = usize::try_from(member).ok();
            if let Some(of) = member.and_then(|member| shard_of.get_mut(member)) {
                *of = shard;
            }
        }
    }
    shard_of
}

/// How many shards after this one have nothing yet.
fn idle(shards: NonZeroU32, shard: u32) -> usize {
    usize::try_from(shards.get().saturating_sub(shard)).unwrap_or(usize::MAX)
}

/// What the images of a group weigh together: they are scanned and patched once.
fn weight(plan: &CyclePlan, leader: u32) -> u64 {
    let platforms = plan
        .image(leader)
        .into_iter()
        .flat_map(|image| &image.platforms);
    platforms.fold(0, |sum, platform| {
        sum.saturating_add(platform.size).saturating_add(OVERHEAD)
    })
}

/// The least that the heaviest of so many consecutive pieces can weigh.
fn lightest_limit(weights: &[u64], pieces: NonZeroU32) -> u64 {
    let total = weights.iter().copied().fold(0, u64::saturating_add);
    let (mut low, mut high) = (weights.iter().copied().max().unwrap_or(0), total);
    while low < high {
        let middle = low.midpoint(high);
        if pieces_under(weights, middle) <= u64::from(pieces.get()) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    low
}

/// How many pieces there are when each is filled up to a limit.
fn pieces_under(weights: &[u64], limit: u64) -> u64 {
    let (mut pieces, mut load) = (1_u64, 0_u64);
    for weight in weights {
        if load > 0 && load.saturating_add(*weight) > limit {
            (pieces, load) = (pieces.saturating_add(1), 0);
        }
        load = load.saturating_add(*weight);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The heaviest piece of the best cut, found by trying all of them.
    #[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
    fn best(weights: &[u64], pieces: u32) -> u64 {
        if pieces <= 1 || weights.is_empty() {
            return weights.iter().sum();
        }
        (0..=weights.len())
            .map(|cut| {
                let (first, rest) = weights.split_at(cut);
                first.iter().sum::<u64>().max(best(rest, pieces - 1))
            })
            .min()
            .unwrap_or(0)
    }

    proptest::proptest! {
        #[test]
        fn no_cut_is_better(weights in proptest::collection::vec(1_u64..20, 0..9), pieces in 1_u32..5) {
            let pieces = NonZeroU32::new(pieces).unwrap();
            proptest::prop_assert_eq!(lightest_limit(&weights, pieces), best(&weights, pieces.get()));
        }
    }
}
