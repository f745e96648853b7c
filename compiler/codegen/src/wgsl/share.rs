//! One module for kernels whose code differs in whole numbers alone: those become parameters, read from a small uniform buffer.
//!
//! Devices compile each module for as long as dozens of runs of it take, so that forty layers which are a few shapes of kernel should be a few modules.
//! The numbers are found in the text: two kernels share where their texts are equal but for whole numbers outside of attributes.
//! A number that all of a module's kernels have in common stays a constant.

use super::module::Emitted;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Most parameters of a module: they are loaded by every invocation.
const MAX_PARAMS: usize = 32;

/// A module's text, and for each kernel that shares it the values of its parameters.
pub(super) struct Shared {
    pub(super) wgsl: String,
    /// True where the module was found to be valid.
    pub(super) valid: bool,
    /// The kernel's position, and its parameters.
    pub(super) kernels: Vec<(usize, Vec<i32>)>,
}

/// What kernels of one module have alike: which variants they are, the head, the skeleton of the body, and how many things are bound.
type Likeness = (&'static str, String, String, usize);

/// A kernel's position, and the tokens of its body.
type Tokenized<'a> = (usize, Vec<Token<'a>>);

/// Groups kernels by module, in the order of the first kernel of each. `valid` tells whether a module that needs some features is valid.
pub(super) fn share(kernels: &[&Emitted], valid: &dyn Fn(&str, &[&str]) -> bool) -> Vec<Shared> {
    let mut groups: BTreeMap<Likeness, Vec<Tokenized<'_>>> = BTreeMap::new();
    for (n, kernel) in kernels.iter().enumerate() {
        let tokens = tokens(&kernel.body);
        let bound = kernel.buffers.len() + usize::from(kernel.symbols);
        groups.entry((kernel.variant, kernel.head.clone(), skeleton(&tokens), bound)).or_default().push((n, tokens));
    }
    let mut shared: Vec<Shared> = Vec::new();
    for ((_, head, _, bound), group) in groups {
        match merge(&head, bound, &group).filter(|merged| valid(&merged.wgsl, kernels[group[0].0].features)) {
            Some(merged) => shared.push(Shared { valid: true, ..merged }),
            None => shared.extend(apart(kernels, &group)),
        }
    }
    shared.sort_by_key(|module| module.kernels[0].0);
    shared
}

/// Modules without parameters: only equal texts share.
fn apart(kernels: &[&Emitted], group: &[(usize, Vec<Token<'_>>)]) -> Vec<Shared> {
    let mut modules: Vec<Shared> = Vec::new();
    for &(n, _) in group {
        let wgsl = format!("{}{}", kernels[n].head, kernels[n].body);
        match modules.iter_mut().find(|module| module.wgsl == wgsl) {
            Some(module) => module.kernels.push((n, Vec::new())),
            None => modules.push(Shared { wgsl, valid: false, kernels: vec![(n, Vec::new())] }),
        }
    }
    modules
}

/// One module for kernels of one skeleton; none where it would have too many parameters, or none at all.
fn merge(head: &str, bound: usize, group: &[(usize, Vec<Token<'_>>)]) -> Option<Shared> {
    let (_, first) = &group[0];
    let mut columns: Vec<Vec<i32>> = Vec::new();
    let mut body = String::new();
    let mut main = Main::Before;
    for (at, token) in first.iter().enumerate() {
        match token {
            Token::Number { value, unsigned } => {
                let column: Vec<i64> = group.iter().map(|(_, tokens)| tokens[at].value()).collect();
                if column.iter().all(|other| other == value) {
                    let _ = write!(body, "{value}{}", if *unsigned { "u" } else { "" });
                    continue;
                }
                // Bits of an unsigned number beyond 31 are the sign's.
                let column: Vec<i32> = column.into_iter().map(|value| value as u32 as i32).collect();
                let number = columns.iter().position(|known| *known == column).unwrap_or_else(|| {
                    columns.push(column);
                    columns.len() - 1
                });
                let _ = match unsigned {
                    true => write!(body, "u32(pp.n{number})"),
                    false => write!(body, "pp.n{number}"),
                };
            }
            Token::Text(text) => {
                body.push_str(text);
                main.step(text, &mut body);
                if *text == "(" && at > 0 && matches!(first[at - 1], Token::Text("E" | "P")) {
                    let defined = at > 2 && matches!(first[at - 3], Token::Text("fn"));
                    body.push_str(if defined { "pp:K," } else { "pp," });
                }
            }
        }
    }
    if columns.is_empty() || columns.len() > MAX_PARAMS {
        return None;
    }
    let members: Vec<String> = (0..columns.len()).map(|n| format!("n{n}:i32")).collect();
    let wgsl = format!("struct K{{{}}}\n@group(0) @binding({bound}) var<uniform> U:K;\n{head}{body}", members.join(","));
    let kernels = group.iter().enumerate().map(|(row, &(n, _))| (n, columns.iter().map(|column| column[row]).collect())).collect();
    Some(Shared { wgsl, valid: false, kernels })
}

/// How far the entry point's first brace is.
enum Main {
    Before,
    Named,
    Inside,
}

impl Main {
    /// Loads the parameters where the entry point begins.
    fn step(&mut self, text: &str, body: &mut String) {
        match (&self, text) {
            (Main::Before, "@compute") => *self = Main::Named,
            (Main::Named, "{") => {
                body.push_str("let pp=U;");
                *self = Main::Inside;
            }
            _ => {}
        }
    }
}

/// A piece of a module's text; all pieces together are the text.
enum Token<'a> {
    /// A name, an attribute with its arguments, a float, or a single character.
    Text(&'a str),
    /// A whole number.
    Number { value: i64, unsigned: bool },
}

impl Token<'_> {
    fn value(&self) -> i64 {
        match self {
            Token::Number { value, .. } => *value,
            Token::Text(_) => 0,
        }
    }
}

/// The text with a mark in place of each whole number.
fn skeleton(tokens: &[Token<'_>]) -> String {
    let mut out = String::new();
    for token in tokens {
        out.push_str(match token {
            Token::Text(text) => text,
            Token::Number { unsigned: true, .. } => "#u",
            Token::Number { unsigned: false, .. } => "#",
        });
    }
    out
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let len = match first {
            '@' if rest.starts_with("@workgroup_size") || rest.starts_with("@builtin") => rest.find(')').map_or(rest.len(), |end| end + 1),
            '@' => rest[1..].find(|c| !word(c)).map_or(rest.len(), |end| end + 1),
            '0'..='9' => number_len(rest),
            _ if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, tail) = rest.split_at(len);
        let unsigned = token.ends_with('u');
        tokens.push(match token.trim_end_matches('u').parse::<u32>() {
            Ok(value) if first.is_ascii_digit() => Token::Number { value: i64::from(value), unsigned },
            _ => Token::Text(token),
        });
        rest = tail;
    }
    tokens
}

/// The length of the number that a text begins with, its exponent and suffix included.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut len = 1;
    while len < bytes.len() {
        let exponent = matches!(bytes[len - 1], b'e' | b'E') && matches!(bytes[len], b'+' | b'-') && !text.starts_with("0x");
        if !(bytes[len].is_ascii_alphanumeric() || bytes[len] == b'.' || exponent) {
            break;
        }
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_entity::EntityRef;
    use mlp_bundle::loops::BufferId;

    fn emitted(body: &str) -> Emitted {
        let head = "@group(0) @binding(0) var<storage,read_write> b0:array<f32>;\n".to_owned();
        Emitted {
            head,
            body: body.to_owned(),
            buffers: vec![(BufferId::new(0), true)],
            symbols: false,
            groups: [1, 1, 1],
            variant: "",
            features: &[],
        }
    }

    fn kernel(size: u32, scale: &str) -> Emitted {
        emitted(&format!(
            "fn E(i:i32){{b0[i*2]={scale}*f32({size});}}\n@compute @workgroup_size(64) fn m(@builtin(global_invocation_id) g:vec3u)\
             {{if(g.x>={size}u){{return;}}E(i32(g.x)%3);}}"
        ))
    }

    fn valid(wgsl: &str, features: &[&str]) -> bool {
        super::super::validate(wgsl, features).is_ok()
    }

    #[test]
    fn numbers_that_differ_become_parameters() {
        let (a, b, c) = (kernel(10, "1.5f"), kernel(20, "1.5f"), kernel(10, "2.5f"));
        let shared = share(&[&a, &b, &c, &a], &valid);
        assert_eq!(shared.len(), 2);
        // One parameter for both places of the size; `2` and `3` are common to all.
        assert_eq!(
            shared[0].kernels,
            [(0, vec![]), (1, vec![]), (3, vec![])].map(|(n, _): (usize, Vec<i32>)| (n, vec![[10, 20, 0, 10][n]]))
        );
        assert!(shared[0].wgsl.contains("f32(u32(pp.n") || shared[0].wgsl.contains("f32(pp.n0)"), "{}", shared[0].wgsl);
        assert!(shared[0].wgsl.contains("%3") && shared[0].wgsl.contains("i*2") && shared[0].wgsl.contains("@workgroup_size(64)"));
        assert_eq!(shared[1].kernels, [(2, vec![])]);
        assert_eq!(shared[1].wgsl, format!("{}{}", c.head, c.body));
    }

    #[test]
    fn what_is_not_valid_with_parameters_stays_apart() {
        // A shift's count must be unsigned, so its untyped number cannot be a parameter.
        let shifted = |by: u32| emitted(&format!("@compute @workgroup_size(1) fn m(){{b0[0]=f32(8>>{by});}}"));
        let (a, b) = (shifted(1), shifted(2));
        let shared = share(&[&a, &b, &a], &valid);
        assert_eq!(shared.iter().map(|module| module.kernels.len()).collect::<Vec<_>>(), [2, 1]);
        assert!(shared.iter().all(|module| module.kernels.iter().all(|(_, params)| params.is_empty())));
    }

    #[test]
    fn tokens_make_up_the_text() {
        for text in ["a1=vec4f(1e-5f,2.5,0x1fu,3u)*b0[7];", "@workgroup_size(8,4)\nfn m(){let x=-12;}", "é9"] {
            let mut joined = String::new();
            for token in tokens(text) {
                let _ = match token {
                    Token::Text(text) => write!(joined, "{text}"),
                    Token::Number { value, unsigned } => write!(joined, "{value}{}", if unsigned { "u" } else { "" }),
                };
            }
            assert_eq!(joined, text);
        }
        assert_eq!(skeleton(&tokens("a1=b0[7]*1e-5f+0x1fu+3u;")), "a1=b0[#]*1e-5f+0x1fu+#u;");
    }
}
