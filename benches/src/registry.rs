//! Made-up tags, the same at every run.

/// `count` tags in byte order: names such as `3.11.4-slim-bookworm-20240111`, each with zero to
/// three patch tags.
pub fn tags(count: usize) -> Vec<String> {
    const VARIANTS: [&str; 4] = ["slim-bookworm", "bookworm", "alpine3.19", "slim-bullseye"];
    let mut tags = Vec::with_capacity(count);
    let mut originals = 0_usize;
    while tags.len() < count {
        let variant = VARIANTS.get(originals % 4).copied().unwrap_or_default();
        let (build, day) = (originals / 4 / 28, originals / 4 % 28);
        let original = format!(
            "3.{}.{}-{variant}-202401{:02}",
            build / 100,
            build % 100,
            day
        );
        let patches = originals.wrapping_mul(2_654_435_761) / 1024 % 4;
        originals = originals.wrapping_add(1);
        tags.extend((1..=patches).map(|n| format!("{original}-{n}")));
        tags.push(original);
    }
    tags.truncate(count);
    tags.sort_unstable();
    // Copied in order, so that they lie in memory as tags do that were read in order.
    tags.iter().map(String::clone).collect()
}

/// The same tags in an order that looks random.
pub fn shuffled(tags: &[String]) -> Vec<String> {
    let mut keyed: Vec<(u64, &String)> = (0..).map(splitmix).zip(tags).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, tag)| tag.clone()).collect()
}

fn splitmix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
