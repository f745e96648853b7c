//! What a rule of the grammar is called in "expected ..., found ...".

use crate::grammar::Rule;

/// The phrase for a rule; none for rules that say less than what they are made of.
pub(crate) fn phrase(rule: Rule) -> Option<&'static str> {
    word_or_literal(rule).or_else(|| mark(rule)).or_else(|| keyword(rule)).or_else(|| part(rule))
}

fn word_or_literal(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::word | Rule::value_name => "a name",
        Rule::string => "a string",
        Rule::integer => "a whole number",
        Rule::size => "a size such as `224x224`",
        Rule::number | Rule::digits => "a number",
        Rule::unit => "a unit",
        _ => return None,
    })
}

fn mark(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::open_paren | Rule::arguments => "`(`",
        Rule::close_paren => "`)`",
        Rule::open_bracket | Rule::index => "`[`",
        Rule::close_bracket => "`]`",
        Rule::open_brace | Rule::members | Rule::arm => "`{`",
        Rule::close_brace => "`}`",
        Rule::open_angle => "`<`",
        Rule::close_angle => "`>`",
        Rule::comma => "`,`",
        Rule::colon => "`:`",
        Rule::dot => "`.`",
        Rule::field => "`.`",
        Rule::at | Rule::attribute => "`@`",
        Rule::assign => "`=`",
        Rule::arrow => "`->` and a type",
        Rule::pipe_mark => "`|>`",
        Rule::bar => "`|`",
        Rule::rest_mark | Rule::rest_dim => "`..`",
        Rule::minus => "`-`",
        Rule::optional_mark => "`?`",
        Rule::at_most_mark => "`<=`",
        Rule::order_op => "`<`",
        Rule::compare_op | Rule::sum_op | Rule::product_op => "an operator",
        Rule::end | Rule::EOI => "a new line",
        _ => return None,
    })
}

fn keyword(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::kw_edition => "`edition`",
        Rule::kw_use => "`use`",
        Rule::kw_const => "`const`",
        Rule::kw_type => "`type`",
        Rule::kw_labels => "`labels`",
        Rule::kw_model => "`model`",
        Rule::kw_layer => "`layer`",
        Rule::kw_intrinsic => "`intrinsic`",
        Rule::kw_pipeline => "`pipeline`",
        Rule::kw_test => "`test`",
        Rule::kw_hook => "`hook`",
        Rule::kw_budget => "`budget`",
        Rule::kw_outlet => "`outlet`",
        Rule::kw_monitor => "`monitor`",
        Rule::kw_explain => "`explain`",
        Rule::kw_experiment => "`experiment`",
        Rule::kw_device => "`device`",
        Rule::kw_for => "`for`",
        Rule::kw_from => "`from`",
        Rule::kw_in => "`in`",
        Rule::kw_over => "`over`",
        Rule::kw_public => "`public`",
        Rule::kw_when => "`when`",
        Rule::kw_else => "`else`",
        Rule::kw_each => "`each`",
        Rule::kw_parallel => "`parallel`",
        Rule::kw_loop => "`loop`",
        Rule::kw_at_most => "`at_most`",
        Rule::kw_until => "`until`",
        Rule::kw_counting => "`counting`",
        Rule::kw_layers | Rule::layers_block => "`layers`",
        Rule::kw_input | Rule::input_port => "`input`",
        Rule::kw_output | Rule::output_port => "`output`",
        Rule::kw_state | Rule::state_port => "`state`",
        Rule::kw_return | Rule::return_stmt => "`return`",
        Rule::kw_expect | Rule::expect_stmt => "`expect`",
        _ => return None,
    })
}

fn part(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::module => "a module such as `std.vision`",
        Rule::entry => "an entry such as `key = value`",
        Rule::block => "a block such as `name { ... }`",
        Rule::limit => "a limit such as `latency p95 < 16ms`",
        Rule::apply => "an entry such as `explain grad_cam`",
        Rule::signature | Rule::path => "a name",
        Rule::parameter => "a parameter such as `photo: image<rgb>`",
        Rule::binding => "a statement such as `name = value`",
        Rule::ty | Rule::record_type | Rule::choice_type | Rule::tensor_type | Rule::named_type => "a type",
        Rule::field_type => "a field such as `name: type`",
        Rule::dim | Rule::dim_sum | Rule::dim_product | Rule::dim_atom | Rule::dim_group => "a dimension",
        Rule::type_arg | Rule::dotted => "a name or number",
        Rule::stage => "the name of a pipeline or model",
        Rule::argument => "an argument",
        Rule::record_entry => "a field such as `name = value`",
        Rule::expr | Rule::pipe | Rule::sum | Rule::product | Rule::unary | Rule::postfix | Rule::list | Rule::record | Rule::group => {
            "a value"
        }
        Rule::bound | Rule::when_expr | Rule::each_expr | Rule::parallel_expr | Rule::loop_expr => "a value",
        _ => return None,
    })
}

/// `a`, `a or b`, `a, b or c` of the rules' phrases, without repetition; operators and postfixes step back where anything else fits.
pub(crate) fn list(rules: &[Rule]) -> String {
    let mut phrases: Vec<&str> = rules.iter().copied().filter(|rule| !is_continuation(*rule)).filter_map(phrase).collect();
    if phrases.is_empty() {
        phrases = rules.iter().copied().filter_map(phrase).collect();
    }
    phrases.sort_unstable();
    phrases.dedup();
    if phrases.contains(&"a value") {
        phrases.retain(|phrase| !matches!(*phrase, "a name" | "a string" | "a number" | "a size such as `224x224`" | "`-`"));
    }
    // Where a construct has begun, what completes it is worth more than what else could stand here.
    if let Some(keyword) = phrases.iter().copied().find(|phrase| matches!(*phrase, "`at_most`" | "`else`")) {
        return keyword.to_owned();
    }
    if phrases.contains(&"`=`") && phrases.contains(&"`<`") {
        phrases.retain(|phrase| !matches!(*phrase, "`<`" | "`{`" | "a name"));
    }
    match phrases.split_last() {
        None => "something else".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// What may follow a complete value: true nearly everywhere, so it helps little.
fn is_continuation(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::compare_op
            | Rule::sum_op
            | Rule::product_op
            | Rule::pipe_mark
            | Rule::field
            | Rule::arguments
            | Rule::index
            | Rule::attribute
            | Rule::at
            | Rule::open_paren
            | Rule::open_bracket
            | Rule::dot
            | Rule::unit
            | Rule::bar
            | Rule::optional_mark
            | Rule::kw_over
            | Rule::kw_in
            | Rule::minus
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_an_error_can_name_has_a_phrase() {
        let silent = |rule: Rule| format!("{rule:?}").ends_with("_item") || matches!(rule, Rule::WHITESPACE | Rule::COMMENT);
        let missing: Vec<&Rule> = Rule::all_rules()
            .iter()
            .filter(|rule| !silent(**rule) && phrase(**rule).is_none())
            .filter(|rule| !matches!(rule, Rule::word_char | Rule::model_entry | Rule::member | Rule::statement | Rule::primary))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn lists_read_as_a_sentence() {
        assert_eq!(list(&[Rule::expr]), "a value");
        assert_eq!(list(&[Rule::close_brace, Rule::kw_return, Rule::pipe_mark]), "`return` or `}`");
        assert_eq!(list(&[Rule::close_paren, Rule::comma, Rule::argument]), "`)`, `,` or an argument");
    }
}
