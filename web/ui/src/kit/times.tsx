// Instants: in the viewer's zone, with the market's on hover; and how long ago, ticking.
import { useSyncExternalStore } from 'react'
import { serviceNow } from '../api/clock'

const ZONES: Record<string, string> = {
  XNAS: 'America/New_York',
  XNYS: 'America/New_York',
  ARCX: 'America/New_York',
  BATS: 'America/New_York',
  XASE: 'America/New_York',
  XTSE: 'America/Toronto',
  XLON: 'Europe/London',
  XETR: 'Europe/Berlin',
  XFRA: 'Europe/Berlin',
  XPAR: 'Europe/Paris',
  XAMS: 'Europe/Amsterdam',
  XMIL: 'Europe/Rome',
  XSWX: 'Europe/Zurich',
  XTKS: 'Asia/Tokyo',
  XHKG: 'Asia/Hong_Kong',
  XSHG: 'Asia/Shanghai',
  XNSE: 'Asia/Kolkata',
  XBOM: 'Asia/Kolkata',
  XASX: 'Australia/Sydney',
}

/** Of a listing's exchange (its MIC); UTC for what trades around the clock, and where it is not known. */
export const zoneOf = (exchange: string | null | undefined) => (exchange && ZONES[exchange]) || 'UTC'

const full = (zone?: string) =>
  new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long', ...(zone && { timeZone: zone }) })

export function Instant({ at, exchange, only }: { at: string; exchange?: string | null | undefined; only?: 'date' | 'time' }) {
  const moment = new Date(at)
  const shown = new Intl.DateTimeFormat(undefined, {
    ...(only !== 'time' && { dateStyle: 'medium' }),
    ...(only !== 'date' && { timeStyle: only === 'time' ? 'medium' : 'short' }),
  })
  return (
    <time dateTime={at} title={`${full(zoneOf(exchange)).format(moment)} (market)\n${full().format(moment)} (here)`}>
      {shown.format(moment)}
    </time>
  )
}

const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' })

/** A day of the calendar (2026-03-27), which is the same in every zone. */
export function Day({ date }: { date: string }) {
  return <time dateTime={date}>{calendar.format(new Date(date))}</time>
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })

const said = new Map<string, string>() // hundreds of instants are asked every second, and seldom is one another than before

/** `3 hours ago`. */
export function passed(milliseconds: number): string {
  const seconds = Math.round(-milliseconds / 1000)
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS[3]
  const number = Math.trunc(seconds / size)
  const key = `${number} ${unit}`
  const text = said.get(key) ?? relative.format(number, unit)
  said.set(key, text)
  return text
}

/** `3 hours ago`, by the service's clock. */
export const ago = (at: string) => passed(serviceNow() - Date.parse(at))

/** One timer for all that tick, however many there are. */
const ticking = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

function everySecond(listener: () => void) {
  ticking.add(listener)
  timer ??= setInterval(() => {
    for (const tick of ticking) tick()
  }, 1000)
  return () => {
    ticking.delete(listener)
    if (ticking.size) return
    clearInterval(timer)
    timer = undefined
  }
}

/** The text, made anew every second; renders only when it has changed. */
export const useTicking = (text: () => string) => useSyncExternalStore(everySecond, text)

export function Ago({ at, exchange }: { at: string; exchange?: string | null | undefined }) {
  const text = useTicking(() => ago(at))
  const moment = new Date(at)
  return (
    <time dateTime={at} title={`${full(zoneOf(exchange)).format(moment)} (market)\n${full().format(moment)} (here)`}>
      {text}
    </time>
  )
}
