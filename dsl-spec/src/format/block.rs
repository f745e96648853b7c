//! Entries between braces, a newline or a comma after each, and the columns of entries that follow each other.

use super::doc::{Doc, flat_width};
use super::layout::Layout;
use super::tokens::Node;
use super::{Docs, WIDTH};
use crate::grammar::Rule;

/// When the entries of a block have a line each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Always.
    Lines,
    /// Where they do not fit into one line, or where a newline follows the brace.
    Written,
    /// Where they do not fit into one line.
    Fitting,
}

/// An entry, cut where entries that follow each other are aligned.
struct Row {
    columns: Vec<Docs>,
    /// What stands in front of its line: nothing for the first, else a newline or a comma.
    blank: bool,
    /// Nothing stands between it and the entry before, and it fits into one line.
    follows: bool,
    /// The columns' widths, where it fits into one line.
    widths: Option<Vec<usize>>,
    /// Comments that end with its line, and the comma where it needs one.
    after: Docs,
}

impl Layout<'_> {
    /// Braces around entries, and what stands in front of them.
    pub(super) fn headed(&mut self, node: &Node, style: Style, out: &mut Docs) {
        let open = node.children.iter().position(|child| child.rule == Rule::open_brace).unwrap_or(node.children.len());
        let (head, braces) = node.children.split_at(open);
        self.spaced(head, out);
        out.push(Doc::Space);
        self.braces(braces, style, out);
    }

    /// Braces around entries.
    pub(super) fn braces(&mut self, nodes: &[Node], style: Style, out: &mut Docs) {
        let [open, inner @ .., close] = nodes else { return self.tight(nodes, out) };
        let written = self.tokens[open.first + 1].newline;
        let docs = self.between_braces(open, inner, close);
        let broken = match style {
            Style::Lines => true,
            Style::Written => written,
            Style::Fitting => false,
        };
        out.push(if broken && !inner.is_empty() { Doc::Broken(docs) } else { Doc::Group(docs) });
    }

    /// The same without the group.
    pub(super) fn between_braces(&mut self, open: &Node, inner: &[Node], close: &Node) -> Docs {
        self.brackets += 1;
        let mut docs = Docs::new();
        self.token(open.first, &mut docs);
        let empty = inner.is_empty();
        let body = self.indented(|this, docs| {
            docs.extend((!empty).then_some(Doc::Line));
            this.entries(inner, docs);
            this.lead_of_close(close.first, true, docs);
        });
        docs.push(body);
        docs.extend(self.before_close(empty, Doc::Line, open, close));
        self.token(close.first, &mut docs);
        self.brackets -= 1;
        docs
    }

    /// Entries, a line each.
    fn entries(&mut self, nodes: &[Node], out: &mut Docs) {
        let mut rows: Vec<Row> = Vec::new();
        let mut apart = true;
        let mut detached = false;
        for (index, node) in nodes.iter().enumerate() {
            if node.rule == Rule::comma {
                let mut docs = Docs::new();
                apart = self.comments_of_comma(node.first, &mut docs);
                // On its line it would document the next entry, which it does not where it stands.
                detached = apart && matches!(docs.last(), Some(Doc::Own { text, .. }) if text.starts_with("///"));
                rows.last_mut().into_iter().for_each(|row| row.after.append(&mut docs));
                continue;
            }
            let is_last = nodes[index + 1..].iter().all(|node| node.rule == Rule::comma);
            let mut row = self.row(node, std::mem::take(&mut apart));
            row.blank |= std::mem::take(&mut detached);
            let next = nodes[index + 1..].iter().find(|node| node.rule != Rule::comma);
            if !is_last && next.is_some_and(|next| self.goes_on(next)) {
                row.after.push(Doc::BrokenComma);
            }
            rows.push(row);
        }
        align(&mut rows, 2 * self.depth);
        for (index, row) in rows.into_iter().enumerate() {
            if index > 0 {
                out.push(Doc::Entry { blank: row.blank });
            }
            out.extend(row.columns.into_iter().flatten());
            out.extend(row.after);
        }
    }

    /// Whether the start of this entry, on a new line, would be read as more of the one before.
    fn goes_on(&self, node: &Node) -> bool {
        matches!(self.tokens[node.first].text, "(" | "[" | "-" | "in" | "over")
    }

    fn row(&mut self, node: &Node, apart: bool) -> Row {
        let token = &self.tokens[node.first];
        let blank = token.lead.first().map_or(token.blank, |comment| comment.blank);
        let alone = token.lead.is_empty();
        let mut columns: Vec<Docs> = vec![Docs::new()];
        if !self.skip_lead(node.first) {
            let first = &mut columns[0];
            for (index, comment) in token.lead.iter().enumerate() {
                first.push(Doc::Own { text: comment.text.to_owned(), blank: index > 0 && comment.blank });
            }
            first.extend((!alone && token.blank).then_some(Doc::Blank));
        }
        for (index, part) in cut(node).into_iter().enumerate() {
            let mut docs = Docs::new();
            docs.extend((index > 0).then_some(Doc::Space));
            match node.rule {
                Rule::binding if index > 0 => self.statement(part, &mut docs),
                _ if part.is_empty() => self.node(node, &mut docs),
                _ => self.spaced(part, &mut docs),
            }
            match columns.get_mut(index) {
                Some(first) => first.append(&mut docs),
                None => columns.push(docs),
            }
        }
        let docs_above = columns[0].iter().take_while(|doc| matches!(doc, Doc::Own { .. } | Doc::Blank)).count();
        let width = |(index, docs): (usize, &Docs)| flat_width(if index == 0 { &docs[docs_above..] } else { docs });
        let widths: Option<Vec<usize>> = columns.iter().enumerate().map(width).collect();
        let widths = widths.filter(|widths| widths.len() > 1 && widths.iter().sum::<usize>() + 2 * self.depth <= WIDTH);
        let follows = widths.is_some() && alone && !blank && !apart;
        Row { columns, blank, follows, widths, after: Docs::new() }
    }
}

/// Where an entry is cut into columns; nowhere for most.
fn cut(node: &Node) -> Vec<&[Node]> {
    let parts = &node.children[..];
    match node.rule {
        Rule::entry | Rule::binding | Rule::record_entry if parts.len() > 1 => vec![&parts[..1], &parts[1..]],
        Rule::input_port | Rule::output_port | Rule::state_port => vec![&parts[..1], &parts[1..3], &parts[3..]],
        Rule::field_type => vec![&parts[..2], &parts[2..]],
        _ => vec![&[]],
    }
}

/// Makes the columns of rows that follow each other equally wide, `indent` columns in. A row that this would make too long is not among them.
fn align(rows: &mut [Row], indent: usize) {
    let mut start = 0;
    while start < rows.len() {
        let Some(columns) = rows[start].widths.as_ref().map(Vec::len) else {
            start += 1;
            continue;
        };
        let joins = |row: &Row| row.follows && row.widths.as_ref().is_some_and(|widths| widths.len() == columns);
        let end = start + 1 + rows[start + 1..].iter().take_while(|row| joins(row)).count();
        let run = &mut rows[start..end];
        let mut widest = vec![0; columns];
        for widths in run.iter().filter_map(|row| row.widths.as_ref()) {
            widest.iter_mut().zip(widths).for_each(|(widest, width)| *widest = (*widest).max(*width));
        }
        let padded: usize = indent + widest[..columns - 1].iter().sum::<usize>();
        let too_long = |row: &Row| row.widths.as_ref().is_some_and(|widths| padded + widths[columns - 1] > WIDTH);
        if let Some(row) = run.iter_mut().rev().find(|row| too_long(row)) {
            row.widths = None;
            row.follows = false;
            continue;
        }
        for row in run {
            let Some(widths) = &row.widths else { continue };
            for (column, width) in widths[..columns - 1].iter().enumerate() {
                let pad = widest[column] - width;
                row.columns[column].extend((pad > 0).then_some(Doc::Pad(pad)));
            }
        }
        start = end;
    }
}
