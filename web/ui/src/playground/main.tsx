import './workers'
import 'graphiql/style.css'
import '../style/tokens.css'
import '../style/base.css'
import '../style/shell.css'
import './playground.css'
import { createGraphiQLFetcher } from '@graphiql/toolkit'
import { GraphiQL } from 'graphiql'
import { createClient } from 'graphql-ws'
import { useSyncExternalStore } from 'react'
import { createRoot } from 'react-dom/client'
import { ThemeChoice } from '../kit/ThemeChoice'
import { colours, onColours } from '../kit/theme'
import { EXAMPLES } from './examples'

const url = new URL('/graphql', location.href).href
const fetcher = createGraphiQLFetcher({ url, wsClient: createClient({ url: url.replace(/^http/, 'ws') }) })

function Playground() {
  return (
    <>
      <header className="top">
        <a href="/" className="brand">
          <img src="/favicon.svg" alt="" width="20" height="20" /> Freshtape
        </a>
        <nav aria-label="Pages">
          <a href="/">Dashboard</a>
          <h1>Playground</h1>
        </nav>
        <ThemeChoice />
      </header>
      <main>
        <GraphiQL
          fetcher={fetcher}
          defaultTabs={[...EXAMPLES]}
          forcedTheme={useSyncExternalStore(onColours, colours)}
          isHeadersEditorEnabled={false}
        >
          <GraphiQL.Logo> </GraphiQL.Logo>
        </GraphiQL>
      </main>
    </>
  )
}

createRoot(document.getElementById('root')!).render(<Playground />)
