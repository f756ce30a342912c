"""GraphQL: types, resolvers, problems."""
