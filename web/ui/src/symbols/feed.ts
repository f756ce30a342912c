// Every tracked symbol as it stands: read once, then followed. What the board and the symbols' pages show.
import { useSyncExternalStore } from 'react'
import type { OperationResult } from 'urql'
import { client, sentence } from '../api/client'
import { serviceNow, setClock } from '../api/clock'
import { era } from '../api/connection'
import { follow } from '../api/follow'
import {
  type SymbolCardFragment,
  SymbolChangedDocument,
  type SymbolChangedSubscription,
  SymbolsDocument,
  type SymbolsQuery,
} from '../gql'
import { Store } from '../kit/store'

export type Card = SymbolCardFragment
export type Change = SymbolChangedSubscription['symbolChanged']
export type Feed = {
  state: 'loading' | 'live' | 'failed'
  error: string | null
  /** By ticker, in the order of the alphabet. */
  symbols: ReadonlyMap<string, Card>
}

const LOADING: Feed = { state: 'loading', error: null, symbols: new Map() }
/** A burst of changes is one picture. */
const PICTURE_MS = 80
/** How often is looked for symbols whose freshness has changed by the passing of time. */
const LOOK_MS = 3_000
const PAGE = 250

class SymbolFeed {
  readonly #feed = new Store(LOADING)
  readonly #watchers = new Set<(change: Change) => void>()
  /** Since the last picture. */
  readonly #changed = new Map<string, Card>()
  #picture: ReturnType<typeof setTimeout> | undefined
  #following: ReturnType<typeof follow> | undefined

  get = () => this.#feed.get()

  follow = (listener: () => void) => {
    if (!this.#following) this.#start()
    return this.#feed.follow(listener)
  }

  /** Calls for every single event. */
  watch = (watcher: (change: Change) => void) => {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /** What an answer has just told of a symbol; the event of it may come before or after. */
  learn = (symbol: Card) => {
    const held = this.#held(symbol.ticker)
    if (!held || held.version <= symbol.version) this.#change(symbol)
  }

  retry = () => {
    this.#feed.set(LOADING)
    void this.#following?.again()
  }

  /** From the first look on, for as long as the page lives. */
  #start() {
    era.follow(() => {
      this.#changed.clear()
      this.#feed.set(LOADING)
    })
    this.#following = follow(SymbolChangedDocument, this.#read, ({ symbolChanged }) => {
      this.#change(symbolChanged.symbol)
      for (const watcher of this.#watchers) watcher(symbolChanged)
    })
    this.#age()
    document.addEventListener('visibilitychange', () => void this.#readAged())
  }

  /** All of them; what they are followed from. */
  #read = async () => {
    const clock = setClock()
    const symbols = new Map<string, Card>()
    let after: string | null = null
    let cursor = ''
    do {
      const { data, error }: OperationResult<SymbolsQuery> = await client.query(SymbolsDocument, { after }).toPromise()
      if (!data) {
        this.#feed.set({ ...LOADING, state: 'failed', error: error ? sentence(error) : null })
        return null
      }
      for (const symbol of data.symbols.nodes) symbols.set(symbol.ticker, symbol)
      cursor ||= data.symbols.cursor // of the first page: nothing since then is missed
      after = data.symbols.pageInfo.hasNextPage ? data.symbols.pageInfo.endCursor : null
    } while (after)
    await clock
    this.#changed.clear() // is in what was read, or is told again
    this.#feed.set({ state: 'live', error: null, symbols })
    return { after: cursor }
  }

  #held = (ticker: string) => this.#changed.get(ticker) ?? this.get().symbols.get(ticker)

  #change(symbol: Card) {
    this.#changed.set(symbol.ticker, symbol)
    this.#picture ??= setTimeout(this.#develop, PICTURE_MS)
  }

  #develop = () => {
    this.#picture = undefined
    const symbols = new Map(this.get().symbols)
    let isNew = false
    for (const [ticker, symbol] of this.#changed) {
      const isTracked = symbol.status !== 'RETIRED'
      isNew ||= isTracked && !symbols.has(ticker)
      if (isTracked) symbols.set(ticker, symbol)
      else symbols.delete(ticker)
    }
    this.#changed.clear()
    const sorted = () => new Map([...symbols].sort(([one], [other]) => (one < other ? -1 : 1)))
    this.#feed.set({ ...this.get(), symbols: isNew ? sorted() : symbols })
  }

  /** Freshness passes by itself: who is due is read again, until the service says so, too. */
  #age = async () => {
    await this.#readAged()
    setTimeout(this.#age, LOOK_MS)
  }

  async #readAged() {
    if (document.hidden) return
    const now = serviceNow()
    const aged = [...this.get().symbols.values()].filter((card) => card.freshUntil && Date.parse(card.freshUntil) <= now)
    for (let start = 0; start < aged.length; start += PAGE) {
      const asked = new Map(aged.slice(start, start + PAGE).map((card) => [card.ticker, card]))
      const { data } = await client.query(SymbolsDocument, { tickers: [...asked.keys()] })
      for (const symbol of data?.symbols.nodes ?? []) {
        const isAsItWas = this.#held(symbol.ticker) === asked.get(symbol.ticker)
        if (isAsItWas) this.#change(symbol) // else an event was faster than the answer
      }
    }
  }
}

export const symbolFeed = new SymbolFeed()

export const useSymbols = () => useSyncExternalStore(symbolFeed.follow, symbolFeed.get)

/** Undefined while the symbols are being read, and of one that is not tracked. */
export const useSymbol = (ticker: string) => useSyncExternalStore(symbolFeed.follow, () => symbolFeed.get().symbols.get(ticker))
