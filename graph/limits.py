"""How much one request may ask for, and the refusal of what is more.

A query is weighed after it has been validated, with its variables: fragments are counted wherever they are spread.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

SIZES = ("first", "last")
COSTLY = ("factorExposures", "stats")
"""Fields of which each answer takes work, however small it is."""
UNSIZED = 500
"""How many a field answers that knows `first` and `last` and has a default for neither."""
LONG = ("Portfolio.positions", "TradingSession.symbols", "TradingSession.lagging")
"""Lists that may be long, and are answered whole: each counts as UNSIZED."""


@dataclass(frozen=True)
class Limits:
    """Of one request, but for `subscriptions`, which all sockets of a process share. Sizes in bytes where they say so."""

    body_bytes: int = 4 * 1024 * 1024
    frame_bytes: int = 64 * 1024
    values: int = 5_000
    characters: int = 15_000
    tokens: int = 1_000
    depth: int = 10
    aliases: int = 15
    introspections: int = 2
    page_size: int = 1_000
    nodes: int = 50_000
    costly: int = 200
    query_seconds: float = 10
    connection_init_seconds: float = 5
    socket_subscriptions: int = 100
    subscriptions: int = 5_000


class LimitExceeded(GraphQLError):
    """Says which limit, its value and what was asked, for a person and, in `extensions`, for a program."""

    def __init__(self, limit: str, allowed: float, asked: float | str, detail: str = "") -> None:
        shown = asked if isinstance(asked, str) else f"{asked:,}"
        self.limit = limit
        super().__init__(
            f"{limit} may be at most {allowed:,}; {shown} was asked for{detail}.",
            extensions={"code": "LIMIT_EXCEEDED", "limit": limit, "allowed": allowed, "asked": asked},
        )


class Weight(NamedTuple):
    """`nodes` is the largest product of page sizes along one path, and `heaviest` that path, to its last page; `costly` is how
    many of the costly fields are answered, on all paths together."""

    depth: int = 0
    aliases: int = 0
    introspections: int = 0
    nodes: int = 1
    heaviest: tuple[str, ...] = ()
    costly: int = 0


def check_operation(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    limits: Limits,
) -> None:
    """Raises LimitExceeded for a valid operation that asks for too much, GraphQLError for a page size that cannot be."""
    weight = _Scales(schema, document, operation, variables, limits).weigh()
    for limit, asked in (("depth", weight.depth), ("aliases", weight.aliases), ("introspections", weight.introspections)):
        allowed = getattr(limits, limit)
        if asked > allowed:
            raise LimitExceeded(limit, allowed, asked)
    if weight.costly > limits.costly:
        raise LimitExceeded("costly", limits.costly, weight.costly, f" of {' and '.join(COSTLY)}")
    if weight.nodes > limits.nodes:
        raise LimitExceeded("nodes", limits.nodes, weight.nodes, f" by {'.'.join(weight.heaviest)}")


class _Scales:
    """Each fragment is weighed once, so that spreading it often costs nothing here."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
        limits: Limits,
    ) -> None:
        self._schema = schema
        self._document = document
        self._operation = operation
        self._variables = variables
        self._limits = limits
        self._weighed: dict[str, Weight] = {}

    def weigh(self) -> Weight:
        root = self._schema.get_root_type(self._operation.operation)
        return self._selections(self._operation.selection_set, root)

    @cached_property
    def _fragments(self) -> dict[str, FragmentDefinitionNode]:
        found = (node for node in self._document.definitions if isinstance(node, FragmentDefinitionNode))
        return {fragment.name.value: fragment for fragment in found}

    @cached_property
    def _defaults(self) -> dict[str, ValueNode | None]:
        return {node.variable.name.value: node.default_value for node in self._operation.variable_definitions or ()}

    def _selections(self, selections: SelectionSetNode, parent: GraphQLNamedType | None) -> Weight:
        weights = [*self._each(selections, parent)] or [Weight()]
        heaviest = max(weights, key=lambda weight: weight.nodes)
        return Weight(
            max(weight.depth for weight in weights),
            sum(weight.aliases for weight in weights),
            sum(weight.introspections for weight in weights),
            heaviest.nodes,
            heaviest.heaviest,
            sum(weight.costly for weight in weights),
        )

    def _each(self, selections: SelectionSetNode, parent: GraphQLNamedType | None) -> Iterator[Weight]:
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                yield self._field(selection, parent)
            elif isinstance(selection, FragmentSpreadNode):
                yield self._fragment(selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                kind = self._schema.get_type(condition.name.value) if condition is not None else parent
                yield self._selections(selection.selection_set, kind)

    def _fragment(self, name: str) -> Weight:
        if name not in self._weighed:
            fragment = self._fragments[name]
            kind = self._schema.get_type(fragment.type_condition.name.value)
            self._weighed[name] = self._selections(fragment.selection_set, kind)
        return self._weighed[name]

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Weight:
        name = node.name.value
        alias = int(node.alias is not None)
        if name.startswith("__"):  # introspection's own: it has a depth limit of its own, and few may be asked for
            inner = self._selections(node.selection_set, None) if node.selection_set is not None else Weight()
            return Weight(0, alias + inner.aliases, int(node.selection_set is not None))
        field = _field_of(parent, name)
        is_long = parent is not None and f"{parent.name}.{name}" in LONG
        size = UNSIZED if is_long else self._size(node, field) if field is not None else None
        kind = get_named_type(field.type) if field is not None else None
        inner = self._selections(node.selection_set, kind) if node.selection_set is not None else Weight()
        times = size if size is not None else 1
        return Weight(
            inner.depth + 1,
            inner.aliases + alias,
            inner.introspections,
            inner.nodes * times,
            (name, *inner.heaviest) if size is not None or inner.heaviest else (),
            (inner.costly + (name in COSTLY)) * times,
        )

    def _size(self, node: FieldNode, field: GraphQLField) -> int | None:
        """How many the field may answer; None where it has no pages."""
        known = [name for name in SIZES if name in field.args]
        if not known:
            return None
        given = {name: size for name in known if (size := self._given(node, name)) is not None}
        for name, size in given.items():
            if not 1 <= size <= self._limits.page_size:
                raise _wrong(node, f"{name} must be from 1 to {self._limits.page_size:,}; {size:,} was asked for.")
        if len(given) > 1:
            raise _wrong(node, "first and last must be given one at a time; both was asked for.")
        return next(iter(given.values()), None) or _default(field) or UNSIZED

    def _given(self, node: FieldNode, name: str) -> int | None:
        value = next((argument.value for argument in node.arguments or () if argument.name.value == name), None)
        if isinstance(value, VariableNode):
            variable = value.name.value
            if variable in self._variables:
                return _whole(self._variables[variable])
            value = self._defaults.get(variable)
        return int(value.value) if isinstance(value, IntValueNode) else None


def _field_of(parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    return parent.fields.get(name) if isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)) else None


def _default(field: GraphQLField) -> int | None:
    defaults = (field.args[name].default_value for name in SIZES if name in field.args)
    return next((value for value in defaults if isinstance(value, int)), None)


def _whole(value: object) -> int | None:
    """The number that a variable gives; what is none is refused when the variables are read."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        return None
    return int(value)


def _wrong(node: FieldNode, sentence: str) -> GraphQLError:
    return GraphQLError(sentence, [node], extensions={"code": "BAD_USER_INPUT"})
