// What a chart shows, and what changes from one picture of it to the next.
import { many } from '../kit/figures'

/** `time`: of the open, in seconds UTC. */
export type Candle = { time: number; open: number; high: number; low: number; close: number; volume: number }
/** A level, or a zone up to `upper`; `label` is short, it stands before the price on the axis. */
export type Line = { price: number; upper?: number; label: string; tone: 'good' | 'bad' | 'plain' }
/** Bars that are missing: from the open of the first to the close of the last, in seconds UTC. */
export type Gap = { start: number; end: number; label: string }

const isSame = (one: Candle, other: Candle) =>
  one === other ||
  (one.time === other.time &&
    one.open === other.open &&
    one.high === other.high &&
    one.low === other.low &&
    one.close === other.close &&
    one.volume === other.volume)

/** From which candle on the two differ, where that is the last one before or later: so much can be drawn by itself. Else null. */
export function continuesAt(before: readonly Candle[], after: readonly Candle[]): number | null {
  const last = before.length - 1
  if (last < 0 || after.length <= last || after[last]!.time !== before[last]!.time) return null
  for (let index = 0; index < last; index++) if (!isSame(before[index]!, after[index]!)) return null
  return isSame(before[last]!, after[last]!) ? last + 1 : last
}

/** Those that lie between the candles. */
export function gapsBetween(candles: readonly Candle[], gaps: readonly Gap[]): readonly Gap[] {
  const first = candles[0]?.time ?? 0
  const last = candles.at(-1)?.time ?? 0
  return gaps.filter(({ start }) => start > first && start < last)
}

/** Every price within reach of the candles' own: so that a level far away does not press them flat. */
export function withinReach(low: number, high: number, prices: readonly number[]): { low: number; high: number } {
  const reach = (high - low) * 0.4
  const near = prices.filter((price) => price >= low - reach && price <= high + reach)
  return { low: Math.min(low, ...near), high: Math.max(high, ...near) }
}

type Words = { when: (time: number) => string; figure: (price: number) => string }

/** What the chart shows, in one sentence. */
export function describe(label: string, candles: readonly Candle[], marks: readonly string[], { when, figure }: Words): string {
  const first = candles[0]
  const last = candles.at(-1)
  if (!first || !last) return `${label}: no bars`
  const low = candles.reduce((lowest, candle) => Math.min(lowest, candle.low), first.low)
  const high = candles.reduce((highest, candle) => Math.max(highest, candle.high), first.high)
  return [
    `${label}: ${many(candles.length, 'bar')} from ${when(first.time)} to ${when(last.time)}`,
    `between ${figure(low)} and ${figure(high)}`,
    `last close ${figure(last.close)}`,
    ...marks,
  ].join(', ')
}
