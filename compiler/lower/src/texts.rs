//! Texts: what becomes of them before a run is a part of the signature, and the graph reads the tokens.

use crate::body::{Lowered, Lowering};
use crate::signature::SignatureEncoding;
use mlp_analysis::{Intrinsic, Value};
use mlp_bundle::manifest::{Side, Truncate};
use mlp_graph::ir::{Definition, Type as GraphType};
use mlp_graph::{DType, Origin};

/// What the three tensors of an encoding are called, in a record and behind the text's name.
const PARTS: [&str; 3] = ["ids", "mask", "types"];

/// The most encodings of one pipeline.
const MAX_ENCODINGS: usize = 64;

/// Tokens whose number is not known before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    texts: Vec<String>,
    file: String,
    special: bool,
    truncate: Option<Truncate>,
}

impl Lowering<'_> {
    /// What an intrinsic that takes a text or tokens becomes; nothing where it is another.
    pub(crate) fn text_intrinsic(&mut self, intrinsic: Intrinsic, args: &[Lowered], origin: &Origin) -> Option<Result<Lowered, String>> {
        match (intrinsic, args) {
            (Intrinsic::WordPiece | Intrinsic::Bpe | Intrinsic::Unigram, [Lowered::Text(text), file, special]) => {
                let (Lowered::Constant(Value::Text(file)), special) = (file, is_word(special, "yes")?) else { return None };
                Some(Ok(Lowered::Tokens(Tokens { texts: vec![text.clone()], file: file.clone(), special, truncate: None })))
            }
            (Intrinsic::PairOfTexts, [Lowered::Tokens(first), Lowered::Tokens(second)]) => Some(pair(first, second).map(Lowered::Tokens)),
            (Intrinsic::TruncateTokens, [Lowered::Tokens(tokens), most, side]) => {
                let most = count("most", most)?;
                let side = if is_word(side, "left")? { Side::Left } else { Side::Right };
                Some(most.and_then(|most| truncate(tokens, most, side)).map(Lowered::Tokens))
            }
            (Intrinsic::PadTokens, [Lowered::Tokens(tokens), length, side, Lowered::Constant(Value::Text(token))]) => {
                let length = count("length", length)?;
                let pad_side = if is_word(side, "left")? { Side::Left } else { Side::Right };
                let pad = (!token.is_empty()).then(|| token.clone());
                Some(length.and_then(|length| self.padded(tokens, length, pad, pad_side, origin)))
            }
            _ => None,
        }
    }

    /// The tensors of an encoding, which are inputs of the graph.
    fn padded(&mut self, tokens: &Tokens, length: u32, pad: Option<String>, pad_side: Side, origin: &Origin) -> Result<Lowered, String> {
        if let Some(Truncate { most, .. }) = tokens.truncate
            && most > length
        {
            return Err(format!("up to {most} tokens do not fit in {length}; write {most} here, or less in `truncate`"));
        }
        let Tokens { texts, file, special, truncate } = tokens.clone();
        let mut new = SignatureEncoding {
            place: origin.name.clone(),
            texts,
            file,
            special,
            length,
            truncate,
            pad,
            pad_side,
            ports: [const { None }; 3],
        };
        let known = self.encodings.iter().find(|known| {
            // Wherever it is written, it is the same.
            new.place.clone_from(&known.place);
            new.ports.clone_from(&known.ports);
            **known == new
        });
        let ports = match known {
            Some(known) => known.ports.clone(),
            None => self.encoding(new, origin)?,
        };
        let value = |port: &Option<String>| {
            let port = self.graph.inputs.iter().find(|input| Some(&input.name) == port.as_ref());
            port.map(|port| Lowered::Tensor(port.value)).ok_or_else(|| "its tokens have no port".to_owned())
        };
        let fields = PARTS.iter().zip(&ports).map(|(part, port)| Ok(((*part).to_owned(), value(port)?)));
        Ok(Lowered::Record(fields.collect::<Result<_, String>>()?))
    }

    /// Adds an encoding with its ports.
    fn encoding(&mut self, new: SignatureEncoding, origin: &Origin) -> Result<[Option<String>; 3], String> {
        if self.encodings.len() >= MAX_ENCODINGS {
            return Err(format!("a pipeline has up to {MAX_ENCODINGS} different encodings of its texts"));
        }
        let stem = new.texts.join("-");
        let number = self.encodings.iter().filter(|known| known.texts == new.texts).count();
        let stem = if number == 0 { stem } else { format!("{stem}{}", number + 1) };
        let ports = PARTS.map(|part| format!("{stem}.{part}"));
        for port in &ports {
            self.graph.add_input(port, GraphType::fixed(DType::I64, &[1, u64::from(new.length)]));
        }
        let ports = ports.map(Some);
        self.encodings.push(SignatureEncoding { place: origin.name.clone(), ports: ports.clone(), ..new });
        Ok(ports)
    }

    /// The encodings, without the ports that nothing reads.
    pub(crate) fn finish_encodings(&mut self) -> Vec<SignatureEncoding> {
        let mut encodings = std::mem::take(&mut self.encodings);
        let graph = &self.graph;
        let read: std::collections::BTreeSet<_> = graph.order.iter().flat_map(|op| graph.ops[*op].operands.iter().copied()).collect();
        let unread = |name: &str| {
            let input = graph.inputs.iter().find(|input| input.name == name);
            input.is_some_and(|input| !read.contains(&input.value) && graph.outputs.iter().all(|output| output.value != input.value))
        };
        let mut gone = Vec::new();
        for port in encodings.iter_mut().flat_map(|encoding| &mut encoding.ports) {
            gone.extend(port.take_if(|name| unread(name)));
        }
        self.graph.inputs.retain(|input| !gone.contains(&input.name));
        for (index, input) in self.graph.inputs.iter().enumerate() {
            self.graph.values[input.value].definition = Definition::Input(index as u32);
        }
        encodings.retain(|encoding| encoding.ports.iter().any(Option::is_some));
        encodings
    }
}

fn pair(first: &Tokens, second: &Tokens) -> Result<Tokens, String> {
    if first.file != second.file || first.special != second.special {
        return Err("the two texts are not of one tokenizer; write the same file and the same `special` for both".to_owned());
    }
    if first.truncate.is_some() || second.truncate.is_some() {
        return Err("a text is truncated before it is a part of a pair; truncate the pair".to_owned());
    }
    match (first.texts.as_slice(), second.texts.as_slice()) {
        ([a], [b]) => Ok(Tokens { texts: vec![a.clone(), b.clone()], ..first.clone() }),
        _ => Err("a pair has two texts; this one would have more".to_owned()),
    }
}

fn truncate(tokens: &Tokens, most: u32, side: Side) -> Result<Tokens, String> {
    let truncate = match tokens.truncate {
        None => Truncate { most, side },
        Some(before) if before.side == side => Truncate { most: most.min(before.most), side },
        Some(_) => return Err("these tokens are truncated on the other side already; truncate them once".to_owned()),
    };
    Ok(Tokens { truncate: Some(truncate), ..tokens.clone() })
}

/// A number of tokens.
fn count(name: &str, value: &Lowered) -> Option<Result<u32, String>> {
    let Lowered::Constant(Value::Number(number, _)) = value else { return None };
    let fits = *number >= 1.0 && *number <= 65536.0 && number.fract() == 0.0;
    Some(if fits { Ok(*number as u32) } else { Err(format!("`{name}` is {number}; write a whole number from 1 to 65536")) })
}

fn is_word(value: &Lowered, wanted: &str) -> Option<bool> {
    match value {
        Lowered::Constant(Value::Choice(word)) => Some(word == wanted),
        _ => None,
    }
}
