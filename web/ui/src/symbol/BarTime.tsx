import type { Interval } from '../gql'
import { Instant, zoneOf } from '../kit/times'

type BarTimeProps = { at: string; interval: Interval; exchange: string | null; isEnd?: boolean }

/** When a bar opened, or ended; of daily bars the trading day, which the market's zone decides. */
export function BarTime({ at, interval, exchange, isEnd = false }: BarTimeProps) {
  if (interval !== 'ONE_DAY') return <Instant at={at} exchange={exchange} />
  return <time dateTime={at}>{tradingDay(at, exchange, isEnd)}</time>
}

/** The end of a day that ends at midnight is of that day. */
export function tradingDay(at: string, exchange: string | null, isEnd = false): string {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: zoneOf(exchange) })
  return format.format(new Date(at).getTime() - (isEnd ? 1 : 0))
}

type SpanProps = { start: string; end: string; interval: Interval; exchange: string | null }

/** From the open of the first bar to the end of the last. */
export function Span({ start, end, interval, exchange }: SpanProps) {
  const isOneDay = interval === 'ONE_DAY' && tradingDay(start, exchange) === tradingDay(end, exchange, true)
  return (
    <>
      <BarTime at={start} interval={interval} exchange={exchange} />
      {!isOneDay && (
        <>
          {' – '}
          <BarTime at={end} interval={interval} exchange={exchange} isEnd />
        </>
      )}
    </>
  )
}
