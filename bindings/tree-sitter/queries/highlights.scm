(comment) @comment
(doc_comment) @comment.documentation
(string) @string
(escape) @string.escape
[(number) (size)] @number
(unit) @type.builtin

["edition" "use" "const" "type" "labels" "model" "intrinsic" "pipeline" "layer" "layers" "test" "hook" "budget" "device" "outlet" "monitor" "explain" "experiment" "for" "from" "input" "output" "state" "public"] @keyword
["return" "expect" "when" "else" "each" "parallel" "loop" "at_most" "counting" "until"] @keyword.control
["in" "over"] @keyword.operator
["|>" "->" "=" "==" "!=" "<" "<=" ">" ">=" "+" "-" "*" "/" "|" ".." "?"] @operator
["{" "}" "[" "]" "(" ")"] @punctuation.bracket
["," "." ":"] @punctuation.delimiter

(pipeline name: (identifier) @function)
(layer name: (identifier) @function)
(intrinsic name: (identifier) @function)
(stage (path (identifier) @function.call))
(call callee: (identifier) @function.call)
(model name: (identifier) @type)
(type_alias name: (identifier) @type)
(labels name: (identifier) @type)
(declaration name: (identifier) @type)
(hook name: (identifier) @function)
(tensor_type element: (identifier) @type.builtin)
(named_type name: (identifier) @type)
(parameter name: (identifier) @variable.parameter)
(argument name: (identifier) @variable.parameter)
(entry key: (identifier) @property)
(block keyword: (identifier) @keyword)
(limit subject: (identifier) @keyword)
(apply keyword: (identifier) @keyword)
(field name: (identifier) @property)
(field_type name: (identifier) @property)
(record_entry name: (identifier) @property)
(port name: (identifier) @property)
(state name: (identifier) @property)
(attribute name: (identifier) @attribute)
(const name: (identifier) @constant)
