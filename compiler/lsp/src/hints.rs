//! Types that are nowhere written, shown between the lines.

use crate::names::Kind;
use crate::session::Session;
use crate::typed;
use ls_types::{InlayHint, InlayHintKind, InlayHintLabel, InlayHintTooltip, Position, Range, Uri};

/// The most characters of a hint; its tooltip has all of them.
const WIDTH: usize = 48;

impl Session {
    /// The types of bindings, and of the steps of pipelines that take several lines.
    pub fn hints(&self, uri: &Uri, range: Range) -> Option<Vec<InlayHint>> {
        let snapshot = self.snapshot(uri)?;
        let program = snapshot.package.program();
        let text = snapshot.text(0)?;
        let mut hints = Vec::new();
        for (_, definition) in snapshot.index().in_file(0).filter(|(_, definition)| definition.kind == Kind::Local) {
            if let Some(ty) = typed::of_definition(program, definition) {
                hints.push(hint(text.position(definition.span.end as usize), ": ", &ty, false));
            }
        }
        for call in typed::calls(program, 0) {
            let (before, after) = (&text.as_str()[..call.callee.start as usize], &text.as_str()[call.end..]);
            let starts_line = before.trim_end().strip_suffix("|>").is_some_and(|rest| rest.trim_end_matches([' ', '\t']).ends_with('\n'));
            let goes_on =
                after.trim_start_matches([' ', '\t', '\r']).strip_prefix('\n').is_some_and(|rest| rest.trim_start().starts_with("|>"));
            if starts_line && goes_on {
                hints.push(hint(text.position(call.end), "", &call.result, true));
            }
        }
        let bytes = text.bytes(range);
        hints.retain(|hint| bytes.contains(&text.offset(hint.position)) || text.offset(hint.position) == bytes.end);
        hints.sort_by_key(|hint| hint.position);
        hints.dedup_by_key(|hint| hint.position);
        Some(hints)
    }
}

fn hint(position: Position, before: &str, ty: &str, padded: bool) -> InlayHint {
    let long = ty.chars().count() > WIDTH;
    let shown = if long { ty.chars().take(WIDTH - 1).chain(['…']).collect() } else { ty.to_owned() };
    InlayHint {
        position,
        label: InlayHintLabel::String(format!("{before}{shown}")),
        kind: Some(InlayHintKind::TYPE),
        text_edits: None,
        tooltip: long.then(|| InlayHintTooltip::String(ty.to_owned())),
        padding_left: Some(padded),
        padding_right: None,
        data: None,
    }
}
