// Every tracked symbol as it stands: read once, then followed. What the board and the symbols' pages show.
import { useSyncExternalStore } from 'react'
import type { OperationResult } from 'urql'
import { client, sentence } from '../api/client'
import { serviceNow, setClock } from '../api/clock'
import {
  type SymbolCardFragment,
  SymbolChangedDocument,
  type SymbolChangedSubscription,
  SymbolsDocument,
  type SymbolsQuery,
} from '../gql'

export type Card = SymbolCardFragment
export type Change = SymbolChangedSubscription['symbolChanged']
export type Feed = {
  state: 'loading' | 'live' | 'failed'
  error: string | null
  /** By ticker, in the order of the alphabet. */
  symbols: ReadonlyMap<string, Card>
}

/** A burst of changes is one picture. */
const PICTURE_MS = 80
const RETRY_MS = 3_000
const LONGEST_TIMER_MS = 3_600_000
const LATER_MS = 200

class SymbolFeed {
  #feed: Feed = { state: 'loading', error: null, symbols: new Map() }
  readonly #listeners = new Set<() => void>()
  readonly #watchers = new Set<(change: Change) => void>()
  /** What has changed since the last picture; null: is not tracked any more. */
  readonly #changed = new Map<string, Card | null>()
  #picture: ReturnType<typeof setTimeout> | undefined
  #ageing: ReturnType<typeof setTimeout> | undefined
  #isStarted = false

  get = () => this.#feed

  follow = (listener: () => void) => {
    this.#listeners.add(listener)
    if (!this.#isStarted) {
      this.#isStarted = true
      void this.#read()
    }
    return () => void this.#listeners.delete(listener)
  }

  /** Calls for every single event. */
  watch = (watcher: (change: Change) => void) => {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /** What an answer has just told of a symbol; the event of it may come before or after. */
  learn = (symbol: Card) => {
    const held = this.#changed.get(symbol.ticker) ?? this.#feed.symbols.get(symbol.ticker)
    if (!held || held.version <= symbol.version) this.#change(symbol)
  }

  retry = () => {
    this.#set({ ...this.#feed, state: 'loading', error: null })
    void this.#read()
  }

  async #read() {
    await setClock()
    const symbols = new Map<string, Card>()
    let after: string | null = null
    let cursor = ''
    do {
      const { data, error }: OperationResult<SymbolsQuery> = await client.query(SymbolsDocument, { after }).toPromise()
      if (!data) {
        this.#set({ ...this.#feed, state: 'failed', error: error ? sentence(error) : null })
        return
      }
      for (const symbol of data.symbols.nodes) symbols.set(symbol.ticker, symbol)
      cursor ||= data.symbols.cursor // of the first page: nothing since then is missed
      after = data.symbols.pageInfo.hasNextPage ? data.symbols.pageInfo.endCursor : null
    } while (after)
    this.#set({ state: 'live', error: null, symbols })
    this.#followFrom(cursor)
  }

  #followFrom(cursor: string) {
    client.subscription(SymbolChangedDocument, { after: cursor }).subscribe(({ data, error }) => {
      if (data) {
        const { symbol } = data.symbolChanged
        this.#change(symbol)
        for (const watcher of this.#watchers) watcher(data.symbolChanged)
      } else if (error) {
        setTimeout(() => void this.#read(), RETRY_MS) // away for longer than the log reaches back
      }
    })
  }

  #change(symbol: Card) {
    this.#changed.set(symbol.ticker, symbol.status === 'RETIRED' ? null : symbol)
    this.#picture ??= setTimeout(() => this.#develop(), PICTURE_MS)
  }

  #develop() {
    this.#picture = undefined
    const symbols = new Map(this.#feed.symbols)
    let isNew = false
    for (const [ticker, symbol] of this.#changed) {
      isNew ||= symbol !== null && !symbols.has(ticker)
      if (symbol) symbols.set(ticker, symbol)
      else symbols.delete(ticker)
    }
    this.#changed.clear()
    this.#set({
      ...this.#feed,
      symbols: isNew ? new Map([...symbols].sort(([one], [other]) => (one < other ? -1 : 1))) : symbols,
    })
  }

  /** Freshness passes by itself: who is due is read again at the instant the service has named. */
  #age() {
    clearTimeout(this.#ageing)
    const due = [...this.#feed.symbols.values()].flatMap(({ freshUntil }) =>
      freshUntil ? [new Date(freshUntil).getTime()] : [],
    )
    if (!due.length) return
    const wait = Math.min(Math.max(Math.min(...due) - serviceNow() + LATER_MS, LATER_MS), LONGEST_TIMER_MS)
    this.#ageing = setTimeout(() => void this.#readAged(), wait)
  }

  async #readAged() {
    const now = serviceNow()
    const isDue = ({ freshUntil }: Card) => freshUntil !== null && new Date(freshUntil).getTime() <= now
    const tickers = [...this.#feed.symbols.values()].filter(isDue).map(({ ticker }) => ticker)
    for (let start = 0; start < tickers.length; start += 250) {
      const { data } = await client.query(SymbolsDocument, { tickers: tickers.slice(start, start + 250) })
      for (const symbol of data?.symbols.nodes ?? []) this.learn(symbol)
    }
    if (!this.#changed.size) this.#ageing = setTimeout(() => this.#age(), RETRY_MS)
  }

  #set(feed: Feed) {
    this.#feed = feed
    this.#age()
    for (const listener of this.#listeners) listener()
  }
}

export const symbolFeed = new SymbolFeed()

export const useSymbols = () => useSyncExternalStore(symbolFeed.follow, symbolFeed.get)

/** Undefined while the symbols are being read, and of one that is not tracked. */
export const useSymbol = (ticker: string) => useSyncExternalStore(symbolFeed.follow, () => symbolFeed.get().symbols.get(ticker))
