"""What a PromQL expression asks for: which labels its result has, and whether all that it names exists.

In: an expression as Grafana or Prometheus holds it, and a vocabulary (metric -> its labels). Out: the labels that a
series of the result may have, or an UnknownName that says which name is wrong.
"""

import re
from collections.abc import Iterator, Mapping

import promql_parser as p

Labels = frozenset[str]
Vocabulary = Mapping[str, Labels]

# Labels that Prometheus or its operator add to a scrape, by which replicas differ; `without` may name them anywhere.
SCRAPE_LABELS = frozenset({"job", "instance", "pod", "endpoint"})
MACROS = {"__rate_interval": "5m", "__interval": "1m", "__range": "1h"}
VARIABLE = re.compile(r"\$(?:\{(\w+)(?:\.[^:}]+)?(?::\w+)?\}|(\w+))")
FILTERING = {"and", "unless"}
KEEP_ALL = {"topk", "bottomk", "limitk"}


class UnknownName(ValueError):  # noqa: N818 - it reads as what it says
    """An expression names a metric or a label that nothing exposes."""


def substitute(text: str, variables: frozenset[str]) -> str:
    """Put a value where Grafana would; raises UnknownName for a variable that the dashboard does not have."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name in MACROS:
            return MACROS[name]
        if name not in variables:
            raise UnknownName(f"variable {name} in {text}")
        return "x"

    return VARIABLE.sub(value, text)


def selectors(expression: p.Expr) -> Iterator[p.VectorSelector]:
    """Every selector of an expression, those in ranges and subqueries too."""
    found: list[p.VectorSelector] = []

    def visit(node: p.Expr) -> None:
        if isinstance(node, p.VectorSelector):
            found.append(node)
        elif isinstance(node, p.MatrixSelector):
            found.append(node.vector_selector)

    p.walk(expression, visit)
    return iter(found)


def labels_of(expression: p.Expr, known: Vocabulary) -> Labels | None:
    """The labels of the result, None for a number or text; raises UnknownName, ValueError for what cannot match."""
    match expression:
        case p.NumberLiteral() | p.StringLiteral():
            return None
        case p.VectorSelector():
            return _selected(expression, known)
        case p.MatrixSelector():
            return _selected(expression.vector_selector, known)
        case p.SubqueryExpr() | p.ParenExpr() | p.UnaryExpr():
            return labels_of(expression.expr, known)
        case p.AggregateExpr():
            return _aggregated(expression, known)
        case p.BinaryExpr():
            return _combined(expression, known)
        case p.Call():
            return _called(expression, known)
    raise TypeError(f"no rule for {type(expression).__name__}")


def _need(names: Labels, available: Labels, where: str) -> None:
    if not names <= available:
        raise UnknownName(f"{', '.join(sorted(names - available))} in {where}")


def _selected(selector: p.VectorSelector, known: Vocabulary) -> Labels:
    if selector.name is None or selector.name not in known:
        raise UnknownName(f"metric {selector}")
    labels = known[selector.name]
    _need(frozenset(matcher.name for matcher in selector.matchers.matchers), labels, str(selector))
    return labels


def _aggregated(expression: p.AggregateExpr, known: Vocabulary) -> Labels:
    inner = labels_of(expression.expr, known)
    if inner is None:
        raise ValueError(f"a number cannot be aggregated: {expression.prettify()}")
    operation, modifier = str(expression.op), expression.modifier
    if modifier is None:
        return inner if operation in KEEP_ALL else frozenset()
    named = frozenset(modifier.labels)
    if modifier.type == p.AggModifierType.Without:
        _need(named, inner | SCRAPE_LABELS, expression.prettify())
        return inner if operation in KEEP_ALL else inner - named
    _need(named, inner, expression.prettify())
    return inner if operation in KEEP_ALL else named


def _combined(expression: p.BinaryExpr, known: Vocabulary) -> Labels | None:
    left, right = labels_of(expression.lhs, known), labels_of(expression.rhs, known)
    if left is None or right is None:
        return right if left is None else left
    operation, modifier, text = str(expression.op), expression.modifier, expression.prettify()
    matching = modifier.matching if modifier else None
    if matching is None:
        if left != right and operation != "or":
            raise ValueError(f"{', '.join(sorted(left ^ right))} is on one side only, so nothing matches: {text}")
        common = left
    elif matching.type == p.LabelModifierType.Include:
        common = frozenset(matching.labels)
        _need(common, left & right, text)
    else:
        common = (left | right) - frozenset(matching.labels)
        _need(common, left & right, text)
    if operation == "or":
        return left | right
    if operation in FILTERING or modifier is None:
        return left
    extra = frozenset(modifier.group_labels or ())
    if modifier.card == p.VectorMatchCardinality.ManyToOne:
        _need(extra, right, text)
        return left | extra
    if modifier.card == p.VectorMatchCardinality.OneToMany:
        _need(extra, left, text)
        return right | extra
    return common


def _called(call: p.Call, known: Vocabulary) -> Labels | None:
    name, arguments = call.func.name, call.args
    results = [labels_of(argument, known) for argument in arguments]
    if name in {"time", "scalar", "pi"}:
        return None
    if name == "vector":
        return frozenset()
    if name in {"absent", "absent_over_time"}:
        equal = p.MatchOp.Equal
        return frozenset(m.name for s in selectors(arguments[0]) for m in s.matchers.matchers if m.op == equal)
    vector = next((labels for labels in results if labels is not None), frozenset[str]())
    if name in {"label_replace", "label_join"}:
        return vector | {arguments[1].val}
    if name == "histogram_quantile":
        _need(frozenset({"le"}), vector, call.prettify())
        return vector - {"le"}
    return vector
