//! Calls of `std.text`: the files of tokenizers, and how many tokens there are.

use crate::expressions::BodyChecker;
use crate::intrinsic::{self, Intrinsic};
use crate::program::{Callee, Expr, ExprKind, Value};
use crate::types::{Dim, Type};
use crate::world;
use mlp_bundle::tokenizer::TokenizerKind;
use mlp_syntax::{Code, Diagnostic, Location};

/// The most tokens that a run takes.
const MAX_LENGTH: u64 = 1 << 16;

/// The module.
const TEXT: &str = "std.text";

impl BodyChecker<'_, '_> {
    /// Looks at what a call of `std.text` is given beside its types; false where something is wrong, which is reported.
    /// A file is named as the world takes it from here on.
    pub(crate) fn text_call(&mut self, callee: Callee, args: &mut [Expr], name: Location) -> bool {
        let Callee::Pipeline(id) = callee else { return true };
        let Some(pipeline) = self.checker.pipelines.get(id.0 as usize) else { return true };
        let module = self.checker.files.get(pipeline.at.file.0 as usize).map_or("", |file| file.path.as_str());
        if module != TEXT {
            return true;
        }
        let kind = match intrinsic::find(TEXT, &pipeline.name, Intrinsic::ALL) {
            Some(Intrinsic::WordPiece) => TokenizerKind::WordPiece,
            Some(Intrinsic::Bpe) => TokenizerKind::Bpe,
            Some(Intrinsic::Unigram) => TokenizerKind::Unigram,
            Some(Intrinsic::PadTokens) => return self.padding(args),
            _ => return true,
        };
        match args.get_mut(1) {
            Some(file) => self.tokenizer(kind, file, name),
            None => true,
        }
    }

    fn tokenizer(&mut self, kind: TokenizerKind, file: &mut Expr, name: Location) -> bool {
        let reference = match (&file.kind, &file.ty) {
            (ExprKind::Value(Value::Text(reference)), _) => reference.clone(),
            (_, Type::String) => {
                let diagnostic = Diagnostic::new(Code::E0211, "a tokenizer's file is not known here")
                    .label(file.at, "expected the path of a file")
                    .help("write the path itself, or a constant: it is relative to this file");
                self.checker.report(diagnostic);
                return false;
            }
            // Of another type, which is reported.
            _ => return false,
        };
        let path = world::join(&self.checker.files[file.at.file.0 as usize].path, &reference);
        self.checker.scopes[name.file.0 as usize].outside();
        match self.checker.world.tokenizer(&path) {
            Ok(found) if found == kind => {
                file.kind = ExprKind::Value(Value::Text(path));
                true
            }
            Ok(found) => {
                let (wanted, is) = (kind.name(), found.name());
                let diagnostic = Diagnostic::new(Code::E0310, format!("the tokenizer `{path}` is of the kind {is}, not {wanted}"))
                    .label(name, format!("this is for tokenizers of the kind {wanted}"))
                    .help(format!("write `{}`", called(found)));
                // Where the name is not in use the edit could not be compiled.
                let in_use = self.checker.scopes[name.file.0 as usize].peek(called(found)).is_some();
                self.checker.report(if in_use { diagnostic.fix(name, called(found)) } else { diagnostic });
                false
            }
            Err(reason) => {
                let diagnostic = Diagnostic::new(Code::E0309, format!("the tokenizer `{path}` cannot be used: {reason}"))
                    .label(file.at, "a `tokenizer.json` is expected there")
                    .help("the path is relative to this file; `tokenizer.json` lies beside a model that is published with one");
                self.checker.report(diagnostic);
                false
            }
        }
    }

    /// What is cut off to more tokens than there is room for would be refused when running.
    fn padding(&mut self, args: &[Expr]) -> bool {
        let [tokens, length, ..] = args else { return true };
        let ExprKind::Value(Value::Number(count, None)) = length.kind else { return true };
        if count > MAX_LENGTH as f64 {
            let diagnostic = Diagnostic::new(Code::E0202, format!("a run takes at most {MAX_LENGTH} tokens"));
            self.checker.report(diagnostic.label(length.at, "this is more").help("write a smaller length"));
            return false;
        }
        match &tokens.ty {
            Type::Tokens { most: Some(Dim::Const(most)), .. } if *most as f64 > count => {
                let diagnostic = Diagnostic::new(Code::E0202, format!("up to {most} tokens do not fit in {count}"))
                    .label(length.at, format!("expected {most} or more"))
                    .help(format!("write `{most}` here, or less in `truncate`"))
                    .fix(length.at, most.to_string());
                self.checker.report(diagnostic);
                false
            }
            _ => true,
        }
    }
}

/// The pipeline of `std.text` for tokenizers of a kind.
fn called(kind: TokenizerKind) -> &'static str {
    match kind {
        TokenizerKind::WordPiece => "wordpiece",
        TokenizerKind::Bpe => "bpe",
        TokenizerKind::Unigram => "unigram",
    }
}
