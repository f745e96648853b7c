/**
 * The mlp language, for editors that use tree-sitter.
 *
 * It follows dsl-spec/grammar/mlp.pest, which is what the compiler reads. Two things are looser here, because an editor must cope with any text: a newline
 * counts as a space, and keywords of blocks are names only where no block can start.
 */

/// <reference types="tree-sitter-cli/dsl" />

const commas = (rule) => optional(seq(rule, repeat(seq(',', rule)), optional(',')));
const lines = (rule) => repeat(seq(rule, optional(',')));

module.exports = grammar({
  name: 'mlp',
  extras: ($) => [/\s/, $.doc_comment, $.comment],
  word: ($) => $.identifier,

  rules: {
    source_file: ($) => repeat($._item),

    _item: ($) =>
      choice(
        $.edition,
        $.use,
        $.const,
        $.type_alias,
        $.labels,
        $.model,
        $.intrinsic,
        $.pipeline,
        $.layer,
        $.test,
        $.hook,
        $.declaration,
      ),

    edition: ($) => seq('edition', field('year', $.number)),
    use: ($) =>
      seq(
        'use',
        field('source', choice($.string, $.identifier)),
        repeat(seq('.', field('source', $.identifier))),
        '.',
        '{',
        commas(field('name', $.identifier)),
        '}',
      ),
    const: ($) => seq('const', field('name', $.identifier), optional(seq(':', field('type', $._type))), '=', field('value', $._expression)),
    type_alias: ($) => seq('type', field('name', $.identifier), '=', field('type', $._type)),
    labels: ($) => seq('labels', field('name', $.identifier), '=', field('value', $._expression)),

    model: ($) => seq('model', field('name', $.identifier), '{', lines(choice($.port, $.state, $.layers, $._member)), '}'),
    port: ($) => seq(choice('input', 'output'), field('name', $.identifier), ':', field('type', $._type)),
    state: ($) => seq('state', field('name', $.identifier), ':', field('type', $._type), '=', field('next', $.identifier)),
    layers: ($) => seq('layers', $.body),

    intrinsic: ($) => seq('intrinsic', choice('pipeline', 'layer'), $._signature),
    pipeline: ($) => seq('pipeline', $._signature, field('body', $.body)),
    layer: ($) => seq('layer', $._signature, field('body', $.body)),
    _signature: ($) => seq(field('name', $.identifier), field('parameters', $.parameters), '->', field('result', $._type)),
    parameters: ($) => seq('(', commas($.parameter), ')'),
    parameter: ($) =>
      seq(
        optional('public'),
        field('name', choice($.identifier, alias('public', $.identifier))),
        ':',
        field('type', $._type),
        optional(seq('=', field('default', $._expression))),
      ),
    body: ($) => seq('{', lines(choice($.return, $.binding)), '}'),
    return: ($) => seq('return', $._expression, repeat($.attribute)),
    binding: ($) => seq(field('name', $.identifier), '=', field('value', $._expression), repeat($.attribute)),

    test: ($) => seq('test', field('name', $.string), '{', lines($.expect), '}'),
    expect: ($) => seq('expect', $._expression),
    hook: ($) => seq('hook', field('name', $.identifier), 'for', field('target', $.path), field('body', $.members)),
    declaration: ($) =>
      choice(
        seq(choice('budget', 'device'), field('name', $.identifier), field('body', $.members)),
        seq('outlet', field('name', $.identifier), 'from', field('target', $.path), field('body', $.members)),
        seq(choice('monitor', 'explain', 'experiment'), field('name', $.identifier), 'for', field('target', $.path), field('body', $.members)),
      ),

    members: ($) => seq('{', lines($._member), '}'),
    _member: ($) => choice($.entry, $.block, $.limit, $.apply),
    _keyword: ($) => choice($.identifier, alias('explain', $.identifier), alias('monitor', $.identifier), alias('outlet', $.identifier), alias('test', $.identifier), alias('pipeline', $.identifier)),
    entry: ($) => seq(field('key', $._keyword), '=', field('value', $._expression)),
    block: ($) => seq(field('keyword', $._keyword), optional(field('subject', $.path)), field('body', $.members)),
    limit: ($) =>
      seq(field('subject', $._keyword), optional(field('statistic', $.identifier)), choice('<', '<=', '>', '>='), field('bound', choice($.over, $._value))),
    apply: ($) => prec.right(seq(field('keyword', $._keyword), field('callee', $.path), optional($.arguments))),

    _type: ($) => choice($.optional_type, $._plain_type),
    _plain_type: ($) => prec.right(seq(choice($.record_type, $.choice_type, $.tensor_type, $.named_type), repeat($.attribute))),
    optional_type: ($) => prec.right(seq(choice($.record_type, $.choice_type, $.tensor_type, $.named_type), '?', repeat($.attribute))),
    record_type: ($) => seq('{', lines($.field_type), '}'),
    field_type: ($) => seq(field('name', $.identifier), ':', field('type', $._type)),
    choice_type: ($) => prec.right(seq($.identifier, repeat1(seq('|', $.identifier)))),
    tensor_type: ($) => seq(field('element', $.identifier), '[', commas($._dimension), ']'),
    named_type: ($) => prec.right(seq(field('name', $.identifier), optional(seq('<', commas($._type_argument), '>')))),
    _type_argument: ($) => choice($.number, alias($._dotted, $.path), $._type),
    _dotted: ($) => seq($.identifier, repeat1(seq('.', $.identifier))),

    _dimension: ($) => choice($.bounded_dimension, $._size),
    bounded_dimension: ($) => seq($.identifier, '<=', choice($.number, $.identifier)),
    _size: ($) => choice($.number, $.rest, $.path, $.size_group, $.size_arithmetic),
    rest: ($) => seq('..', $.identifier),
    size_group: ($) => seq('(', $._size, ')'),
    size_arithmetic: ($) =>
      choice(prec.left(1, seq($._size, choice('+', '-'), $._size)), prec.left(2, seq($._size, choice('*', '/'), $._size))),

    path: ($) => prec.right(seq($.identifier, repeat(seq('.', $.identifier)))),
    attribute: ($) => prec.right(seq('@', field('name', $.identifier), optional($.arguments))),

    _expression: ($) => choice($.comparison, $.over, $._value),
    comparison: ($) => prec.right(1, seq($._value, field('operator', choice('==', '!=', '<', '<=', '>', '>=', 'in')), $._value, optional(seq('over', $._value)))),
    over: ($) => prec.right(1, seq($._value, 'over', $._value)),
    _value: ($) => choice($.pipe, $._operand),
    pipe: ($) => prec.left(2, seq($._value, '|>', $.stage)),
    stage: ($) => prec.right(seq($.path, optional($.arguments))),
    _operand: ($) => choice($.arithmetic, $.negation, $._postfix),
    arithmetic: ($) =>
      choice(
        prec.left(3, seq($._operand, field('operator', choice('+', '-')), $._operand)),
        prec.left(4, seq($._operand, field('operator', choice('*', '/')), $._operand)),
      ),
    negation: ($) => prec(5, seq('-', $._operand)),
    _postfix: ($) => choice($.field, $.call, $.index, $._primary),
    field: ($) => prec.left(6, seq($._postfix, '.', field('name', $.identifier))),
    call: ($) => prec.left(6, seq(field('callee', $._postfix), $.arguments)),
    index: ($) => prec.left(6, seq($._postfix, '[', $.number, ']')),
    arguments: ($) => seq('(', commas($.argument), ')'),
    argument: ($) => seq(optional(seq(field('name', $._keyword), '=')), field('value', $._expression)),
    _primary: ($) =>
      choice($.size, $.number, $.string, $.list, $.record, $.group, $.when, $.for_each, $.parallel, $.loop, $.identifier),
    list: ($) => seq('[', commas($._expression), ']'),
    record: ($) => seq('{', lines($.record_entry), '}'),
    record_entry: ($) => seq(field('name', $.identifier), optional(seq('=', field('value', $._expression)))),
    group: ($) => seq('(', $._expression, ')'),

    when: ($) => seq('when', $._expression, $.arm, repeat(seq('else', 'when', $._expression, $.arm)), 'else', $.arm),
    for_each: ($) => seq('for', 'each', field('name', $.identifier), 'in', $._value, $.arm),
    parallel: ($) => seq('parallel', '{', lines($.binding), '}'),
    loop: ($) =>
      seq(
        'loop',
        field('name', $.identifier),
        '=',
        $._value,
        'at_most',
        $._operand,
        optional(seq('counting', $.identifier)),
        optional(seq('until', $._expression)),
        $.arm,
      ),
    arm: ($) => seq('{', lines($.binding), $._expression, '}'),

    number: ($) => seq($._digits, optional(alias(token.immediate(/%|[A-Za-z_][A-Za-z0-9_]*/), $.unit))),
    _digits: () => /[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/,
    size: () => /[0-9]+x[0-9]+/,
    string: ($) => seq('"', repeat(choice($.escape, token.immediate(prec(1, /[^"\\\n]+/)))), '"'),
    escape: () => token.immediate(/\\[^\n]/),
    identifier: () => /[A-Za-z_][A-Za-z0-9_]*|ε|ϵ|δ/,
    comment: () => token(seq('//', /[^\n]*/)),
    doc_comment: () => token(prec(1, seq('///', /[^\n]*/))),
  },
});
