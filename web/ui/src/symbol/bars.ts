// The stored bars of a symbol, newest first read, older ones when they are wanted; what a live session completes comes by itself.
import { useCallback, useEffect, useRef, useState } from 'react'
import { client, sentence } from '../api/client'
import type { Candle } from '../charts/Candles'
import { type Interval, SymbolBarsDocument, type SymbolBarsQuery, SymbolLiveBarsDocument } from '../gql'
import { type Session, useSession } from '../session/feed'

type Page = NonNullable<SymbolBarsQuery['symbol']>['bars']
type Row = Page['nodes'][number]
/** `older`: where to go on reading back; null at the first bar that there is. */
export type Bars = { candles: readonly Candle[]; older: string | null; withheld: boolean }

export const candleOf = ({ openTime, open, high, low, close, volume }: Row): Candle => ({
  time: new Date(openTime).getTime() / 1000,
  open: Number(open),
  high: Number(high),
  low: Number(low),
  close: Number(close),
  volume: Number(volume),
})

/** The newest bars, or those before a cursor. */
async function readPage(ticker: string, interval: Interval, before: string | null): Promise<Bars> {
  const { data, error } = await client.query(SymbolBarsDocument, { ticker, interval, before })
  if (!data) throw new Error(error && sentence(error))
  const page = data.symbol?.bars
  if (!page) return { candles: [], older: null, withheld: false }
  const { hasPreviousPage, startCursor } = page.pageInfo
  return { candles: page.nodes.map(candleOf), older: hasPreviousPage ? startCursor : null, withheld: page.withheld }
}

const before = (page: Bars, { candles, withheld }: Bars): Bars => ({
  ...page,
  candles: [...page.candles, ...candles],
  withheld,
})

/** From the newest back to this time, in seconds, at least. */
async function readBack(ticker: string, interval: Interval, to: number): Promise<Bars> {
  let bars = await readPage(ticker, interval, null)
  while (bars.older && bars.candles[0]!.time > to) bars = before(await readPage(ticker, interval, bars.older), bars)
  return bars
}

/** With a bar that has just been completed, or has changed. */
export function withBar(candles: readonly Candle[], bar: Candle): readonly Candle[] {
  const last = candles.at(-1)
  if (!last || bar.time > last.time) return [...candles, bar]
  return bar.time === last.time ? [...candles.slice(0, -1), bar] : candles
}

const isLiveIn = (session: Session | null, ticker: string) =>
  session?.mode === 'LIVE' && session.state !== 'STOPPED' && session.symbols.some((symbol) => symbol.ticker === ticker)

/** Of one ticker and interval, as long as the component is there. */
export function useBars(ticker: string, interval: Interval, turn: unknown) {
  const [bars, setBars] = useState<Bars>()
  const [error, setError] = useState<string>()
  const [attempt, setAttempt] = useState(0)
  const [isReadingBack, setReadingBack] = useState(false)
  const oldest = useRef(Number.POSITIVE_INFINITY)
  oldest.current = bars?.candles[0]?.time ?? Number.POSITIVE_INFINITY
  const session = useSession()
  const isLive = isLiveIn(session, ticker)
  const epoch = isLive ? session?.epoch : null

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new turn, epoch or attempt is what makes it read again
  useEffect(() => {
    let isCurrent = true
    readBack(ticker, interval, oldest.current).then(
      (read) => {
        if (!isCurrent) return
        setBars(read)
        setError(undefined)
      },
      (problem: Error) => isCurrent && setError(problem.message),
    )
    return () => {
      isCurrent = false
    }
  }, [ticker, interval, turn, epoch, attempt])

  useEffect(() => {
    if (!isLive) return
    return client.subscription(SymbolLiveBarsDocument, { ticker, interval }).subscribe(({ data }) => {
      if (data) setBars((held) => held && { ...held, candles: withBar(held.candles, candleOf(data.bars)) })
    }).unsubscribe
  }, [ticker, interval, isLive])

  const older = bars?.older
  const readOlder = useCallback(async () => {
    if (!older || isReadingBack) return
    setReadingBack(true)
    try {
      const page = await readPage(ticker, interval, older)
      setBars((held) => (held?.older === older ? before(page, held) : held))
    } catch (problem) {
      setError((problem as Error).message)
    }
    setReadingBack(false)
  }, [ticker, interval, older, isReadingBack])

  return { bars, error, isReadingBack, readOlder, retry: () => setAttempt(attempt + 1) }
}
