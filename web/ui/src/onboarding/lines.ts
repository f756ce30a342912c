// A file's lines, each with what was read from it or with all that is wrong with it.
import type { ImportPortfolioMutation, MistakeFragment } from '../gql'

export type Checked = Extract<ImportPortfolioMutation['importPortfolio'], { __typename: 'PortfolioChecked' }>
export type Row = Checked['rows'][number]
export type Mistake = MistakeFragment
export type Line = { number: number; row: Row } | { number: number; raw: string; mistakes: readonly Mistake[] }

const LONGEST_SHOWN = 300

export const isWrong = (line: Line) => 'mistakes' in line

export function linesOf(text: string, rows: readonly Row[], mistakes: readonly Mistake[]): Line[] {
  const raw = text.split(/\r\n|\n|\r/)
  const wrong = new Map<number, Mistake[]>()
  for (const mistake of mistakes) wrong.set(mistake.line, [...(wrong.get(mistake.line) ?? []), mistake])
  const bad = [...wrong].map(([number, mistakes]) => ({ number, raw: shortened(raw[number - 1] ?? ''), mistakes }))
  const good = rows.filter(({ line }) => !wrong.has(line)).map((row) => ({ number: row.line, row }))
  return [...good, ...bad].sort((one, other) => one.number - other.number)
}

const shortened = (text: string) => (text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text)
