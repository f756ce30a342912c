"""The schema holds what the contract promises: all of it, as written, but for what is named here as not there yet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    BreakingChangeType,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    find_breaking_changes,
    get_named_type,
    print_ast,
)

from graph.schema import schema

ROOT = Path(__file__).parents[2]

NOT_YET = frozenset(
    {
        "Mutation.createApiKey",
        "Mutation.revokeApiKey",
        "Query.apiKeys",
    }
)
"""Fields of the contract, and arguments of fields, that the schema does not have yet. The types that only they lead to are not
asked for either."""

contract = build_schema((Path(__file__).parent / "contract.graphql").read_text())
ours = build_schema(schema.as_str())  # the same builder makes both, so that equal things look equal


def fields_of(kind: GraphQLNamedType) -> dict[str, Any]:
    return dict(kind.fields) if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType, GraphQLInputObjectType)) else {}


def reachable(given: GraphQLSchema) -> list[GraphQLNamedType]:
    """The types that the roots lead to, by way of the fields that are to be there."""
    found: dict[str, GraphQLNamedType] = {}
    ahead: list[GraphQLNamedType] = [root for root in (given.query_type, given.mutation_type, given.subscription_type) if root]
    while ahead:
        kind = ahead.pop()
        if kind.name not in found:
            found[kind.name] = kind
            ahead.extend(next_to(kind))
    return list(found.values())


def next_to(kind: GraphQLNamedType) -> Iterator[GraphQLNamedType]:
    if isinstance(kind, GraphQLUnionType):
        yield from kind.types
    for name, field in fields_of(kind).items():
        if f"{kind.name}.{name}" not in NOT_YET:
            yield get_named_type(field.type)
            yield from (get_named_type(argument.type) for _, argument in arguments_of(f"{kind.name}.{name}", field))


def facts(kind: GraphQLNamedType) -> Iterator[str]:
    """One line for each thing that a client may rely on."""
    yield f"{type(kind).__name__} {kind.name}"
    for interface in getattr(kind, "interfaces", ()):
        yield f"{kind.name} implements {interface.name}"
    if isinstance(kind, GraphQLUnionType):
        yield from (f"{kind.name} may be {member.name}" for member in kind.types)
    if isinstance(kind, GraphQLEnumType):
        for value, definition in kind.values.items():
            yield from told(f"{kind.name}.{value}", definition.description)
    for name, field in fields_of(kind).items():
        where = f"{kind.name}.{name}"
        if where not in NOT_YET:
            yield from told(where, field.description)
            yield typed(where, field)
            yield from (typed(there, argument) for there, argument in arguments_of(where, field))


def arguments_of(where: str, field: Any) -> Iterator[tuple[str, GraphQLArgument]]:
    """Those that are to be there, each with its place."""
    for name, argument in getattr(field, "args", {}).items():
        if f"{where}({name})" not in NOT_YET:
            yield f"{where}({name})", argument


def told(where: str, description: str | None) -> Iterator[str]:
    yield where
    if description:
        yield f"{where} is described"


def typed(where: str, definition: Any) -> str:
    """The type with its nullability, and the default as it is printed: none is not `= null`."""
    if not isinstance(definition, (GraphQLArgument, GraphQLInputField)):
        return f"{where}: {definition.type}"
    default = definition.ast_node.default_value if definition.ast_node else None
    written = f" = {print_ast(default)}" if default else ""
    return f"{where}: {definition.type}{written}"


OURS = {fact for kind in reachable(ours) for fact in facts(kind)}


@pytest.mark.parametrize("kind", reachable(contract), ids=lambda kind: kind.name)
def test_what_the_contract_promises_is_there(kind: GraphQLNamedType) -> None:
    assert set(facts(kind)) - OURS == set()


def test_what_is_not_there_yet_is_promised_and_absent() -> None:
    assert {entry for entry in NOT_YET if not has(contract, entry)} == set()
    assert {entry for entry in NOT_YET if has(ours, entry)} == set()


def has(given: GraphQLSchema, entry: str) -> bool:
    kind, _, field = entry.partition(".")
    field, _, argument = field.removesuffix(")").partition("(")
    found = fields_of(given.type_map[kind]).get(field)
    return found is not None and (not argument or argument in found.args)


def test_what_the_schema_adds_is_required_of_nobody() -> None:
    required = {BreakingChangeType.REQUIRED_ARG_ADDED, BreakingChangeType.REQUIRED_INPUT_FIELD_ADDED}
    assert [change for change in find_breaking_changes(contract, ours) if change.type in required] == []


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    assert (ROOT / "schema.graphql").read_text() == schema.as_str() + "\n"
