// A symbol's candles in the session: read at every turn of it, and followed in between.
import { useEffect, useMemo } from 'react'
import { client, sentence } from '../api/client'
import { connection } from '../api/connection'
import type { Candle } from '../charts/Candles'
import { type Interval, type SessionBarFragment, SessionBarsDocument, SessionBarsToldDocument } from '../gql'
import { Store, useStore } from '../kit/store'
import type { Session } from './feed'

/** A burst of bars is one picture. */
const PICTURE_MS = 100
const RETRY_MS = 3_000

/** `isWithheld`: newer bars are there, and are not shown. */
type Told = { state: 'loading' | 'read' | 'failed'; candles: readonly Candle[]; isWithheld: boolean; error: string | null }

class Tape {
  readonly told = new Store<Told>({ state: 'loading', candles: [], isWithheld: false, error: null })
  readonly #ticker: string
  readonly #interval: Interval
  #candles = new Map<number, Candle>()
  #reading = 0
  /** Whether something has been told since the last turn. Only from then on it is sure that nothing is missed. */
  #isFollowed = false
  #picture: ReturnType<typeof setTimeout> | undefined

  constructor(ticker: string, interval: Interval) {
    this.#ticker = ticker
    this.#interval = interval
  }

  follow = () => {
    const of = { ticker: this.#ticker, interval: this.#interval }
    let again: ReturnType<typeof setTimeout> | undefined
    let unsubscribe = () => {}
    const listen = () => {
      unsubscribe = client.subscription(SessionBarsToldDocument, of).subscribe(({ data, error }) => {
        if (data) this.#add(data.bars)
        else if (error) {
          // Let go, because it was too many bars behind.
          again = setTimeout(() => {
            listen()
            void this.turn()
          }, RETRY_MS)
        }
      }).unsubscribe
    }
    listen()
    // What was told while nobody was connected is not told again.
    const forget = connection.follow(() => connection.get().state === 'connected' && void this.turn())
    return () => {
      forget()
      unsubscribe()
      clearTimeout(again)
      clearTimeout(this.#picture)
    }
  }

  /** What is told began anew, or may have: what came before it is read, and again once the next bar is told. */
  turn = () => {
    this.#isFollowed = false
    return this.read()
  }

  /** All that is shown of it now. */
  read = async (): Promise<void> => {
    const number = ++this.#reading
    const candles = new Map<number, Candle>()
    let epoch: number | null = null
    let after: string | null = null
    do {
      const page = await this.#page(after)
      if (number !== this.#reading) return // a later turn is being read
      if (typeof page === 'string') return this.told.set({ ...this.told.get(), state: 'failed', error: page })
      if (page.withheld) return this.told.set({ ...this.told.get(), state: 'read', isWithheld: true, error: null })
      if (epoch !== null && page.epoch !== epoch) return this.read() // the pages are of two sessions
      epoch = page.epoch
      for (const bar of page.nodes) candles.set(timeOf(bar), candleOf(bar))
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null
    } while (after)
    const last = Math.max(...candles.keys())
    for (const [time, candle] of this.#candles) if (time > last) candles.set(time, candle) // told while it was read
    this.#candles = candles
    this.told.set({ state: 'read', candles: [...candles.values()], isWithheld: false, error: null })
  }

  async #page(after: string | null) {
    const { data, error } = await client.query(SessionBarsDocument, { ticker: this.#ticker, interval: this.#interval, after })
    return data ? data.session.bars : sentence(error!)
  }

  #add(bar: SessionBarFragment) {
    this.#candles.set(timeOf(bar), candleOf(bar))
    if (!this.#isFollowed) void this.read()
    this.#isFollowed = true
    this.#picture ??= setTimeout(() => {
      this.#picture = undefined
      const told = this.told.get()
      // Before it was read, and until what was withheld has been read, there would be holes.
      if (told.state === 'read' && !told.isWithheld) this.told.set({ ...told, candles: [...this.#candles.values()] })
    }, PICTURE_MS)
  }
}

const timeOf = ({ openTime }: SessionBarFragment) => new Date(openTime).getTime() / 1000

const candleOf = (bar: SessionBarFragment): Candle => ({
  time: timeOf(bar),
  open: Number(bar.open),
  high: Number(bar.high),
  low: Number(bar.low),
  close: Number(bar.close),
  volume: Number(bar.volume),
})

/** What was withheld is never told later: with every turn of the gate it is read anew. */
export function useTape(ticker: string, interval: Interval, { epoch, active }: Session) {
  const tape = useMemo(() => new Tape(ticker, interval), [ticker, interval])
  useEffect(() => tape.follow(), [tape])
  // biome-ignore lint/correctness/useExhaustiveDependencies: a turn is what it is read for
  useEffect(() => void tape.turn(), [tape, epoch, active])
  return { ...useStore(tape.told), retry: tape.read }
}
