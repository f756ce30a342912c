// How long a bar is: as the address of a page names it, and as people say it.
import type { Interval } from '../gql'

export const INTERVALS: readonly (readonly [Interval, short: string, text: string])[] = [
  ['ONE_MINUTE', '1m', '1 minute'],
  ['FIVE_MINUTES', '5m', '5 minutes'],
  ['FIFTEEN_MINUTES', '15m', '15 minutes'],
  ['THIRTY_MINUTES', '30m', '30 minutes'],
  ['ONE_HOUR', '1h', '1 hour'],
  ['FOUR_HOURS', '4h', '4 hours'],
  ['ONE_DAY', '1d', '1 day'],
]

export const shortOf = (interval: Interval) => INTERVALS.find(([one]) => one === interval)![1]

export const textOf = (interval: Interval) => INTERVALS.find(([one]) => one === interval)![2]

/** Days, where the address names none. */
export const intervalOf = (short: string | null): Interval => INTERVALS.find(([, one]) => one === short)?.[0] ?? 'ONE_DAY'
