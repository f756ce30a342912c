// The one way to the service. Nothing is cached: what was read is kept current by what is followed, or read again.
import { createClient as createSocket } from 'graphql-ws'
import { Client, type CombinedError, fetchExchange, subscriptionExchange } from 'urql'
import { connection } from './connection'

const PING_SECONDS = 15
const PONG_SECONDS = 5
const LONGEST_WAIT_SECONDS = 4
const NOBODY_FOLLOWS = 1000

const url = new URL('/graphql', location.href).href
let unanswered: ReturnType<typeof setTimeout> | undefined
let lostAt: number | undefined

const socket = createSocket({
  url: url.replace(/^http/, 'ws'),
  keepAlive: PING_SECONDS * 1000,
  lazyCloseTimeout: 10_000,
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: (times) => wait(Math.min(0.25 * 2 ** times, LONGEST_WAIT_SECONDS) * (0.75 + Math.random() / 2)),
  on: {
    connected: () => {
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
      if (!received) unanswered = setTimeout(() => socket.terminate(), PONG_SECONDS * 1000)
    },
    pong: (received) => {
      if (received) clearTimeout(unanswered)
    },
  },
})

const wait = (seconds: number) => new Promise<void>((resolve) => setTimeout(resolve, seconds * 1000))

const cursorOf = (data: Record<string, unknown> | null | undefined): string | undefined =>
  Object.values(data ?? {})
    .map((event) => (event as { cursor?: string } | null)?.cursor)
    .find((cursor) => cursor !== undefined)

export const client = new Client({
  url,
  preferGetMethod: false,
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => {
          // Read whenever they are sent: after a lost connection, a subscription goes on behind the last cursor it told.
          const current: Record<string, unknown> = { ...variables }
          const unsubscribe = socket.subscribe<Record<string, unknown>>(
            { query: query ?? '', variables: current },
            {
              next: (result) => {
                const cursor = cursorOf(result.data)
                if (cursor !== undefined) current.after = cursor
                sink.next(result as Parameters<typeof sink.next>[0])
              },
              error: (error) => sink.error(error),
              complete: () => sink.complete(),
            },
          )
          return { unsubscribe }
        },
      }),
    }),
  ],
})

/** One sentence for a person, of an answer that holds an error. */
export function sentence(error: CombinedError): string {
  if (error.networkError) return 'The service does not answer. It is asked again when you are ready.'
  return error.graphQLErrors.map(({ message }) => message).join(' ')
}
