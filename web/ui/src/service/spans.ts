// How long, in the unit that its size asks for.
const UNITS = [
  ['days', 86_400],
  ['h', 3_600],
  ['min', 60],
] as const

/** `42 s`, `7 min`, `3 h`, `12 days`; two of a unit before it is used. */
export function span(seconds: number): string {
  const [unit, size] = UNITS.find(([, size]) => seconds >= 2 * size) ?? ['s', 1]
  return `${Math.floor(seconds / size)} ${unit}`
}

/** Of an age as the service tells it. */
export const hours = (number: number | null) => (number === null ? '–' : `${number.toFixed(1)} h`)
