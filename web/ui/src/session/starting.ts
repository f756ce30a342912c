// What is filled in to start a session, and what is asked for with it.
import { serviceNow } from '../api/clock'
import type { GatingPolicy, SessionMode, StartSessionInput } from '../gql'
import type { Session } from './feed'

/** Numbers as they are typed; empty: as configured. */
export type Wish = {
  mode: SessionMode
  date: string
  speed: string
  tickers: ReadonlySet<string>
  gating: GatingPolicy
  catchupThresholdSeconds: string
  catchupCheckInterval: string
  quarantineAfterSeconds: string
}

const DAY_MS = 86_400_000
const SPEED = '60'

/** The last session again; where there was none, a replay of the last weekday that is over. */
export function suggested({ version, mode, clock, speed, gating, symbols }: Session): Wish {
  const isAgain = version > 0 && mode === 'REPLAY'
  return {
    mode: 'REPLAY',
    date: isAgain ? clock.slice(0, 10) : lastWeekday(),
    speed: isAgain ? String(speed) : SPEED,
    tickers: new Set(symbols.map(({ ticker }) => ticker)),
    gating,
    catchupThresholdSeconds: '',
    catchupCheckInterval: '',
    quarantineAfterSeconds: '',
  }
}

function lastWeekday(): string {
  let day = new Date(serviceNow() - DAY_MS)
  while (day.getUTCDay() % 6 === 0) day = new Date(day.getTime() - DAY_MS)
  return day.toISOString().slice(0, 10)
}

const number = (text: string) => (text === '' ? null : Number(text))

export function asked(wish: Wish): Omit<StartSessionInput, 'expectedVersion'> {
  const isReplay = wish.mode === 'REPLAY'
  return {
    mode: wish.mode,
    tickers: [...wish.tickers],
    date: isReplay ? wish.date || null : null,
    speed: isReplay ? Number(wish.speed) : 1,
    gating: wish.gating,
    catchupThresholdSeconds: number(wish.catchupThresholdSeconds),
    catchupCheckInterval: number(wish.catchupCheckInterval),
    quarantineAfterSeconds: number(wish.quarantineAfterSeconds),
  }
}
