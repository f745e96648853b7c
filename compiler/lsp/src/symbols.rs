//! The outline of a document.

use crate::names::{Definition, Kind};
use crate::session::Session;
use crate::text::Text;
use ls_types::{DocumentSymbol, SymbolKind, Uri};
use mlp_syntax::ast::DeclarationKind;

impl Session {
    /// The items of a document, with what is declared inside them.
    pub fn symbols(&self, uri: &Uri) -> Option<Vec<DocumentSymbol>> {
        let snapshot = self.readable(uri)?;
        let text = snapshot.text(0)?;
        let mut found: Vec<DocumentSymbol> = Vec::new();
        let definitions: Vec<&Definition> = snapshot.index().in_file(0).map(|(_, definition)| definition).collect();
        for definition in definitions.iter().filter(|definition| definition.is_item() || definition.kind == Kind::Test) {
            let mut symbol = symbol(text, definition);
            let inside = definitions.iter().filter(|inner| {
                matches!(inner.kind, Kind::Port | Kind::Parameter | Kind::Local | Kind::Field)
                    && definition.item.start < inner.span.start
                    && inner.span.end <= definition.item.end
            });
            symbol.children = Some(inside.map(|inner| self::symbol(text, inner)).collect());
            found.push(symbol);
        }
        found.sort_by_key(|symbol| symbol.range.start);
        Some(found)
    }
}

// The field that is not used any more must still be written.
#[allow(deprecated)]
fn symbol(text: &Text, definition: &Definition) -> DocumentSymbol {
    let selection_range = text.range(definition.span);
    let whole = text.range(definition.shown.to(definition.span));
    DocumentSymbol {
        name: definition.name.clone(),
        detail: Some(word(definition.kind).to_owned()),
        kind: kind(definition.kind),
        tags: None,
        deprecated: None,
        range: if definition.is_item() { text.range(definition.item.to(definition.span)) } else { whole },
        selection_range,
        children: None,
    }
}

/// What a definition is, in a word.
pub(crate) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "model",
        Kind::Port => "port",
        Kind::Pipeline => "pipeline",
        Kind::Layer => "layer",
        Kind::Parameter => "parameter",
        Kind::Local => "value",
        Kind::Const => "const",
        Kind::Type => "type",
        Kind::Labels => "labels",
        Kind::Hook => "hook",
        Kind::Declaration(kind) => kind.keyword(),
        Kind::Field => "field",
        Kind::Symbol => "symbol",
        Kind::Test => "test",
    }
}

fn kind(kind: Kind) -> SymbolKind {
    match kind {
        Kind::Model => SymbolKind::CLASS,
        Kind::Port | Kind::Field => SymbolKind::FIELD,
        Kind::Pipeline | Kind::Layer | Kind::Hook => SymbolKind::FUNCTION,
        Kind::Parameter | Kind::Local => SymbolKind::VARIABLE,
        Kind::Const => SymbolKind::CONSTANT,
        Kind::Type => SymbolKind::STRUCT,
        Kind::Labels => SymbolKind::ENUM,
        Kind::Declaration(DeclarationKind::Outlet | DeclarationKind::Monitor) => SymbolKind::INTERFACE,
        Kind::Declaration(_) => SymbolKind::OBJECT,
        Kind::Symbol => SymbolKind::TYPE_PARAMETER,
        Kind::Test => SymbolKind::METHOD,
    }
}
