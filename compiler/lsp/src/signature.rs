//! What a call takes, while its arguments are written.

use crate::completion::context::{item_start, tokens};
use crate::completion::one_line;
use crate::names::Kind;
use crate::session::{Session, Snapshot};
use crate::text::Text;
use ls_types::{
    Documentation, MarkupContent, MarkupKind, ParameterInformation, ParameterLabel, Position, SignatureHelp, SignatureInformation, Uri,
};
use mlp_analysis::STD_MODULES;
use mlp_syntax::ast::{Item, Pipeline};
use mlp_syntax::{Span, parse};

impl Session {
    /// What the call around a position takes, and which of it is being written.
    pub fn signature(&self, uri: &Uri, position: Position) -> Option<SignatureHelp> {
        let snapshot = self.snapshot(uri)?;
        let text = snapshot.text(0)?;
        let offset = text.offset(position);
        let call = around(&text.as_str()[item_start(text.as_str(), offset)..offset])?;
        let signature = of_pipeline(&snapshot, &call).or_else(|| of_model(&snapshot, &call.callee))?;
        let active = match &call.named {
            Some(name) => signature.params.iter().position(|param| param.name == *name),
            None => Some(call.before),
        };
        // One too many is none of them: editors take a number past the end so, and nothing for the first.
        let active = u32::try_from(active.unwrap_or(signature.params.len())).ok();
        let parameter =
            |param: &Parameter| ParameterInformation { label: ParameterLabel::Simple(param.shown.clone()), documentation: None };
        let doc = MarkupContent { kind: MarkupKind::Markdown, value: signature.doc };
        let documentation = (!doc.value.is_empty()).then_some(Documentation::MarkupContent(doc));
        let shown = SignatureInformation {
            label: signature.label,
            documentation,
            parameters: Some(signature.params.iter().map(parameter).collect()),
            active_parameter: active,
        };
        Some(SignatureHelp { signatures: vec![shown], active_signature: Some(0), active_parameter: active })
    }
}

/// A call that is being written.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    callee: String,
    /// It is `value.callee(`.
    is_method: bool,
    /// How many arguments come before the one that is being written.
    before: usize,
    /// The parameter that this one names.
    named: Option<String>,
}

/// The innermost call whose parenthesis is open at the end of a text.
fn around(text: &str) -> Option<Call> {
    /// An open bracket: the call that it belongs to, where it is one, and the tokens of the argument that is being written.
    struct Frame<'s> {
        call: Option<Call>,
        argument: Vec<&'s str>,
        is_block: bool,
    }
    const KEYWORDS: &[&str] = &["return", "when", "else", "in", "loop", "expect"];
    let is_name = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let tokens: Vec<&str> = tokens(text).iter().map(|token| token.text).collect();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for (index, &token) in tokens.iter().enumerate() {
        let before = |count: usize| index.checked_sub(count).map_or("", |at| tokens[at]);
        match token {
            "(" | "[" | "{" => {
                let is_call =
                    token == "(" && is_name(before(1)) && !KEYWORDS.contains(&before(1)) && !matches!(before(2), "pipeline" | "layer");
                let call = is_call.then(|| Call {
                    callee: before(1).to_owned(),
                    is_method: before(2) == ".",
                    before: usize::from(matches!(before(2), "." | "|>")),
                    named: None,
                });
                frames.push(Frame { call, argument: Vec::new(), is_block: token == "{" });
            }
            ")" | "]" | "}" => drop(frames.pop()),
            "," => {
                if let Some(frame) = frames.last_mut() {
                    frame.argument.clear();
                    frame.call.iter_mut().for_each(|call| call.before += 1);
                }
            }
            _ => frames.iter_mut().last().into_iter().for_each(|frame| frame.argument.push(token)),
        }
    }
    // The braces of a block end what is around them.
    let inner = frames.into_iter().rev().take_while(|frame| !frame.is_block).find(|frame| frame.call.is_some())?;
    let named = match inner.argument.as_slice() {
        [name, "=", ..] => Some((*name).to_owned()),
        _ => None,
    };
    inner.call.map(|call| Call { named, ..call })
}

struct Parameter {
    name: String,
    shown: String,
}

struct Signature {
    label: String,
    params: Vec<Parameter>,
    doc: String,
}

/// The signature of a pipeline or layer: one that the file names, or else one of the library.
fn of_pipeline(snapshot: &Snapshot, call: &Call) -> Option<Signature> {
    let declared = snapshot.index().definitions.iter().filter(|_| !call.is_method);
    let mut declared = declared.filter(|one| one.name == call.callee && matches!(one.kind, Kind::Pipeline | Kind::Layer));
    let own = declared.find_map(|one| {
        let source = snapshot.text(one.file).map_or("", Text::as_str);
        of_item(one.item.text(source), &call.callee)
    });
    own.or_else(|| {
        let modules = STD_MODULES.iter().filter(|module| !call.is_method || module.name == "std.tensor");
        modules.into_iter().find_map(|module| of_item(module.source, &call.callee))
    })
}

/// The signature that an item of a text has.
fn of_item(source: &str, name: &str) -> Option<Signature> {
    let (tree, _) = parse(source);
    let node: &Pipeline = tree.items.iter().find_map(|item| match item {
        Item::Pipeline(node) if node.name.text == name => Some(node),
        _ => None,
    })?;
    let shown = |span: Span| one_line(span.text(source));
    let params: Vec<Parameter> =
        node.params.iter().map(|param| Parameter { name: param.name.text.clone(), shown: shown(param.span) }).collect();
    let list: Vec<&str> = params.iter().map(|param| param.shown.as_str()).collect();
    Some(Signature { label: format!("{name}({}) -> {}", list.join(", "), shown(node.result.span)), params, doc: node.doc.clone() })
}

fn of_model(snapshot: &Snapshot, name: &str) -> Option<Signature> {
    let program = snapshot.package.program();
    let model = program.models.iter().find(|model| model.name == name)?;
    let port = |port: &mlp_analysis::ModelPort| format!("{}: {}", port.name, program.show(&port.ty));
    let params: Vec<Parameter> = model.inputs.iter().map(|input| Parameter { name: input.name.clone(), shown: port(input) }).collect();
    let list: Vec<&str> = params.iter().map(|param| param.shown.as_str()).collect();
    let outputs: Vec<String> = model.outputs.iter().map(port).collect();
    Some(Signature { label: format!("{name}({}) -> {{ {} }}", list.join(", "), outputs.join(", ")), params, doc: model.doc.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Option<(String, bool, usize, Option<String>)> {
        around(text).map(|call| (call.callee, call.is_method, call.before, call.named))
    }

    #[test]
    fn the_innermost_open_call_is_found() {
        let found =
            |callee: &str, is_method, before, named: Option<&str>| Some((callee.to_owned(), is_method, before, named.map(str::to_owned)));
        assert_eq!(call("  x = resize("), found("resize", false, 0, None));
        assert_eq!(call("  x = photo |> resize("), found("resize", false, 1, None));
        assert_eq!(call("  x = photo |> resize(224x224, crop = "), found("resize", false, 2, Some("crop")));
        assert_eq!(call("  x = top_k(softmax(y), "), found("top_k", false, 1, None));
        assert_eq!(call("  x = top_k(softmax("), found("softmax", false, 0, None));
        assert_eq!(call("  x = y.max("), found("max", true, 1, None));
        assert_eq!(call("  x = normalize_channels(p, [1, 2"), found("normalize_channels", false, 1, None));
        assert_eq!(call("  x = resize(a)"), None);
        assert_eq!(call("pipeline P(x: "), None);
        assert_eq!(call("  x = (1 + "), None);
        assert_eq!(call("  return ("), None);
        assert_eq!(call("  x = relu(when y { "), None);
    }
}
