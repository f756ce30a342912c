"""The GraphQL endpoint: POST, GET, server-sent events and graphql-transport-ws, all under one path."""
