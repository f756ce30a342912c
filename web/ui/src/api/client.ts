// The one way to the service. Nothing is cached: what was read is kept current by what is followed, or read again.
import { createClient as createSocket } from 'graphql-ws'
import { Client, CombinedError, fetchExchange, subscriptionExchange } from 'urql'
import { connection, era } from './connection'

const PING_MS = 15_000
const PONG_MS = 5_000
const LONGEST_WAIT_MS = 4_000
const NOBODY_FOLLOWS = 1000

const url = new URL('/graphql', location.href).href
let unanswered: ReturnType<typeof setTimeout> | undefined
let lostAt: number | undefined
let connections = 0

const socket = createSocket({
  url: url.replace(/^http/, 'ws'),
  keepAlive: PING_MS,
  lazyCloseTimeout: 10_000,
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: (times) => wait(Math.min(250 * 2 ** times, LONGEST_WAIT_MS) * (0.75 + Math.random() / 2)),
  on: {
    connected: () => {
      connections += 1
      lostAt = undefined
      connection.set({ state: 'connected' })
    },
    closed: (event) => {
      clearTimeout(unanswered)
      if ((event as CloseEvent).code === NOBODY_FOLLOWS) return
      lostAt ??= Date.now()
      connection.set({ state: 'reconnecting', since: lostAt })
    },
    // A connection that died without a word is found out, too.
    ping: (received) => {
      if (!received) unanswered = setTimeout(() => socket.terminate(), PONG_MS)
    },
    pong: (received) => {
      if (received) clearTimeout(unanswered)
    },
  },
})

const wait = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))

type Data = Record<string, unknown>
export type Heard<Event> = {
  next: (data: Event) => void
  /** By an error, by the service, or by being left: nothing more is told. */
  ended: (error?: Error) => void
}

/** After a lost connection it goes on behind the last cursor that it has told. */
export function subscribe(query: string, variables: object, { next, ended }: Heard<Data>): () => void {
  const current: Data = { ...variables } // read whenever it is sent
  const fail = (error: unknown) => {
    leave()
    if (isForgotten(error)) era.set(connections) // once for all that are told so on a connection
    ended(Array.isArray(error) ? new CombinedError({ graphQLErrors: error }) : new Error('The connection was refused'))
  }
  const leave = socket.subscribe<Data>(
    { query, variables: current },
    {
      next: ({ data, errors }) => {
        if (!data) return fail(errors) // what could not be told is not passed over
        current.after = cursorOf(data) ?? current.after
        next(data)
      },
      error: fail,
      complete: () => ended(),
    },
  )
  return leave
}

const cursorOf = (data: Data): string | undefined =>
  Object.values(data)
    .map((event) => (event as { cursor?: string } | null)?.cursor)
    .find((cursor) => cursor !== undefined)

const isForgotten = (error: unknown) =>
  Array.isArray(error) && error.some(({ extensions }) => extensions?.code === 'CURSOR_EXPIRED')

export const client = new Client({
  url,
  preferGetMethod: false,
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({
          unsubscribe: subscribe(query ?? '', variables ?? {}, {
            next: (data) => sink.next({ data }),
            // Not as a result: urql would hand on the last event with it, as if that had come again.
            ended: (error) => (error ? sink.error(error) : sink.complete()),
          }),
        }),
      }),
    }),
  ],
})

/** One sentence for a person, of an answer that holds an error. */
export function sentence({ networkError, graphQLErrors }: CombinedError): string {
  if (networkError instanceof CombinedError) return sentence(networkError)
  if (networkError) return 'The service does not answer. Try again in a moment.'
  return graphQLErrors.map(({ message }) => message).join(' ')
}
