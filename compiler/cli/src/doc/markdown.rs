//! Doc comments: Markdown to HTML.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// A doc comment as HTML. HTML in it is shown as the text it is; headings become paragraphs' bold starts, so that they do not compete with the page's own.
pub(super) fn html(text: &str) -> String {
    let mut options = Options::empty();
    options.insert(Options::ENABLE_TABLES);
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Heading { .. }) => Event::Start(Tag::Strong),
        Event::End(TagEnd::Heading(_)) => Event::End(TagEnd::Strong),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: harmless(dest_url), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Image { link_type, dest_url: harmless(dest_url), title, id })
        }
        event => event,
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    out
}

/// An address that a reader may follow; else an empty one, which leads nowhere.
fn harmless(address: CowStr<'_>) -> CowStr<'_> {
    let scheme =
        address.find([':', '/', '?', '#']).filter(|at| address[*at..].starts_with(':')).map(|at| address[..at].to_ascii_lowercase());
    match scheme.as_deref() {
        None | Some("http" | "https" | "mailto") => address,
        Some(_) => CowStr::Borrowed("#"),
    }
}
