/** What stands in the tabs of a new playground. */
export const EXAMPLES = [
  {
    query: `# Which symbols are stale, and why?
query Stale {
  symbols(filter: { isStale: true }) {
    nodes {
      ticker
      stalenessMessage
      stalenessReason
      missedSessions
      freshUntil
    }
  }
}
`,
  },
  {
    query: `# Fetches the newest bars, and replaces the price levels; all of it is written, or nothing.
mutation Refresh($ticker: String!) {
  refreshSymbol(input: { ticker: $ticker }) {
    __typename
    ... on SymbolRefreshed {
      barsChanged
      levelsExtracted
      symbol {
        version
        isStale
      }
    }
    ... on Problem {
      code
      message
    }
  }
}
`,
    variables: '{ "ticker": "BA" }',
  },
  {
    query: `# Every change, over a WebSocket. Read \`symbols { cursor }\` and pass it as \`after\` to miss nothing.
subscription Changes {
  symbolChanged {
    cursor
    at
    kind
    detail
    symbol {
      ticker
      version
      isStale
      lastPrice
    }
  }
}
`,
  },
  {
    query: `# Whether the session is shown to the outside, at every turn of its gate.
subscription Session {
  sessionActivation {
    at
    active
    epoch
    reason
    laggingTickers
  }
}
`,
  },
] as const
