/** What stands in the tabs of a new playground, in the order in which one would try them. */
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
    query: `# A symbol with its newest candles, the price levels near them, and what is missing.
query Chart($ticker: String!) {
  symbol(ticker: $ticker) {
    name
    lastPrice
    direction
    bars(interval: ONE_DAY, last: 20) {
      nodes {
        openTime
        open
        high
        low
        close
        volume
      }
    }
    levels(first: 5) {
      kind
      price
      strength
      touches
    }
    stats {
      coverage
      gapsDetected
      missingIntervals(first: 5) {
        start
        end
        cause
      }
    }
  }
}
`,
    variables: '{ "ticker": "NVDA" }',
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
    query: `# Brings symbols in: prices, levels, factors. The next tab shows how far they are.
mutation Onboard($tickers: [String!]!) {
  onboardSymbols(input: { tickers: $tickers }) {
    __typename
    ... on OnboardingQueued {
      readyTickers
      jobs {
        id
        ticker
        status
        position
        estimatedSeconds
      }
    }
    ... on Problem {
      code
      message
    }
  }
}
`,
    variables: '{ "tickers": ["PLTR", "QCOM"] }',
  },
  {
    query: `# Each job as it stands, then every step, until all of them have ended.
subscription Progress($tickers: [String!]) {
  onboardingProgress(tickers: $tickers) {
    at
    job {
      ticker
      status
      phase
      progressPercent
      error
    }
  }
}
`,
    variables: '{ "tickers": ["PLTR", "QCOM"] }',
  },
  {
    query: `# Reads a file and writes nothing: every mistake with its line. Without dryRun the portfolio is imported.
mutation Import($csv: String!) {
  importPortfolio(input: { name: "Example", csv: $csv, dryRun: true }) {
    __typename
    ... on PortfolioChecked {
      knownTickers
      unknownTickers
      rows {
        line
        ticker
        quantity
        entryPrice
      }
      errors {
        line
        column
        value
        message
        hint
      }
    }
    ... on Problem {
      code
      message
    }
  }
}
`,
    variables: '{ "csv": "symbol,quantity,entry price\\nAAPL,10,150.25\\nTSM,5,101\\nNVDA,many,88.10" }',
  },
  {
    query: `# The session, and the minutes that it shows of one of its symbols.
query Session($ticker: String!) {
  session {
    mode
    state
    active
    reason
    epoch
    clock
    symbols {
      ticker
      phase
      lagSeconds
      barsProcessed
    }
    bars(ticker: $ticker, first: 5) {
      withheld
      epoch
      nodes {
        openTime
        close
        volume
      }
    }
  }
}
`,
    variables: '{ "ticker": "AAPL" }',
  },
  {
    query: `# Whether the session is shown to the outside, at every turn of its gate.
subscription Turns {
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
  {
    query: `# How the service and its providers are doing.
query Service {
  service {
    version
    now
    database
    providers {
      name
      circuit
      retryAt
      lastError
    }
    freshness {
      assetClass
      tracked
      fresh
      medianHours
    }
    queues {
      name
      pending
      underWay
      failed
    }
  }
}
`,
  },
] as const
