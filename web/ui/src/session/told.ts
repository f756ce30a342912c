// What is said of a session, in words.
import { words } from '../kit/figures'
import type { Tone } from '../kit/kit'
import type { Part, Session } from './feed'

const NAMED = 3

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const

/** `29 min 2 s`: the two largest units that it has. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const first = UNITS.findIndex(([, size]) => whole >= size)
  if (first < 0) return '0 s'
  const parts = UNITS.slice(first, first + 2).map(([unit, size], index) => {
    const rest = index ? whole % UNITS[first]![1] : whole
    return [Math.floor(rest / size), unit] as const
  })
  return parts.flatMap(([number, unit]) => (number ? [`${number} ${unit}`] : [])).join(' ')
}

export const STANDINGS: Record<Session['state'], readonly [sign: string, tone: Tone]> = {
  ACTIVE: ['●', 'good'],
  INACTIVE: ['■', 'bad'],
  PAUSED: ['❚❚', 'warn'],
  STARTING: ['◌', 'info'],
  FINISHED: ['✓', 'plain'],
  STOPPED: ['○', 'plain'],
}

export const PHASES: Record<Part['phase'], readonly [tone: Tone, meaning: string]> = {
  PENDING: ['info', 'Waits until it can be used: one that is not known yet is onboarded first'],
  LOADING: ['info', 'Its minutes of the day are being read'],
  CATCHING_UP: ['warn', 'Works through past minutes beside the others'],
  LIVE: ['good', 'Where the session is'],
  LAGGING: ['bad', 'Was live, and is further behind than its threshold'],
  IDLE: ['plain', 'Nothing is due from it now'],
  QUARANTINED: ['bad', 'Has been behind for too long: withheld alone, and no longer counted'],
  FAILED: ['bad', 'Takes no part'],
}

/** `replay of 25 Mar 2026 at 60×` */
export function describe({ mode, clock, speed }: Session): string {
  if (mode === 'LIVE') return 'Following the present'
  const day = new Date(clock).toLocaleDateString(undefined, { dateStyle: 'medium' })
  return `Replay of ${day}, ${speed ? `${speed}×` : 'as fast as it goes'}`
}

export const gate = ({ gating }: Session) =>
  gating === 'SESSION' ? 'One laggard withholds all' : 'A laggard is withheld alone'

/** The laggards that are named, and how many more there are. */
export function laggards({ lagging }: Session) {
  const named = lagging.slice(0, NAMED).map(({ ticker, lagSeconds }) => ({ ticker, lag: duration(lagSeconds ?? 0) }))
  return { named, more: lagging.length - named.length }
}

/** Whether it is its laggards that keep the gate shut. The service's own sentence names them, in seconds. */
export const isForLaggards = ({ active, reason, lagging }: Session) =>
  !active && lagging.length > 0 && (reason ?? '').startsWith(`${lagging[0]!.ticker} (`)

/** Why nothing is shown of it, of one that is not active. How far behind they are moves all the time, and is said elsewhere. */
export function whyShut(session: Session): string {
  if (!isForLaggards(session)) return localised(session.reason ?? `The session is ${words(session.state)}.`)
  const { named, more } = laggards(session)
  const names = named.map(({ ticker }) => ticker).join(', ')
  return `${names}${more ? ` and ${more} more` : ''} ${session.lagging.length === 1 ? 'is' : 'are'} behind.`
}

/** Why one is not shown while the others are. */
export const withheldAlone = ({ ticker, phase }: Part) => `${ticker} is ${words(phase)}.`

/** Instants within a sentence, in the viewer's zone. */
const localised = (sentence: string) =>
  sentence.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, (instant) =>
    new Date(instant).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' }),
  )
