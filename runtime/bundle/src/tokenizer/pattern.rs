//! Regular expressions of tokenizers, as JavaScript writes them under its `u` flag.
//!
//! What both dialects write alike is copied; classes that mean different sets are written out; what JavaScript has not is refused.

/// White space as Unicode has it: what JavaScript's own `\s` has is one character more and one less.
const SPACE: &str = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
const DIGIT: &str = r"\p{Nd}";
const WORD: &str = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d";

/// General categories, which both write with their short names.
const CATEGORIES: &[&str] = &[
    "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",
    "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Co",
];
const SCRIPTS: &[&str] = &["Arabic", "Cyrillic", "Greek", "Han", "Hangul", "Hebrew", "Hiragana", "Katakana", "Latin", "Thai"];

/// The deepest groups.
const MAX_DEPTH: usize = 32;
/// The longest expression.
const MAX_LENGTH: usize = 1 << 12;

struct Reader<'r> {
    rest: std::iter::Peekable<std::str::Chars<'r>>,
    out: String,
}

/// A regular expression of Rust or Oniguruma in the words of JavaScript.
pub(super) fn javascript(regex: &str) -> Result<String, String> {
    if regex.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    let mut reader = Reader { rest: regex.chars().peekable(), out: String::new() };
    reader.alternatives(false, 0)?;
    match reader.rest.next() {
        None => Ok(reader.out),
        Some(_) => Err("a `)` has no `(`".to_owned()),
    }
}

impl Reader<'_> {
    /// Everything up to the end or to a closing parenthesis, which is left.
    fn alternatives(&mut self, ignores_case: bool, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("its groups lie too deep in one another".to_owned());
        }
        let mut repeatable = false;
        while let Some(&next) = self.rest.peek() {
            if next == ')' {
                return Ok(());
            }
            self.rest.next();
            match next {
                '(' => self.group(ignores_case, depth)?,
                '[' => self.class(ignores_case)?,
                '*' | '+' | '?' | '{' if repeatable => self.repetition(next)?,
                '*' | '+' | '?' | '{' => return Err(format!("a `{next}` has nothing before it to repeat")),
                '|' | '^' | '$' | '.' => self.out.push(next),
                '\\' => self.escape(false)?,
                other => self.letter(other, ignores_case),
            }
            repeatable = !matches!(next, '|' | '^' | '$' | '*' | '+' | '?' | '{');
        }
        Ok(())
    }

    fn group(&mut self, mut ignores_case: bool, depth: usize) -> Result<(), String> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_some() {
            match self.rest.next() {
                Some(':') => self.out.push_str("?:"),
                Some(kind @ ('=' | '!')) => self.out.extend(['?', kind]),
                Some('i') if self.rest.next_if_eq(&':').is_some() => {
                    ignores_case = true;
                    self.out.push_str("?:");
                }
                _ => return Err("a group begins with `(?`; known are `(?:`, `(?i:`, `(?=` and `(?!`".to_owned()),
            }
        } else {
            // Nobody asks what a group has caught.
            self.out.push_str("?:");
        }
        self.alternatives(ignores_case, depth + 1)?;
        match self.rest.next() {
            Some(')') => {
                self.out.push(')');
                Ok(())
            }
            _ => Err("a `(` is not closed".to_owned()),
        }
    }

    fn repetition(&mut self, first: char) -> Result<(), String> {
        self.out.push(first);
        if first == '{' {
            loop {
                match self.rest.next() {
                    Some(c @ ('0'..='9' | ',')) => self.out.push(c),
                    Some('}') if !self.out.ends_with(['{', ',']) || self.out.ends_with(',') && !self.out.ends_with("{,") => {
                        break;
                    }
                    _ => return Err("a `{` is no number of repetitions".to_owned()),
                }
            }
            self.out.push('}');
        }
        match self.rest.peek() {
            Some('?') => self.out.extend(self.rest.next()),
            Some('+') => return Err("JavaScript has no possessive repetition".to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// What follows a `\`.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(next) = self.rest.next() else { return Err("it ends with a `\\`".to_owned()) };
        let set = |set: &str| if in_class { set.to_owned() } else { format!("[{set}]") };
        match next {
            's' => self.out.push_str(&set(SPACE)),
            'd' => self.out.push_str(&set(DIGIT)),
            'w' => self.out.push_str(&set(WORD)),
            'S' | 'D' | 'W' if in_class => return Err(format!("`\\{next}` stands in a class")),
            'S' => self.out.push_str(&format!("[^{SPACE}]")),
            'D' => self.out.push_str(&format!("[^{DIGIT}]")),
            'W' => self.out.push_str(&format!("[^{WORD}]")),
            'n' | 'r' | 't' | 'f' | 'v' => self.out.extend(['\\', next]),
            'p' | 'P' => self.property(next)?,
            other if other.is_ascii_punctuation() || other == ' ' => self.plain(other),
            other => return Err(format!("`\\{other}` is not known")),
        }
        Ok(())
    }

    fn property(&mut self, kind: char) -> Result<(), String> {
        let mut name = String::new();
        match self.rest.next() {
            Some('{') => loop {
                match self.rest.next() {
                    Some('}') => break,
                    Some(c) if c.is_ascii_alphabetic() && name.len() < 24 => name.push(c),
                    _ => return Err(format!("`\\{kind}{{` names no property")),
                }
            },
            Some(c) => name.push(c),
            None => return Err(format!("it ends with `\\{kind}`")),
        }
        if CATEGORIES.contains(&name.as_str()) {
            self.out.push_str(&format!("\\{kind}{{{name}}}"));
        } else if SCRIPTS.contains(&name.as_str()) {
            self.out.push_str(&format!("\\{kind}{{Script={name}}}"));
        } else {
            return Err(format!("the property `{name}` is not known"));
        }
        Ok(())
    }

    fn class(&mut self, ignores_case: bool) -> Result<(), String> {
        self.out.push('[');
        self.out.extend(self.rest.next_if_eq(&'^'));
        let mut is_empty = true;
        loop {
            match self.rest.next() {
                None => return Err("a `[` is not closed".to_owned()),
                Some(']') if is_empty => return Err("a class is empty".to_owned()),
                Some(']') => break,
                Some('[') => return Err("a class stands in a class".to_owned()),
                Some('&') if self.rest.peek() == Some(&'&') => return Err("classes are intersected".to_owned()),
                Some('\\') => self.escape(true)?,
                // A range, or a `-` at an end of the class.
                Some('-') if is_empty || self.rest.peek() == Some(&']') => self.out.push_str("\\-"),
                Some('-') => self.out.push('-'),
                Some(c) if ignores_case && c.is_alphabetic() => {
                    if self.rest.peek() == Some(&'-') || self.out.ends_with('-') && !self.out.ends_with("\\-") {
                        return Err("a range of letters stands where case is ignored".to_owned());
                    }
                    self.cases(c);
                }
                Some(c) => self.plain(c),
            }
            is_empty = false;
        }
        self.out.push(']');
        Ok(())
    }

    fn letter(&mut self, letter: char, ignores_case: bool) {
        if ignores_case && letter.is_alphabetic() {
            self.out.push('[');
            self.cases(letter);
            self.out.push(']');
        } else {
            self.plain(letter);
        }
    }

    /// A letter in every case.
    fn cases(&mut self, letter: char) {
        let mut all = vec![letter];
        all.extend(letter.to_lowercase());
        all.extend(letter.to_uppercase());
        // Two letters of ASCII have a third form.
        match letter {
            's' | 'S' => all.push('\u{17f}'),
            'k' | 'K' => all.push('\u{212a}'),
            _ => {}
        }
        all.sort_unstable();
        all.dedup();
        all.into_iter().for_each(|c| self.plain(c));
    }

    /// A character that stands for itself.
    fn plain(&mut self, c: char) {
        if r"^$\.*+?()[]{}|/-".contains(c) {
            // `-` may not be escaped outside a class, where `\x2d` may.
            self.out.push_str(&if c == '-' { r"\x2d".to_owned() } else { format!("\\{c}") });
        } else {
            self.out.push(c);
        }
    }
}
