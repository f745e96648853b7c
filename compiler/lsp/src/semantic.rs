//! Colours.

use crate::session::Session;
use crate::text::Text;
use ls_types::{SemanticToken, SemanticTokenModifier, SemanticTokenType, SemanticTokens, SemanticTokensLegend, Uri};
use mlp_syntax::{Highlighted, TokenClass};
use std::sync::PoisonError;

/// The kinds of tokens, by their number.
pub fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: vec![
            SemanticTokenType::COMMENT,
            SemanticTokenType::KEYWORD,
            SemanticTokenType::STRING,
            SemanticTokenType::NUMBER,
            SemanticTokenType::TYPE,
            SemanticTokenType::TYPE_PARAMETER,
            SemanticTokenType::CLASS,
            SemanticTokenType::FUNCTION,
            SemanticTokenType::PARAMETER,
            SemanticTokenType::PROPERTY,
            SemanticTokenType::VARIABLE,
            SemanticTokenType::DECORATOR,
            SemanticTokenType::NAMESPACE,
            SemanticTokenType::OPERATOR,
        ],
        token_modifiers: vec![SemanticTokenModifier::DOCUMENTATION],
    }
}

/// The number of a kind of token, and its modifiers.
fn number(class: TokenClass) -> (u32, u32) {
    match class {
        TokenClass::Comment => (0, 0),
        TokenClass::DocComment => (0, 1),
        TokenClass::Keyword => (1, 0),
        TokenClass::Text => (2, 0),
        TokenClass::Number => (3, 0),
        TokenClass::Type => (4, 0),
        TokenClass::Symbol => (5, 0),
        TokenClass::Declared => (6, 0),
        TokenClass::Function => (7, 0),
        TokenClass::Parameter => (8, 0),
        TokenClass::Property => (9, 0),
        TokenClass::Variable => (10, 0),
        TokenClass::Attribute => (11, 0),
        TokenClass::Module => (12, 0),
        TokenClass::Operator => (13, 0),
    }
}

impl Session {
    /// The tokens of a document.
    pub fn semantic_tokens(&self, uri: &Uri) -> Option<SemanticTokens> {
        let (text, colours) = self.coloured(uri)?;
        let found = colours.lock().unwrap_or_else(PoisonError::into_inner).of(text.as_str());
        Some(SemanticTokens { result_id: None, data: tokens(text, found) })
    }
}

/// Tokens as the protocol packs them: each relative to the one before.
fn tokens(text: &Text, found: Vec<Highlighted>) -> Vec<SemanticToken> {
    let mut last = (0, 0);
    let mut packed = Vec::new();
    for (span, class) in found {
        let range = text.range(span);
        let (line, start) = (range.start.line, range.start.character);
        let length = span.text(text.as_str()).chars().map(|c| c.len_utf16() as u32).sum();
        let (token_type, token_modifiers_bitset) = number(class);
        let delta_start = if line == last.0 { start - last.1 } else { start };
        packed.push(SemanticToken { delta_line: line - last.0, delta_start, length, token_type, token_modifiers_bitset });
        last = (line, start);
    }
    packed
}
