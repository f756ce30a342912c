import './workers'
import 'graphiql/style.css'
import '../style/tokens.css'
import './playground.css'
import { createGraphiQLFetcher } from '@graphiql/toolkit'
import { GraphiQL } from 'graphiql'
import { createClient } from 'graphql-ws'
import { createRoot } from 'react-dom/client'
import { EXAMPLES } from './examples'

const url = new URL('/graphql', location.href).href
const fetcher = createGraphiQLFetcher({ url, wsClient: createClient({ url: url.replace(/^http/, 'ws') }) })

createRoot(document.getElementById('root')!).render(<GraphiQL fetcher={fetcher} defaultTabs={[...EXAMPLES]} />)
