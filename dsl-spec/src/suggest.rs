//! "Did you mean": the known name that is closest to an unknown one.

/// The candidate with the least edit distance to `name`, if that is at most a third of the name's length (and at least one
/// edit is always forgiven in names of two or more characters). Of equally close ones the one whose number at the end lies nearest wins, `p95` for `p96`, and of those the
/// first. Letter case alone counts as one edit.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let bound = (length / 3).max(usize::from(length >= 2));
    let mut best: Option<((usize, u32), &str)> = None;
    for candidate in candidates {
        let distance = if candidate.eq_ignore_ascii_case(name) { 1 } else { distance(name, candidate) };
        let rank = (distance, if distance <= bound { gap(name, candidate) } else { 0 });
        if candidate != name && distance <= bound && best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// How far apart two numbers in names of one shape are; nothing for other names.
fn gap(a: &str, b: &str) -> u32 {
    let digits = |name: &str| name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    match (digits(a), digits(b)) {
        (Some(a), Some(b)) => a.abs_diff(b),
        _ => 0,
    }
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_found_and_far_ones_are_not() {
        let known = ["resize", "normalize", "to_nchw", "softmax"];
        assert_eq!(closest("resise", known), Some("resize"));
        assert_eq!(closest("sofmtax", known), Some("softmax"));
        assert_eq!(closest("Softmax", known), Some("softmax"));
        assert_eq!(closest("to_nhwc", known), Some("to_nchw"));
        assert_eq!(closest("p96", ["p90", "p95", "p99"]), Some("p95"));
        assert_eq!(closest("blur", known), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest("softmax", known), None);
    }
}
