//! `mlpc explain`: the page of a diagnostic.

use crate::{Outcome, render};
use mlp_syntax::{Code, closest};

/// Prints a page, its headings in bold where a terminal reads.
pub(crate) fn explain(code: Code) -> Outcome {
    for line in code.page().lines() {
        match line.starts_with('#') {
            true => anstream::println!("{}{line}{}", render::BOLD, render::PLAIN),
            false => anstream::println!("{line}"),
        }
    }
    Ok(true)
}

/// Reads a code.
pub(crate) fn code(text: &str) -> Result<Code, String> {
    Code::from_name(text).ok_or_else(|| {
        let close = closest(&text.to_ascii_uppercase(), Code::ALL.iter().map(|code| code.name()));
        let hint = close.map_or_else(String::new, |close| format!("; did you mean {close}?"));
        format!("there is no such code{hint} Codes are {} to {}", first().name(), last().name())
    })
}

fn first() -> Code {
    Code::ALL[0]
}

fn last() -> Code {
    Code::ALL[Code::ALL.len() - 1]
}
