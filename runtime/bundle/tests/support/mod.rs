//! What tests of the plan's verifier share.

use mlp_bundle::plan::{Plan, verify};

/// Checks that each edit of a plan's text, `(from, to, reason)`, breaks one invariant, and that the message says which.
pub(crate) fn refuses(text: &str, cases: &[(&str, &str, &str)]) {
    for (from, to, reason) in cases {
        assert!(text.contains(from), "the plan has no `{from}`");
        let plan: Plan = text.replacen(from, to, 1).parse().unwrap();
        let error = verify::verify(&plan).expect_err(to).to_string();
        assert!(error.contains(reason), "`{to}` gives `{error}`, not `{reason}`");
    }
}
